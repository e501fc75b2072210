"""The call graph out of visits: calls per request, which run side by side and which in turn, and self times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from profilers.services.visits import Cut, Visit, VisitCall
from specs.application import Call, Entry, Quantity, cycles

QUANTILES: dict[Quantity, float] = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
PARALLEL_FROM = 0.5  # share of the visits with both calls in which they must overlap to count as side by side
OVERLAP = 0.1  # of the shorter call: less is taken as clocks' and spans' own cost


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What traces tell of one service: per visit in seconds; ``per_request``: visits per request that enters."""

    self_s: dict[Quantity, float]
    latency_s: dict[Quantity, float]
    per_request: float
    visits: int


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Calls and entries sorted by name, what was seen of each service, and notes on what the traces lack."""

    calls: tuple[Call, ...]
    entries: tuple[Entry, ...]
    services: dict[str, Seen]
    traces: int
    notes: tuple[str, ...]


def call_graph(cut: Cut) -> Graph:
    """Return the graph of ``cut``. Services that only appear as somebody's callee have no self time of their own."""
    by_service: dict[str, list[Visit]] = {}
    for visit in cut.visits:
        by_service.setdefault(visit.service, []).append(visit)
    requests = sum(visit.entry for visit in cut.visits)
    calls = tuple(call for name in sorted(by_service) for call in _calls(name, by_service[name]))
    notes = [*cut.notes, *(f"services call each other in a circle: {', '.join(group)}" for group in cycles(calls))]
    return Graph(
        calls=calls, entries=_entries(cut.visits), notes=tuple(notes), traces=cut.traces,
        services={name: _seen(visits, requests) for name, visits in sorted(by_service.items())},
    )  # fmt: skip


def statistics(values: Iterable[float]) -> dict[Quantity, float]:
    """Return mean and quantiles of ``values`` (at least one)."""
    array = np.asarray(list(values), dtype=np.float64)
    quantiles = np.quantile(array, list(QUANTILES.values()))
    return {"mean": float(array.mean()), **dict(zip(QUANTILES, quantiles.tolist(), strict=True))}


def _seen(visits: Sequence[Visit], requests: int) -> Seen:
    latencies = {name: value for name, value in statistics(v.duration_us / 1e6 for v in visits).items() if value > 0.0}
    return Seen(
        self_s=statistics(v.self_us / 1e6 for v in visits), latency_s=latencies, visits=len(visits),
        per_request=len(visits) / max(requests, 1),
    )  # fmt: skip


def _entries(visits: Iterable[Visit]) -> tuple[Entry, ...]:
    counts = Counter((visit.service, visit.operation) for visit in visits if visit.entry)
    total = sum(counts.values())
    return tuple(
        Entry(service=service, operation=operation or None, share=count / total)
        for (service, operation), count in sorted(counts.items())
    )


def _calls(caller: str, visits: Sequence[Visit]) -> list[Call]:
    callees = _in_order(visits)
    together = {(a, b): _overlap_share(visits, a, b) for a in callees for b in callees}
    stages = _stages(callees, together)
    calls = []
    for callee in callees:
        made = [call for visit in visits for call in visit.calls if call.callee == callee]
        others = [together[callee, other] for other in callees if other != callee]
        repeats = together[callee, callee] >= PARALLEL_FROM
        calls.append(
            Call(
                caller=caller,
                callee=callee,
                calls_per_request=len(made) / len(visits),
                stage=stages[callee],
                repeats="parallel" if repeats else "sequential",
                parallel_share=max(others, default=0.0),
                asynchronous=sum(call.waited for call in made) * 2 < len(made),
            )
        )
    return calls


def _in_order(visits: Iterable[Visit]) -> list[str]:
    """Callees by how early they are called, on average over their visits."""
    starts: dict[str, list[float]] = {}
    for visit in visits:
        first: dict[str, float] = {}
        for at, call in enumerate(visit.calls):
            first.setdefault(call.callee, at / len(visit.calls))
        for callee, place in first.items():
            starts.setdefault(callee, []).append(place)
    return sorted(starts, key=lambda callee: (float(np.mean(starts[callee])), callee))


def _stages(callees: Sequence[str], together: dict[tuple[str, str], float]) -> dict[str, int]:
    """A callee joins the stage before it where it mostly overlaps one of that stage's calls."""
    stages: dict[str, int] = {}
    current: list[str] = []
    for callee in callees:
        if current and not any(together[callee, other] >= PARALLEL_FROM for other in current):
            current = []
        stage = stages[current[0]] if current else len(set(stages.values()))
        stages[callee] = stage
        current.append(callee)
    return stages


def _overlap_share(visits: Iterable[Visit], first: str, second: str) -> float:
    """Share of the visits with both calls (or, for one callee, two of them) in which they overlap."""
    both = overlapping = 0
    for visit in visits:
        some = [call for call in visit.calls if call.callee == first]
        other = [call for call in visit.calls if call.callee == second]
        pairs = [(a, b) for a in some for b in other if a is not b]
        both += bool(pairs)
        overlapping += any(_overlap(a, b) for a, b in pairs)
    return overlapping / both if both else 0.0


def _overlap(first: VisitCall, second: VisitCall) -> bool:
    common = min(first.end_us, second.end_us) - max(first.start_us, second.start_us)
    shorter = min(first.end_us - first.start_us, second.end_us - second.start_us)
    return common > OVERLAP * shorter and common > 0.0
