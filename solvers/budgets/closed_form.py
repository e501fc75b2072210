"""The cheapest split in closed form, where series and parallel reduction of the calls leads to one service."""

from __future__ import annotations

import numpy as np

from solvers.budgets.feasible import answer, cost_of, latencies, least_latency
from solvers.budgets.problem import FloatArray, Problem, Split

SAME_BASE = 1e-9


def closed_form(problem: Problem) -> Split | None:
    """Return the optimal split by series-parallel reduction, None where it does not apply; `NoSplitError` where none.

    Applies where every cost is one piece, the calls form a tree, and services side by side merge exactly: then √area
    adds in series and area in parallel, base adds in series and must be equal in parallel. s = base + √area / √(merged
    area) · (bound − merged base). (code; Erms' merge, exact for parallel calls only where the bases are equal, where
    the original takes the largest; derivation ours.) None too where a budget would leave its piece.
    """
    least_latency(problem)
    calls, costs = problem.calls, problem.costs
    if len(costs.area) != calls.services or len(np.unique(calls.callee)) != len(calls.callee):
        return None
    if np.any(calls.weight != 1.0):
        return None
    merged = _merged(problem)
    if merged is None:
        return None
    budget = _targets(problem, *merged)
    if np.any(budget > costs.high_s) or float(latencies(problem, budget)[0]) > problem.bound_s * (1.0 + 1e-9):
        return None
    found = answer(problem, budget, "closed form")
    _, marginal = cost_of(problem, budget)
    return Split(found.budget_s, found.cost, marginal, _lower(problem, marginal), "closed form", 1)


def _merged(problem: Problem) -> tuple[FloatArray, FloatArray] | None:
    """Area and base of everything below each service, itself included."""
    calls, area, base = problem.calls, problem.costs.area.copy(), problem.costs.base_s.copy()
    for i in range(calls.services - 1, -1, -1):
        root = np.sqrt(area[i])
        for g in range(int(calls.group_at[i]), int(calls.group_at[i + 1])):
            below = calls.callee[int(calls.call_at[g]) : int(calls.call_at[g + 1])]
            if np.ptp(base[below]) > SAME_BASE * problem.bound_s:
                return None
            root += np.sqrt(area[below].sum())
            base[i] += base[below].max()
        area[i] = root * root
    return area, base


def _targets(problem: Problem, area: FloatArray, base: FloatArray) -> FloatArray:
    """Budgets from the target of each subtree, callers first."""
    calls, own = problem.calls, problem.costs
    target = np.full(calls.services, np.nan)
    target[0] = problem.bound_s
    budget = np.empty(calls.services)
    for i in range(calls.services):
        part = (target[i] - base[i]) / np.sqrt(area[i])
        budget[i] = own.base_s[i] + np.sqrt(own.area[i]) * part
        for g in range(int(calls.group_at[i]), int(calls.group_at[i + 1])):
            below = calls.callee[int(calls.call_at[g]) : int(calls.call_at[g + 1])]
            target[below] = base[below].max() + np.sqrt(area[below].sum()) * part
    return budget


def _lower(problem: Problem, price: FloatArray) -> float:
    """The dual value of these prices, which form a flow at the optimum."""
    costs = problem.costs
    return float(np.sum(costs.base_s * price + 2.0 * np.sqrt(costs.area * price)) - price[0] * problem.bound_s)
