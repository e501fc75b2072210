"""The exact optimum of packing with interference for few pods, by patterns; and a lower bound for many, by cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solvers.packing import FloatArray, IntArray, Packing, Placement, evaluate, kernel_of

MOST_PATTERNS = 1_500_000
ENTER = 200
MOST_SECONDS = 120.0
"""Patterns that enter the restricted programme per round."""
TOLERANCE = 1e-7


@dataclass(frozen=True, kw_only=True)
class Exact:
    """The optimum, the linear bound below it, how many patterns exist and how many the last programme needed."""

    placement: Placement | None  # None: no placement exists
    bound: float
    patterns: int
    kept: int
    proven: bool  # the integer programme was solved to the end


def exact(packing: Packing, best_known: Placement | None = None) -> Exact | None:
    """Return the optimum, or None where a node can hold more sets of pods than are enumerated.

    Every set of pods that a node can hold is a column with its exact cost; the linear programme over all of them is
    solved by column generation, columns whose reduced cost exceeds the gap to ``best_known`` cannot be in an optimum
    [reduced-cost fixing, std], and the integer programme over the rest is solved by HiGHS.
    """
    columns = _columns(packing)
    if columns is None:
        return None
    a, kind, cost = columns
    bound, duals, limits = _linear(packing, a, kind, cost)
    if not np.isfinite(bound):
        return Exact(placement=None, bound=np.inf, patterns=len(cost), kept=0, proven=True)
    known = best_known.cost if best_known is not None and not len(best_known.unplaced) else np.inf
    reduced = _reduced(a, kind, cost, duals, limits)
    kept = np.flatnonzero(reduced <= known - bound + TOLERANCE * max(1.0, abs(known if np.isfinite(known) else bound)))
    chosen, proven = _integer(packing, a[kept], kind[kept], cost[kept])
    if chosen is None:
        placement = best_known if np.isfinite(known) else None
    else:
        placement = evaluate(packing, _where(packing, a[kept], kind[kept], chosen), "exact")
        if np.isfinite(known) and best_known is not None and best_known.cost < placement.cost:
            placement = best_known
    return Exact(placement=placement, bound=bound, patterns=len(cost), kept=len(kept), proven=proven)


def _columns(packing: Packing) -> tuple[IntArray, IntArray, FloatArray] | None:
    """Return every pattern [n, C], its node type [n] and its cost [n]; None where there are too many."""
    from solvers.packing_kernel import patterns

    kernel = kernel_of(packing)
    found, kinds, costs, left = [], [], [], MOST_PATTERNS
    for t in np.flatnonzero(packing.nodes > 0):
        rows, cost = np.zeros((left, len(packing.stock)), dtype=np.int8), np.zeros(left)
        count = patterns(kernel, int(t), packing.stock, rows, cost)  # type: ignore[arg-type]
        if count < 0:
            return None
        found.append(rows[:count].copy())
        costs.append(cost[:count].copy())
        kinds.append(np.full(count, t, dtype=np.int64))
        left -= count
    return np.concatenate(found).astype(np.int64), np.concatenate(kinds), np.concatenate(costs)


def _linear(
    packing: Packing, a: IntArray, kind: IntArray, cost: FloatArray
) -> tuple[float, FloatArray, FloatArray]:  # fmt: skip
    """Solve the linear programme over all columns: its value, the duals of pods [C] and of nodes [T], at most 0."""
    from scipy.optimize import linprog
    from scipy.sparse import csr_array

    big = 1.0 + 10.0 * float(cost.max(initial=1.0)) * max(int(packing.stock.sum()), 1)
    classes, types = len(packing.stock), len(packing.nodes)
    active = np.argsort(cost / np.maximum(a.sum(axis=1), 1))[:ENTER]
    while True:
        cover = np.hstack([a[active].T, np.eye(classes)])  # a slack per class, at a price none would pay
        count = np.zeros((types, cover.shape[1]))
        count[kind[active], np.arange(len(active))] = 1.0
        found = linprog(  # type: ignore[call-overload]
            np.concatenate([cost[active], np.full(classes, big)]), A_ub=csr_array(count),
            b_ub=packing.nodes.astype(np.float64),
            A_eq=csr_array(cover), b_eq=packing.stock.astype(np.float64), method="highs",
        )  # fmt: skip
        duals, limits = np.asarray(found.eqlin.marginals), np.asarray(found.ineqlin.marginals)
        reduced = _reduced(a, kind, cost, duals, limits)
        reduced[active] = 0.0
        order = np.argsort(reduced)[:ENTER]
        order = order[reduced[order] < -TOLERANCE * max(1.0, float(np.abs(cost).max(initial=1.0)))]
        if len(order) == 0:
            lacking = float(found.x[len(active) :].sum()) > 1e-7
            # what the tolerance left out can lower the bound by at most the nodes times it: subtracted
            slack = float(max(-reduced.min(initial=0.0), 0.0)) * float(packing.nodes.sum())
            return (np.inf if lacking else float(found.fun) - slack), duals, limits
        active = np.concatenate([active, order])


def _reduced(a: IntArray, kind: IntArray, cost: FloatArray, duals: FloatArray, limits: FloatArray) -> FloatArray:
    return np.asarray(cost - a @ duals - limits[kind])


def _integer(
    packing: Packing, a: IntArray, kind: IntArray, cost: FloatArray
) -> tuple[IntArray | None, bool]:  # fmt: skip
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    if len(cost) == 0:
        return None, True
    count = np.zeros((len(packing.nodes), len(cost)))
    count[kind, np.arange(len(cost))] = 1.0
    found = milp(
        cost, integrality=np.ones(len(cost), dtype=np.int64), bounds=Bounds(0, np.inf),
        options={"mip_rel_gap": 1e-9, "time_limit": MOST_SECONDS},
        constraints=[
            LinearConstraint(csr_array(a.T.astype(np.float64)), packing.stock, packing.stock),
            LinearConstraint(csr_array(count), -np.inf, packing.nodes),
        ],
    )  # fmt: skip
    proven = found.status in (0, 2)
    return (None if found.x is None else np.rint(found.x).astype(np.int64)), proven


def _where(packing: Packing, a: IntArray, kind: IntArray, chosen: IntArray) -> IntArray:
    """Return the node of each pod from how often each pattern is used."""
    where = np.full(int(packing.stock.sum()), -1, dtype=np.int64)
    next_pod = np.concatenate([[0], np.cumsum(packing.stock)[:-1]])
    next_node = np.concatenate([[0], np.cumsum(packing.nodes)[:-1]])
    for column in np.flatnonzero(chosen):
        for _ in range(chosen[column]):
            node = next_node[kind[column]]
            next_node[kind[column]] += 1
            for c in np.flatnonzero(a[column]):
                where[next_pod[c] : next_pod[c] + a[column, c]] = node
                next_pod[c] += a[column, c]
    return where
