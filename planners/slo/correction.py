"""From partial tails to the end-to-end tail: their measured ratio, from traces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from planners.slo.graph import Entrance, Waited, problem_calls
from predictors.application.graph import Graph
from predictors.application.stations import SHARES
from profilers.importers.spans import read_spans
from profilers.services.visits import Visit, cut_visits
from solvers.budgets.passes import longest
from solvers.budgets.problem import FloatArray
from specs.application import Quantity
from specs.errors import InputError

LEAST_BEYOND = 3
"""Requests that must lie beyond a percentile of the traces for it to be used (ours)."""


def corrections(
    traces: Sequence[Path], graph: Graph, among: Waited, entrances: Sequence[Entrance]
) -> tuple[tuple[float, ...], list[str]]:
    """Return, for each entrance, its tail over the sum of its services' own tails along the longest path, and notes.

    eTL ≈ κ · Σ PTL: that end-to-end tails are correlated with partial ones is the paper's (abs; LSRAM), the single
    factor is ours. Where too few requests lie beyond the entrance's percentile, the highest percentile that the traces
    tell stands in for it, which is on the safe side as far as κ falls with the percentile. `InputError` where even the
    median is not told, or a service on the way was not seen.
    """
    visits = cut_visits(read_spans(list(traces)).spans).visits
    found, notes = [], []
    for one in entrances:
        totals = np.array([v.duration_us for v in visits if v.entry and v.service == graph.names[one.service]])
        level = _level(one, len(totals), traces)
        ratio = _ratio(visits, totals, SHARES[level], graph, among, one)
        stands = "" if level == one.level else f" at {level}, since {len(totals)} requests do not tell {one.level}"
        notes.append(
            f"{one.name}: end-to-end tail = {ratio:.3g} × the sum of partial tails in {len(totals)} requests{stands}"
        )
        found.append(ratio)
    return tuple(found), notes


def _level(one: Entrance, requests: int, traces: Sequence[Path]) -> Quantity:
    told = [
        level
        for level, share in SHARES.items()
        if share <= SHARES[one.level] and requests * (1 - share) >= LEAST_BEYOND
    ]
    if not told:
        cure = "Give traces of more requests, or leave --traces out."
        raise InputError(f"{traces[0]}: {requests} requests enter at {one.name}: too few to tell its tail", cure=cure)
    return told[-1]


def _ratio(
    visits: Sequence[Visit], totals_us: FloatArray, share: float, graph: Graph, among: Waited, one: Entrance
) -> float:
    own: dict[str, list[float]] = {}
    for visit in visits:
        own.setdefault(visit.service, []).append(visit.self_us)
    budgets = np.zeros(len(among.services) + 1)
    for place, i in enumerate(among.services.tolist()):
        values = own.get(graph.names[i])
        budgets[place + 1] = float(np.quantile(values, share)) if values else 0.0
    calls, _ = problem_calls(graph, among, (one,), (one.bound_s,))
    latency = np.empty(len(budgets))
    longest(budgets, calls.group_at, calls.call_at, calls.callee, calls.weight, latency)
    if not latency[0] > 0.0:
        raise InputError(f"no service below {one.name} was seen in the traces", cure="Give traces of this application.")
    return float(np.quantile(totals_us, share)) / float(latency[0])
