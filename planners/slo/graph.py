"""What is waited for in a call graph, as the solver takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from predictors.application.graph import Graph
from solvers.budgets.problem import Calls, FloatArray, IntArray
from specs.application import Quantity


@dataclass(frozen=True)
class Entrance:
    """An entry with an SLO: its row in the application's entries, and the percentile that is bound; seconds."""

    row: int
    service: int
    name: str
    level: Quantity
    bound_s: float
    priority: int | None = None


@dataclass(frozen=True)
class Waited:
    """The services that some entry waits for, callers first; ``at``: their place, −1 for the others.

    The others are only called asynchronously, or from entries without an SLO: they have no bound.
    """

    services: IntArray
    at: IntArray


def waited(graph: Graph, entrances: Sequence[Entrance]) -> Waited:
    """Return the services that ``entrances`` wait for."""
    found = np.zeros(len(graph.names), dtype=bool)
    found[[one.service for one in entrances]] = True
    for i in graph.order.tolist():  # callers are decided before their callees
        if found[i]:
            calls = slice(int(graph.first[i]), int(graph.first[i + 1]))
            found[graph.callee[calls][graph.waited[calls]]] = True
    services = graph.order[found[graph.order]]
    at = np.full(len(graph.names), -1, dtype=np.int64)
    at[services] = np.arange(len(services))
    return Waited(services, at)


def problem_calls(
    graph: Graph, among: Waited, entrances: Sequence[Entrance], bounds_s: Sequence[float]
) -> tuple[Calls, float]:
    """The calls that are waited for below a root that joins the entries, and the root's bound.

    Service 0 is the root, ``among.services[i]`` is i + 1. The root calls entry e with weight T / T_e and has the bound
    T, the longest of ``bounds_s``: all entries keep their bounds where and only where it does (ours).
    """
    longest = max(bounds_s)
    owners, sizes = [0], [len(entrances)]
    callees = [int(among.at[one.service]) + 1 for one in entrances]
    weights = [longest / bound for bound in bounds_s]
    for place, i in enumerate(among.services.tolist()):
        stage = None
        for call in range(int(graph.first[i]), int(graph.first[i + 1])):
            if not graph.waited[call]:
                continue
            if stage != graph.stage[call]:
                stage = graph.stage[call]
                owners.append(place + 1)
                sizes.append(0)
            sizes[-1] += 1
            callees.append(int(among.at[graph.callee[call]]) + 1)
            weights.append(times(float(graph.calls[call]), bool(graph.side_by_side[call])))
    per_service = np.bincount(owners, minlength=len(among.services) + 1)
    return Calls(
        np.concatenate([[0], np.cumsum(per_service)]).astype(np.int64),
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        np.array(callees, dtype=np.int64), np.array(weights, dtype=np.float64),
    ), longest  # fmt: skip


def times(calls_per_visit: float, side_by_side: bool) -> float:
    """How often a callee's latency counts: whole calls in a row, the more where their number varies (ours)."""
    return 1.0 if side_by_side else float(np.ceil(calls_per_visit - 1e-9))


def visits_waited(graph: Graph, among: Waited, entrances: Sequence[Entrance]) -> FloatArray:
    """Visits that one request of each entrance waits for, side by side ones too; [entrances]."""
    visits = np.zeros((len(entrances), len(graph.names)))
    visits[np.arange(len(entrances)), [one.service for one in entrances]] = 1.0
    for i in among.services.tolist():
        for call in range(int(graph.first[i]), int(graph.first[i + 1])):
            if graph.waited[call]:
                visits[:, graph.callee[call]] += visits[:, i] * max(float(np.ceil(graph.calls[call] - 1e-9)), 1.0)
    return np.asarray(visits.sum(axis=1), dtype=np.float64)
