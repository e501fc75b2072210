"""The call graph as plain arrays: calls by caller and stage, the order of services, visits per request, its errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from specs.application import ApplicationSpec, Call, cycles
from specs.errors import InputError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
NAMED_AT_MOST = 8  # names that one message lists


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Services 0 … n − 1, their calls sorted by caller and stage, and the entries.

    The calls of service i are ``first[i] … first[i + 1] − 1``; the arrays from ``callee`` to ``waited`` are per call.
    ``order`` has every caller before its callees. ``visits`` [entries, services]: visits per request that enters.
    """

    names: tuple[str, ...]
    first: IntArray
    callee: IntArray
    calls: FloatArray  # calls per visit of the caller
    stage: IntArray
    side_by_side: npt.NDArray[np.bool_]  # repeats of one call run in parallel
    waited: npt.NDArray[np.bool_]  # False: asynchronous
    order: IntArray
    entry: IntArray
    rate_per_s: FloatArray  # [entries]
    visits: FloatArray

    @property
    def load_per_s(self) -> FloatArray:
        """Visits per second of each service, all replicas together; [services]."""
        return np.asarray(self.rate_per_s @ self.visits, dtype=np.float64)


def read_graph(spec: ApplicationSpec, scale: float = 1.0) -> Graph:
    """Lay out ``spec`` with its rates times ``scale``.

    InputError for calls in a circle, no entry, an entry without a rate, no traffic at all, and services that no entry
    reaches.
    """
    refuse_circles(spec.calls)
    names = tuple(service.name for service in spec.services)
    index = {name: i for i, name in enumerate(names)}
    callers = np.asarray([index[call.caller] for call in spec.calls], dtype=np.int64)
    stages = np.asarray([call.stage for call in spec.calls], dtype=np.int64)
    rank = np.lexsort((stages, callers))
    calls = [spec.calls[i] for i in rank]
    first = np.concatenate([[0], np.cumsum(np.bincount(callers, minlength=len(names)))]).astype(np.int64)
    callee = np.asarray([index[call.callee] for call in calls], dtype=np.int64)
    each = np.asarray([call.calls_per_request for call in calls], dtype=np.float64)
    order = topological_order(first, callee)
    entry, rates = _entries(spec, index, scale)
    graph = Graph(
        names=names, first=first, callee=callee, calls=each, stage=stages[rank],
        side_by_side=np.asarray([call.repeats == "parallel" for call in calls], dtype=np.bool_),
        waited=np.asarray([not call.asynchronous for call in calls], dtype=np.bool_),
        order=order, entry=entry, rate_per_s=rates, visits=_visits(first, callee, each, order, entry),
    )  # fmt: skip
    _refuse_unreachable(graph)
    return graph


def refuse_circles(calls: tuple[Call, ...]) -> None:
    """Raise `InputError` that names the services calling each other in a circle."""
    found = cycles(calls)
    if found:
        circle = listed(found[0])
        more = f", and {len(found) - 1} more such groups" if len(found) > 1 else ""
        text = f"spec.calls: services call each other in a circle: {circle}{more}"
        cure = "A request must end: remove one of the calls, or list the two halves of a service as two services."
        raise InputError(text, cure=cure)


def topological_order(first: IntArray, callee: IntArray) -> IntArray:
    """Every caller before its callees (Kahn, std); the graph has no circle."""
    waiting = np.bincount(callee, minlength=len(first) - 1).tolist()
    starts, targets = first.tolist(), callee.tolist()
    order = [i for i, count in enumerate(waiting) if count == 0]
    for caller in order:
        for target in targets[starts[caller] : starts[caller + 1]]:
            waiting[target] -= 1
            if waiting[target] == 0:
                order.append(target)
    return np.asarray(order, dtype=np.int64)


def listed(names: Sequence[str]) -> str:
    """Return the names for a message, not more than eight of them."""
    rest = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {rest} more" if rest > 0 else "")


def _entries(spec: ApplicationSpec, index: dict[str, int], scale: float) -> tuple[IntArray, FloatArray]:
    if not spec.entries:
        raise InputError(
            "spec.entries: there is none, so no load enters", cure="Add `entries: [{service: NAME, rate_per_s: R}]`."
        )
    for at, one in enumerate(spec.entries):
        if one.rate_per_s is None:
            cure = "Give the requests per second that enter there (0 for none)."
            raise InputError(f"spec.entries[{at}].rate_per_s: missing for the entry at {one.service}", cure=cure)
    rates = np.asarray([entry.rate_per_s for entry in spec.entries], dtype=np.float64) * scale
    if not rates.sum() > 0.0:
        cure = "Give at least one entry a rate above 0."
        raise InputError("spec.entries: the rates add up to 0 requests per second: zero traffic", cure=cure)
    return np.asarray([index[entry.service] for entry in spec.entries], dtype=np.int64), rates


def _visits(first: IntArray, callee: IntArray, each: FloatArray, order: IntArray, entry: IntArray) -> FloatArray:
    visits = np.zeros((len(entry), len(first) - 1))
    visits[np.arange(len(entry)), entry] = 1.0
    for caller in order[np.diff(first)[order] > 0].tolist():
        calls = slice(int(first[caller]), int(first[caller + 1]))
        np.add.at(visits.T, callee[calls], each[calls, None] * visits[:, caller])
    return visits


def _refuse_unreachable(graph: Graph) -> None:
    alone = [graph.names[i] for i in np.flatnonzero(graph.visits.sum(axis=0) == 0.0)]
    if alone:
        text = f"spec.services: no entry reaches {listed(alone)}"
        raise InputError(text, cure="Add the calls or the entry that lead there, or leave the services out.")
