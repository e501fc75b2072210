"""Budgets moved until they keep the bound, and what a way through the graph holds at least."""

from __future__ import annotations

import numpy as np

from solvers.budgets.passes import allowed, counted, fill, longest, priced, shrink
from solvers.budgets.problem import FloatArray, NoSplitError, Problem, Split


def latencies(problem: Problem, budget_s: FloatArray) -> FloatArray:
    """Latency of every service with its calls, seconds."""
    found = np.empty(len(budget_s))
    longest(budget_s, *problem.arrays, found)
    return found


def cost_of(problem: Problem, budget_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Cost of every budget and what a second less would cost per second; infinite for a budget below the least."""
    cost, marginal = np.empty(len(budget_s)), np.empty(len(budget_s))
    priced(budget_s, *problem.pieces, cost, marginal)
    return cost, marginal


def shares_of(problem: Problem) -> FloatArray:
    """The most services on any way through each."""
    found = np.empty(problem.calls.services)
    counted(*problem.arrays[:3], found)
    return found


def least_latency(problem: Problem) -> float:
    """Latency at the root with the least budgets; `NoSplitError` where that is not below the bound."""
    least = problem.costs.lowest_s
    found = latencies(problem, least)
    if not found[0] < problem.bound_s:
        raise NoSplitError(longest_path(problem, least), float(found[0]))
    return float(found[0])


def slack_of(problem: Problem) -> FloatArray:
    """What each service alone could add to its least budget; `NoSplitError` where the bound leaves nothing."""
    least_latency(problem)
    latency = latencies(problem, problem.costs.lowest_s)
    room = np.empty(len(latency))
    allowed(latency, problem.bound_s, *problem.arrays, room)
    return room - latency


def safe_step(problem: Problem) -> float:
    """Step of the ascent that cannot overshoot, 1/s: twice the inverse of the widest room above the least budgets.

    The dual is relatively smooth to the entropy of the ways with half the longest sum of (budget − base) as constant
    (ours, from φ'' = −(s − base)/2μ of one service).
    """
    return 2.0 / max(float(slack_of(problem).max()), 1e-12 * problem.bound_s)


def longest_path(problem: Problem, budget_s: FloatArray) -> dict[int, float]:
    """The services whose budgets make up the latency at the root, callers first, and how often each one's counts."""
    latency, calls = latencies(problem, budget_s), problem.calls
    path: dict[int, float] = {}
    stack = [(0, 1.0)]
    while stack:
        i, times = stack.pop()
        path[i] = path.get(i, 0.0) + times
        for g in range(int(calls.group_at[i + 1]) - 1, int(calls.group_at[i]) - 1, -1):  # the first comes off first
            of_group = slice(int(calls.call_at[g]), int(calls.call_at[g + 1]))
            values = calls.weight[of_group] * latency[calls.callee[of_group]]
            k = int(np.argmax(values))
            stack.append((int(calls.callee[of_group][k]), times * float(calls.weight[of_group][k])))
    return path


def toward_bound(problem: Problem, budget_s: FloatArray, passes: int = 12) -> FloatArray:
    """Shrink ``budget_s`` until the bound holds, then give unused slack back.

    `NoSplitError` where even those are too long.
    """
    least_latency(problem)
    found = np.maximum(budget_s, problem.costs.lowest_s)
    shrink(found, problem.costs.lowest_s, problem.bound_s, *problem.arrays)
    fill(found, problem.costs.highest_s, shares_of(problem), problem.bound_s, passes, *problem.arrays)
    return found


def answer(problem: Problem, budget_s: FloatArray, method: str, iterations: int = 0) -> Split:
    """The split with these budgets; the price of each service is what a second more would save there."""
    cost, marginal = cost_of(problem, budget_s)
    price = np.where(budget_s < problem.costs.highest_s, marginal, 0.0)
    return Split(budget_s, float(cost.sum()), price, method=method, iterations=iterations)
