"""Replicas on nodes: the placement problem of an application, its answer, and what it means for calls and times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from planners.application.question import Question, node_names
from predictors.application.graph import read_graph
from solvers.assignment import FloatArray, Found, IntArray, Problem, place, share_of
from solvers.conflicts import Rules
from specs.application import Affinity, ApplicationSpec, Service
from specs.cluster import CpuPool


@dataclass(frozen=True, kw_only=True)
class Placed:
    """``share`` [S, N] of each placed service's replicas by node; ``slowdown`` [S] of its time by its neighbours."""

    names: tuple[str, ...]  # of the services that are placed
    nodes: list[tuple[str, CpuPool]]
    problem: Problem
    found: Found
    share: FloatArray
    slowdown: dict[str, float]


def problem_of(
    question: Question, spec: ApplicationSpec, replicas: Mapping[str, int], utilisation: Mapping[str, float],
    cache_gib: Mapping[str, float],
) -> tuple[tuple[str, ...], Problem]:  # fmt: skip
    """Return the placed services' names and the problem; ``cache_gib`` is memory of all replicas of a service."""
    services = [one for one in spec.services if one.name not in question.llm]
    names = tuple(one.name for one in services)
    nodes = node_names(question.pools)
    need = []
    for one in services:
        assert one.requests is not None
        memory = (one.requests.memory_gib or 0.0) + cache_gib.get(one.name, 0.0) / replicas[one.name]
        need.append([one.requests.cpu_cores or 0.0, memory, 1.0])
    capacity = [
        [pool.cpu_cores - pool.system_cpu_cores, pool.memory_gib - pool.system_memory_gib, float(pool.most_pods)]
        for _, pool in nodes
    ]
    busy = [one.requests.cpu_cores * min(utilisation[one.name], 1.0) for one in services if one.requests]  # type: ignore[operator]
    return names, Problem(
        service=np.repeat(np.arange(len(names)), [replicas[name] for name in names]),
        need=np.array(need), capacity=np.array(capacity), money=np.array([_price(pool) for _, pool in nodes]),
        cores=np.array([pool.cpu_cores for _, pool in nodes]), traffic=_traffic(question, spec, names),
        call_s=question.call.value * (1.0 - np.eye(len(nodes))), busy=np.array(busy),
        slowdown=np.array([one.slowdown or 0.0 for one in services]), rules=_rules(services, nodes, replicas),
    )  # fmt: skip


def _rules(services: list[Service], nodes: list[tuple[str, CpuPool]], replicas: Mapping[str, int]) -> Rules | None:
    """What the services' affinities ask for; None where they ask for nothing. One service on GPUs is apart anyway."""
    if not any(one.affinity for one in services):
        return None
    names = [one.name for one in services]
    asked = [one.affinity or Affinity() for one in services]
    apart, together = (np.zeros((len(names), len(names)), dtype=np.bool_) for _ in range(2))
    for i, one in enumerate(asked):
        for at in (names.index(other) for other in one.apart_from if other in names):
            apart[i, at] = apart[at, i] = at != i
        for other in one.together_with:
            together[i, names.index(other)] = other != names[i]
    each = [1 if names[i] in one.apart_from else one.most_per_node or replicas[names[i]] for i, one in enumerate(asked)]
    allowed = [[one.node_labels.items() <= pool.labels.items() for _, pool in nodes] for one in asked]
    return Rules(allowed=np.array(allowed), most=np.array(each), apart=apart, together=together)


def _price(pool: CpuPool) -> float:
    """Of a node in an hour; without prices a core counts as 0.05, so that fewer and smaller nodes are preferred."""
    return pool.usd_per_node_hour.value if pool.usd_per_node_hour else 0.05 * pool.cpu_cores


def _traffic(question: Question, spec: ApplicationSpec, names: tuple[str, ...]) -> FloatArray:
    graph = read_graph(spec, question.load.scale)
    load = dict(zip(graph.names, graph.load_per_s.tolist(), strict=True))
    at = {name: i for i, name in enumerate(names)}
    found = np.zeros((len(names), len(names)))
    for call in spec.calls:
        if call.caller in at and call.callee in at:
            found[at[call.caller], at[call.callee]] += load[call.caller] * call.calls_per_request
    return found


def placed(question: Question, names: tuple[str, ...], problem: Problem, found: Found | None = None) -> Placed:
    """Place the replicas, or take ``found`` as their placement."""
    if found is None:
        found = place(problem, seed=question.seed)
        found = replace(found, node=_renumbered(problem, found.node))
    share = share_of(problem, found.node[None])[0]
    each = np.bincount(problem.service, minlength=len(names))
    load = (share * (each * problem.busy)[:, None]).sum(axis=0)
    beside = np.maximum(load[None, :] - problem.busy[:, None], 0.0) / problem.cores
    grown = 1.0 + problem.slowdown * (share * beside).sum(axis=1)
    return Placed(
        names=names, nodes=node_names(question.pools), problem=problem, found=found, share=share,
        slowdown=dict(zip(names, grown.tolist(), strict=True)),
    )  # fmt: skip


def _renumbered(problem: Problem, node: IntArray) -> IntArray:
    """The same placement with nodes that are alike taken in their order."""
    alike: dict[tuple[float, ...], list[int]] = {}
    for i in range(len(problem.capacity)):
        allowed = () if problem.rules is None else tuple(problem.rules.allowed[:, i].tolist())
        key = (float(problem.money[i]), float(problem.cores[i]), *problem.capacity[i].tolist(), *allowed)
        alike.setdefault(key, []).append(i)
    first: dict[int, int] = {}
    for members in alike.values():
        used = [i for i in dict.fromkeys(node.tolist()) if i in members]
        first |= dict(zip(used, members, strict=False))
    return np.array([first[i] for i in node.tolist()], dtype=np.int64)


def crossing(one: Placed, caller: str, callee: str) -> float:
    """Share of the calls that leave their node, replicas being chosen evenly; all where one stands on GPUs."""
    if caller not in one.names or callee not in one.names:
        return 1.0
    first, second = one.share[one.names.index(caller)], one.share[one.names.index(callee)]
    return float(max(1.0 - first @ second, 0.0))
