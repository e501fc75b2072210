"""The call graph of an application as arrays: its order, visits per request of each entry, and what is waited for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from solvers.budgets.problem import Calls, FloatArray
from specs.application import ApplicationSpec, Call, cycles
from specs.errors import InputError


@dataclass(frozen=True)
class Entrance:
    """An entry with the requests per second that enter there; ``level``: percentile of its SLO, such as ``p99``."""

    service: str
    rate_per_s: float
    level: str
    bound_s: float
    priority: int | None = None


@dataclass(frozen=True)
class Graph:
    """Services in the order of their calls, callers first.

    ``load_per_s``: requests per second of each service from all entries. ``visits``: per request of each entry, one
    row per entry. ``waited``: the services that some entry waits for, in order; the others are only called
    asynchronously and have no bound.
    """

    names: tuple[str, ...]
    calls: tuple[Call, ...]
    visits: FloatArray
    load_per_s: FloatArray
    waited: tuple[str, ...]


def graph_of(spec: ApplicationSpec, entries: Sequence[Entrance], where: str) -> Graph:
    """Return the graph of ``spec``; raises `InputError` for cycles, for services no entry reaches, and for no load."""
    order = _order(spec, where)
    at = {name: i for i, name in enumerate(order)}
    calls = tuple(sorted(spec.calls, key=lambda call: (at[call.caller], call.stage, at[call.callee])))
    visits = np.zeros((len(entries), len(order)))
    for row, entry in enumerate(entries):
        visits[row, at[entry.service]] = 1.0
    for call in calls:
        visits[:, at[call.callee]] += visits[:, at[call.caller]] * call.calls_per_request
    _refuse_unreachable(order, visits, where)
    load = np.array([entry.rate_per_s for entry in entries]) @ visits
    if not np.any(load > 0.0):
        cure = "Give spec.entries[].rate_per_s the requests per second that enter, or --load ENTRY=RATE."
        raise InputError(f"{where}: spec.entries: no traffic enters, so that nothing can be sized", cure=cure)
    return Graph(tuple(order), calls, visits, load, _waited(order, calls, entries))


def _order(spec: ApplicationSpec, where: str) -> list[str]:
    """Kahn's topological order (std), in the order of the document where calls leave it open."""
    below: dict[str, list[str]] = {service.name: [] for service in spec.services}
    callers = Counter(call.callee for call in spec.calls)
    for call in spec.calls:
        below[call.caller].append(call.callee)
    ready = [name for name in below if not callers[name]]
    order: list[str] = []
    for name in ready:
        order.append(name)
        for callee in below[name]:
            callers[callee] -= 1
            if not callers[callee]:
                ready.append(callee)
    if len(order) < len(below):
        rounds = "; ".join(" → ".join(group[:8]) for group in cycles(spec.calls)[:3])
        cure = "Take out the call that closes the circle, or mark a service that only passes messages on."
        raise InputError(f"{where}: spec.calls: services call each other in a circle: {rounds}", cure=cure)
    return order


def _refuse_unreachable(order: Sequence[str], visits: FloatArray, where: str) -> None:
    lost = [name for name, seen in zip(order, visits.sum(axis=0), strict=True) if seen <= 0.0]
    if lost:
        cure = "Add the call or the entry that leads there, or leave them out of spec.services."
        raise InputError(f"{where}: spec.services: no entry reaches {_listed(lost)}", cure=cure)


def _waited(order: Sequence[str], calls: Sequence[Call], entries: Sequence[Entrance]) -> tuple[str, ...]:
    found = {entry.service for entry in entries}
    for call in calls:  # in order, so that a caller is decided before its callees
        if call.caller in found and not call.asynchronous:
            found.add(call.callee)
    return tuple(name for name in order if name in found)


def problem_calls(graph: Graph, entries: Sequence[Entrance], bounds_s: Sequence[float]) -> tuple[Calls, float]:
    """The calls that are waited for below a root that joins the entries, and the root's bound.

    Service 0 is the root; ``waited[i]`` is service i + 1. The root calls entry e with weight T / T_e and has the bound
    T, the longest of ``bounds_s``: all entries keep their bounds where and only where it does (ours).
    """
    at = {name: i + 1 for i, name in enumerate(graph.waited)}
    longest = max(bounds_s)
    groups: list[tuple[int, list[tuple[int, float]]]] = [
        (0, [(at[entry.service], longest / bound) for entry, bound in zip(entries, bounds_s, strict=True)])
    ]
    key: tuple[str, int] | None = None
    for call in graph.calls:
        if call.asynchronous or call.caller not in at:
            continue
        if key != (call.caller, call.stage):
            key = (call.caller, call.stage)
            groups.append((at[call.caller], []))
        groups[-1][1].append((at[call.callee], times(call)))
    return _packed(len(at) + 1, groups), longest


def times(call: Call) -> float:
    """How often the caller waits for the callee in a row: whole calls, the more where their number varies (ours)."""
    return float(np.ceil(call.calls_per_request - 1e-9)) if call.repeats == "sequential" else 1.0


def _packed(services: int, groups: Sequence[tuple[int, list[tuple[int, float]]]]) -> Calls:
    per_service = np.bincount([owner for owner, _ in groups], minlength=services)
    sizes = [len(calls) for _, calls in groups]
    flat = [call for _, calls in groups for call in calls]
    return Calls(
        np.concatenate([[0], np.cumsum(per_service)]).astype(np.int64),
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        np.array([callee for callee, _ in flat], dtype=np.int64),
        np.array([weight for _, weight in flat], dtype=np.float64),
    )


def _listed(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
