"""The plan of a placement: by service and node, its slowdown, batch capacity, overcommit, reasons and evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from planners.colocation.batch import POLICIES, batch_of, risk
from planners.colocation.pods import SPREAD_ASSUMED, Pods
from planners.colocation.problem import Problem
from predictors.interference import Trained, slowdown_figure
from solvers.packing import FloatArray, IntArray, Packing, Placement
from specs.base import Figure
from specs.cluster import CpuPool
from specs.colocation import (
    BatchCapacity,
    ColocationDecision,
    ColocationExpected,
    Overcommit,
    PlacedNode,
    PlacedService,
    PlacementCompared,
    ServiceSlowdown,
)
from specs.plan import Evidence


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A placement with what it is of; ``counts`` [N, C] pods of each class on each node."""

    pods: Sequence[Pods]
    pools: Sequence[CpuPool]
    problem: Problem
    placement: Placement

    @property
    def packing(self) -> Packing:
        """The packing problem."""
        return self.problem.packing

    @property
    def counts(self) -> IntArray:
        """Pods of each class on each node."""
        found = np.zeros((len(self.packing.kind), len(self.pods)), dtype=np.int64)
        placed = self.placement.where >= 0
        np.add.at(found, (self.placement.where[placed], self.packing.pod_class[placed]), 1)
        return found

    def node_name(self, n: int) -> str:
        """The node's hostname where every pool lists them, else the pool's name and the node's number in it, from 1."""
        t = int(self.packing.kind[n])
        number = n - int(self.packing.nodes[:t].sum())
        return self.pools[t].hostnames[number] if self.by_hostname else f"{self.pools[t].name}-{number + 1}"

    @property
    def by_hostname(self) -> bool:
        """Whether every pool lists its nodes."""
        return all(pool.hostnames for pool in self.pools)


def decision(layout: Layout) -> ColocationDecision:
    """Return the placement by service and by node."""
    counts, pods, pools = layout.counts, layout.pods, layout.pools
    used = np.flatnonzero(counts.sum(axis=1))
    prices = [pools[int(layout.packing.kind[n])].usd_per_node_hour for n in used]
    priced = [price.value for price in prices if price is not None]
    return ColocationDecision(
        services=tuple(_service(layout, counts, c, one) for c, one in enumerate(pods)),
        nodes=tuple(_node(layout, counts, int(n)) for n in used), nodes_used=len(used),
        nodes_free=float(len(counts) - len(used)),
        usd_per_hour=_rounded(sum(priced)) if len(priced) == len(prices) else None,
        node_label="kubernetes.io/hostname" if layout.by_hostname else "tonnage/node",
    )  # fmt: skip


def _service(layout: Layout, counts: IntArray, c: int, one: Pods) -> PlacedService:
    apart = [other.service for d, other in enumerate(layout.pods) if layout.packing.apart[c, d]]
    return PlacedService(
        service=one.service, namespace=one.namespace, replicas=one.replicas, qos=one.qos,
        cpu_cores=_rounded(one.cpu_cores), memory_gib=_rounded(one.memory_gib),
        nodes=tuple(layout.node_name(int(n)) for n in np.flatnonzero(counts[:, c])),
        most_per_node=one.affinity.most_per_node or int(counts[:, c].max()), apart_from=tuple(apart),
        together_with=one.affinity.together_with, node_labels=one.affinity.node_labels,
    )  # fmt: skip


def _node(layout: Layout, counts: IntArray, n: int) -> PlacedNode:
    packing, row, pool = layout.packing, counts[n], layout.pools[int(layout.packing.kind[n])]
    low = packing.is_low
    used = sum(k * one.used_cpu_cores for k, one in zip(row, layout.pods, strict=True))
    return PlacedNode(
        node=layout.node_name(n), pool=pool.name, node_type=pool.node_type,
        pods={one.service: int(k) for k, one in zip(row, layout.pods, strict=True) if k},
        requested_cpu_cores=_rounded(row @ packing.need[:, 0]), requested_memory_gib=_rounded(row @ packing.need[:, 1]),
        used_cpu_cores=_rounded(used), batch_cpu_cores=_rounded((row * low) @ packing.share[:, 0]),
        batch_memory_gib=_rounded((row * low) @ packing.share[:, 1]),
    )  # fmt: skip


def expected(layout: Layout, trained: Trained) -> ColocationExpected:
    """Return slowdowns with intervals, batch capacity by policy, and the overcommit with its risk."""
    slow, weight = sensitive(layout.packing, layout.placement)
    mean = float(np.average(slow, weights=weight)) if len(slow) else 1.0
    p99 = float(np.quantile(slow, 0.99)) if len(slow) else 1.0
    cost = _rounded(layout.placement.cost)
    price = float(sum(layout.packing.node_cost[layout.packing.kind[n]] for n in set(layout.placement.where)))
    high = price + max(0.0, (layout.placement.cost - price + _weight(layout)) * trained.factor - _weight(layout))
    return ColocationExpected(
        slowdown=slowdown_figure(mean, trained.factor), p99_slowdown=slowdown_figure(p99, trained.factor),
        services=tuple(_slowdowns(layout, trained)),
        cost_cores=Figure(
            value=cost, low=_rounded(price), high=_rounded(high), basis="all slowdowns off by the same factor"
        ),
        batch=tuple(_batch(layout)), overcommit=_overcommit(layout),
    )  # fmt: skip


def _weight(layout: Layout) -> float:
    return float(layout.packing.weight[layout.packing.pod_class].sum())


def sensitive(packing: Packing, placement: Placement) -> tuple[FloatArray, FloatArray]:
    """Return slowdown and weight of the latency-sensitive pods that were placed."""
    mine = ~packing.is_low[packing.pod_class] & (placement.where >= 0)
    return 1.0 + placement.excess[mine], np.maximum(packing.weight[packing.pod_class[mine]], 1e-12)


def _slowdowns(layout: Layout, trained: Trained) -> Iterator[ServiceSlowdown]:
    for c, one in enumerate(layout.pods):
        excess = layout.placement.excess[layout.packing.pod_class == c]
        factor = trained.factor_new if one.service in layout.problem.unmeasured else trained.factor
        yield ServiceSlowdown(
            service=one.service, qos=one.qos, mean=slowdown_figure(1 + float(excess.mean()), factor),
            worst=slowdown_figure(1 + float(excess.max()), factor),
        )  # fmt: skip


def _batch(layout: Layout) -> Iterator[BatchCapacity]:
    """Yield per pool and policy the batch capacity of all its nodes, and what is neither used nor given away."""
    counts = layout.counts
    for t, pool in enumerate(layout.pools):
        for policy in POLICIES:
            total, unused = np.zeros(2), np.zeros(2)
            for n in np.flatnonzero(layout.packing.kind == t):
                pods = [
                    (one, int(k)) for one, k in zip(layout.pods, counts[n], strict=True) if k and not one.is_best_effort
                ]
                used = [(one.used_cpu_cores, one.used_memory_gib) for one, k in pods for _ in range(k)]
                asked = [(one.cpu_cores, one.memory_gib) for one, k in pods for _ in range(k)]
                given = np.array(batch_of(pool, policy, used, asked))
                free = np.array([pool.cpu_cores - pool.system_cpu_cores, pool.memory_gib - pool.system_memory_gib])
                total += given
                unused += np.maximum(free - np.sum([(0.0, 0.0), *used], axis=0) - given, 0.0)
            yield BatchCapacity(
                pool=pool.name, policy=policy, cpu_cores=_rounded(total[0]), memory_gib=_rounded(total[1]),
                unused_cpu_cores=_rounded(unused[0]), unused_memory_gib=_rounded(unused[1]),
            )  # fmt: skip


def _overcommit(layout: Layout) -> Overcommit:
    counts, packing, pods = layout.counts, layout.packing, layout.pods
    asked = np.array([[one.cpu_cores, one.memory_gib] for one in pods])
    used = np.array([[one.used_cpu_cores, one.used_memory_gib] for one in pods])
    variance = np.array([[one.spread_cpu_cores, one.spread_memory_gib] for one in pods]) ** 2
    nodes = np.flatnonzero(counts.sum(axis=1))
    room = packing.room[packing.kind[nodes], :2]
    mean, deviation = counts[nodes] @ used, np.sqrt(counts[nodes] @ variance)
    risks = np.array([[risk(room[i, r], mean[i, r], deviation[i, r]) for r in (0, 1)] for i in range(len(nodes))])
    ratio = (counts[nodes] @ asked).sum(axis=0) / room.sum(axis=0)
    worst = int(risks.max(axis=1).argmax())
    measured = all(one.measured for one in pods)
    return Overcommit(
        cpu_ratio=_rounded(ratio[0]), memory_ratio=_rounded(ratio[1]), worst_node=layout.node_name(int(nodes[worst])),
        worst_cpu_risk=_rounded(risks[:, 0].max()), worst_memory_risk=_rounded(risks[:, 1].max()),
        basis="normal sums of independent pods, spread "
        + ("as profiled" if measured else f"of some assumed at {SPREAD_ASSUMED:.0%}"),
    )  # fmt: skip


def compared(layout: Layout, others: Sequence[Placement]) -> Iterator[PlacementCompared]:
    """Yield the other ways to place the same pods, judged by the same prediction."""
    for other in others:
        slow, weight = sensitive(layout.packing, other)
        left = len(other.unplaced)
        yield PlacementCompared(
            method=other.method, nodes=float(other.nodes_used), mean_slowdown=_rounded(_mean(slow, weight)),
            p99_slowdown=_rounded(float(np.quantile(slow, 0.99)) if len(slow) else 1.0),
            cost_cores=_rounded(other.cost),
            breaks=f"{left} pods fit nowhere" if left else None,
        )  # fmt: skip


def _mean(slow: FloatArray, weight: FloatArray) -> float:
    return float(np.average(slow, weights=weight)) if len(slow) else 1.0


def binding(layout: Layout) -> str:
    """Return the resource that is fullest on the nodes in use."""
    counts, packing = layout.counts, layout.packing
    nodes = np.flatnonzero(counts.sum(axis=1))
    full = (counts[nodes] @ packing.need[:, :2]) / packing.room[packing.kind[nodes], :2]
    at, r = np.unravel_index(full.argmax(), full.shape)
    return f"{('CPU', 'memory')[r]}: {full[at, r]:.0%} requested on {layout.node_name(int(nodes[at]))}"


def notes(layout: Layout) -> Iterator[str]:
    """Yield what was assumed, what lies beyond the measurement, and what the prediction leaves out."""
    yield from layout.problem.notes
    if layout.problem.unmeasured:
        names = ", ".join(layout.problem.unmeasured[:6])
        yield f"never measured beside others, taken for the mean of those that were: {names}"
    yield from _few((note for one in layout.pods for note in one.notes), 6)
    unprofiled = [one.service for one in layout.pods if not one.measured]
    if unprofiled:
        yield f"no profile says what {_names(unprofiled)} use; their requests are taken for their use"
    packing, where = layout.packing, layout.placement.where
    pressure = np.zeros((len(packing.kind), packing.emits.shape[1]))
    np.add.at(pressure, where[where >= 0], packing.emits[packing.pod_class[where >= 0]])
    neighbours = pressure[where[where >= 0]] - packing.emits[packing.pod_class[where >= 0]]
    beyond = float((neighbours > layout.problem.reach * (1 + 1e-9)).any(axis=1).mean()) if len(neighbours) else 0.0
    if beyond > 0:
        yield f"{beyond:.0%} of the pods lie beyond the measured pressure, where the slowdown goes on as before its end"


def _few(texts: Iterator[str], most: int) -> Iterator[str]:
    every = list(texts)
    yield from every[:most]
    if len(every) > most:
        yield f"and {len(every) - most} more services that request nothing of some resource"


def evidence(layout: Layout, interference: Evidence) -> tuple[Evidence, ...]:
    """Return what slowdown, use and prices rest on."""
    found = [interference]
    profiled = [one.service for one in layout.pods if one.measured]
    assumed = [one.service for one in layout.pods if not one.measured]
    if profiled:
        found.append(
            Evidence(quantity="CPU and memory used", basis="measured", source=f"profiles of {_names(profiled)}")
        )
    if assumed:
        found.append(Evidence(quantity="CPU and memory used", basis="assumed", source=f"requests of {_names(assumed)}"))
    for pool in layout.pools:
        if pool.usd_per_node_hour is not None:
            paid = pool.usd_per_node_hour
            found.append(
                Evidence(quantity=f"price of {pool.name}", basis="assumed", source=f"{paid.source}, {paid.date}")
            )
    return tuple(found)


def _names(services: list[str]) -> str:
    return ", ".join(services[:6]) + (f" and {len(services) - 6} more" if len(services) > 6 else "")


def _rounded(value: float) -> float:
    return float(f"{float(value):.4g}")
