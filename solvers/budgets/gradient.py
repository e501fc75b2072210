"""Projected gradient descent on the budgets, and its update under a changed load (after LSRAM)."""

from __future__ import annotations

import numpy as np

from solvers.budgets.compiled import compiled
from solvers.budgets.feasible import answer, latencies, least_latency, shares_of, toward_bound
from solvers.budgets.passes import longest, priced, softmax
from solvers.budgets.problem import FloatArray, IntArray, Problem, Split
from solvers.budgets.rules import equal

ITERATIONS = 400
UPDATE_ITERATIONS = 40
COARSE, FINE = 0.05, 3e-4
"""Temperature of the smooth maximum at first and at last, as shares of the room above the least budgets."""
STEP, MOMENTUM = 0.05, 0.9
STEADY = 0.03
"""Temperature below which the step falls with it: a sharper maximum turns with smaller changes of the budgets."""
UNCHANGED = 0.01
"""Relative change of load up to which an old split is kept as long as it holds (ours)."""


def gradient(problem: Problem, iterations: int = ITERATIONS) -> Split:
    """Return a split near the cheapest by descent; `NoSplitError` where there is none.

    What lies above the least budgets moves along the gradient of cost + flow × smooth maximum over the ways, in
    logarithms and scaled by its curvature; after each step it is projected onto the bound. The temperature of the
    maximum falls from COARSE to FINE. That the split is found by gradient descent on resources, under a model from
    partial to end-to-end tails, is the paper's (abs; LSRAM, arXiv 2411.11493); its equations are not public, these
    are ours.
    """
    start = equal(problem).budget_s
    return _descend(problem, start, COARSE, iterations, "gradient")


def update(problem: Problem, old: Split, load_change: float, iterations: int = UPDATE_ITERATIONS) -> Split:
    """The second stage: ``old`` carried over to a changed ``problem`` of the same calls (ours; after LSRAM's update).

    ``load_change``: the largest relative change of a service's load. Up to UNCHANGED the old split is returned where
    it still holds; else a short descent starts from it. `NoSplitError` where nothing holds.
    """
    least_latency(problem)
    if load_change <= UNCHANGED and float(latencies(problem, old.budget_s)[0]) <= problem.bound_s * (1.0 + 1e-12):
        kept = answer(problem, old.budget_s, "gradient")
        if np.isfinite(kept.cost):
            return kept
    return _descend(problem, old.budget_s, FINE, iterations, "gradient")


def _descend(problem: Problem, start_s: FloatArray, coarse: float, iterations: int, method: str) -> Split:
    least = least_latency(problem)
    room = problem.bound_s - least
    free = np.maximum(start_s - problem.costs.lowest_s, 1e-9 * room / shares_of(problem))
    budget = _steps(np.log(free), problem.bound_s, least, coarse, iterations, *problem.flat)
    return answer(problem, toward_bound(problem, budget), method, iterations)


@compiled
def _steps(
    u: FloatArray,
    bound: float,
    least: float,
    coarse: float,
    iterations: int,
    group_at: IntArray,
    call_at: IntArray,
    callee: IntArray,
    weight: FloatArray,
    at: IntArray,
    low: FloatArray,
    high: FloatArray,
    area: FloatArray,
    base: FloatArray,
) -> FloatArray:
    n = len(u)
    total, share, flow = np.empty(n), np.empty(len(callee)), np.empty(n)
    budget, latency, velocity = np.empty(n), np.empty(n), np.zeros(n)
    cost, marginal = np.empty(n), np.empty(n)
    room = bound - least
    for k in range(iterations):
        temperature = room * max(coarse * (FINE / coarse) ** (k / (0.8 * iterations)), FINE)
        _project(u, budget, latency, bound, least, group_at, call_at, callee, weight, at, low, high)
        softmax(budget, temperature, group_at, call_at, callee, weight, total, share, flow)
        priced(budget, at, low, high, area, base, cost, marginal)
        saved, spent = 0.0, 0.0
        for i in range(n):
            free = budget[i] - low[at[i]]
            saved += marginal[i] * free
            spent += flow[i] * free
        price = saved / max(spent, 1e-300)
        step = STEP * min(1.0, temperature / (STEADY * room))
        for i in range(n):
            free = budget[i] - low[at[i]]
            gain, loss = marginal[i] * free, price * flow[i] * free
            if gain + loss > 0.0:
                velocity[i] = MOMENTUM * velocity[i] + step * (gain - loss) / (gain + loss)
                u[i] += velocity[i]
            if budget[i] >= high[at[i + 1] - 1]:
                velocity[i] = min(velocity[i], 0.0)
    _project(u, budget, latency, bound, least, group_at, call_at, callee, weight, at, low, high)
    return budget


@compiled
def _project(
    u: FloatArray,
    budget: FloatArray,
    latency: FloatArray,
    bound: float,
    least: float,
    group_at: IntArray,
    call_at: IntArray,
    callee: IntArray,
    weight: FloatArray,
    at: IntArray,
    low: FloatArray,
    high: FloatArray,
) -> None:
    """Scale what lies above the least budgets so that the latency is the bound; no budget beyond its highest."""
    n = len(u)
    for i in range(n):
        widest = high[at[i + 1] - 1] - low[at[i]]
        if widest <= 0.0:
            budget[i] = low[at[i]]
        else:
            u[i] = min(u[i], np.log(widest))
            budget[i] = low[at[i]] + np.exp(u[i])
    longest(budget, group_at, call_at, callee, weight, latency)
    if latency[0] <= least:
        return
    shift = np.log((bound - least) / (latency[0] - least))
    for i in range(n):
        widest = high[at[i + 1] - 1] - low[at[i]]
        if widest > 0.0:
            u[i] = min(u[i] + shift, np.log(widest))
            budget[i] = low[at[i]] + np.exp(u[i])
