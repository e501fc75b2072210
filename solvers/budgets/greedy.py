"""The bound cut into small units, each given where it saves most (after Parslo)."""

from __future__ import annotations

import numpy as np

from solvers.budgets.compiled import compiled
from solvers.budgets.feasible import answer, least_latency, shares_of
from solvers.budgets.passes import allowed, longest, priced
from solvers.budgets.problem import FloatArray, IntArray, Problem, Split

UNITS_PER_SERVICE = 30
"""Units of the longest way per service on it."""


def units(problem: Problem, units_per_service: int = UNITS_PER_SERVICE) -> Split:
    """Give units of latency one by one to the service that saves most, as long as the bound holds.

    Cutting the SLO into units and giving each to the largest saving is the paper's (2nd; Parslo, SoCC'21); that a unit
    on one branch is weighed without those that its siblings get for free is ours. O(units × services).
    """
    room = problem.bound_s - least_latency(problem)
    unit = room / (units_per_service * float(shares_of(problem)[0]))
    first = problem.costs.lowest_s + 0.01 * unit  # a unit off the base, where the cost is infinite, has no saving
    given, budget = _give(np.minimum(first, problem.costs.highest_s), unit, problem.bound_s, *problem.flat)
    return answer(problem, budget, "units", int(given))


@compiled
def _give(
    budget: FloatArray,
    unit: float,
    bound: float,
    group_at: IntArray,
    call_at: IntArray,
    callee: IntArray,
    weight: FloatArray,
    at: IntArray,
    low: FloatArray,
    high: FloatArray,
    area: FloatArray,
    base: FloatArray,
) -> tuple[int, FloatArray]:
    n = len(budget)
    latency, room = np.empty(n), np.empty(n)
    now, after, unused = np.empty(n), np.empty(n), np.empty(n)
    priced(budget, at, low, high, area, base, now, unused)
    priced(budget + unit, at, low, high, area, base, after, unused)
    saving = now - after
    closed = np.zeros(n, dtype=np.bool_)
    longest(budget, group_at, call_at, callee, weight, latency)
    allowed(latency, bound, group_at, call_at, callee, weight, room)
    given, tight = 0, False
    while True:
        best, at_most = -1, 0.0
        for i in range(n):
            if not closed[i] and saving[i] > at_most:
                best, at_most = i, saving[i]
        if best < 0:
            return given, budget
        if not tight and room[best] - latency[best] < unit:
            closed[best] = True
            continue
        budget[best] += unit
        longest(budget, group_at, call_at, callee, weight, latency)
        if latency[0] > bound:
            budget[best] -= unit
            longest(budget, group_at, call_at, callee, weight, latency)
            closed[best] = True
            continue
        allowed(latency, bound, group_at, call_at, callee, weight, room)
        given += 1
        k = at[best]
        now_cost = _cost(budget[best], k, at[best + 1], high, area, base)
        saving[best] = now_cost - _cost(budget[best] + unit, k, at[best + 1], high, area, base)


@compiled
def _cost(s: float, first: int, last: int, high: FloatArray, area: FloatArray, base: FloatArray) -> float:
    k = first
    while k < last - 1 and s > high[k]:
        k += 1
    return area[k] / (min(s, high[k]) - base[k]) if area[k] > 0.0 else 0.0
