"""The exact split: entropic mirror ascent on the dual flow, accelerated, with a certified gap (ours)."""

from __future__ import annotations

import numpy as np

from solvers.budgets.compiled import compiled
from solvers.budgets.feasible import safe_step, shares_of
from solvers.budgets.passes import cheapest, fill, priced, shrink, softmax
from solvers.budgets.problem import FloatArray, IntArray, Problem, Split

GAP = 1e-6
MOST_ITERATIONS = 60_000
CHECK_EVERY = 50
FILLS = 12
FEW = 4
"""Steps within which a failure is laid to the step and not to the momentum."""
FLOW_STEPS = 40


def exact(problem: Problem, gap: float = GAP, most: int = MOST_ITERATIONS) -> Split:
    """Return the split of least cost, within a relative ``gap`` that its ``lower`` proves; `NoSplitError` where none.

    Dual: a flow μ from the root, split over the calls of each group; its value Σ_i min_s(cost_i(s) + μ_i s) − μ_0 T
    is a lower bound for every flow. The flow is moved by mirror ascent under the dilated entropy: the choice within
    a group is a softmax of the budgets summed over the iterations, which takes one pass down and one up (std: mirror
    ascent, Nesterov's momentum with restarts; this use of them ours). Cost: O(services + calls) per iteration.
    """
    step = safe_step(problem)
    theta = np.zeros(problem.calls.services)
    budget, price, cost, lower, used = ascend(
        theta, 0.0, problem.bound_s, step, gap, most, CHECK_EVERY, shares_of(problem), *problem.flat
    )
    return Split(budget, cost, price, lower, "exact", used)


@compiled
def ascend(
    theta: FloatArray,
    flow_now: float,
    bound: float,
    step0: float,
    gap: float,
    most: int,
    check_every: int,
    share_of: FloatArray,
    group_at: IntArray,
    call_at: IntArray,
    callee: IntArray,
    weight: FloatArray,
    at: IntArray,
    low: FloatArray,
    high: FloatArray,
    area: FloatArray,
    base: FloatArray,
) -> tuple[FloatArray, FloatArray, float, float, int]:
    """Move the flow from ``theta``, which is changed: best budgets, best prices, their cost, the bound, iterations.

    Every ``check_every`` iterations budgets that keep the bound are made of the flow's; a relative ``gap`` ends it.
    """
    n = len(theta)
    total, share, flow = np.empty(n), np.empty(len(callee)), np.empty(n)
    budget, tried, best, price, top = np.empty(n), np.empty(n), np.empty(n), np.zeros(n), np.empty(n)
    costs, marginal = np.empty(n), np.empty(n)
    ahead = theta.copy()
    best_cost, lower, last, momentum, step = np.inf, -np.inf, -np.inf, 1.0, step0
    used, since = 0, 0
    for k in range(most):
        used = k + 1
        softmax(ahead, 1.0, group_at, call_at, callee, weight, total, share, flow)
        flow_now = _root_flow(flow_now, flow, bound, at, low, high, area, base)
        value = -flow_now * bound
        for i in range(n):
            budget[i], c = cheapest(flow_now * flow[i], i, at, low, high, area, base)
            value += c + flow_now * flow[i] * budget[i]
        if value > lower:
            lower = value
            for i in range(n):
                price[i], top[i] = flow_now * flow[i], budget[i]
        if k % check_every == check_every - 1 or k == 0 or k == most - 1:
            tried[:] = top
            shrink(tried, low[at[:-1]], bound, group_at, call_at, callee, weight)
            fill(tried, high[at[1:] - 1], share_of, bound, FILLS, group_at, call_at, callee, weight)
            priced(tried, at, low, high, area, base, costs, marginal)
            if costs.sum() < best_cost:
                best_cost = costs.sum()
                best[:] = tried
            if best_cost - lower <= gap * abs(lower):
                break
        if value < last - 1e-13 * abs(last):  # the momentum went too far: go on from the last point without it
            if since <= FEW:  # the step itself went too far: at kinks and repeated calls the dual is steeper
                step0 *= 0.5
            momentum, last, step, since = 1.0, -np.inf, max(0.5 * step, step0), 0
            ahead[:] = theta
            continue
        last = value
        since += 1
        following = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum * momentum))
        push = (momentum - 1.0) / following
        momentum = following
        for i in range(n):
            moved = ahead[i] + step * budget[i]
            ahead[i] = moved + push * (moved - theta[i])
            theta[i] = moved
        step *= 1.02
    return best, price, best_cost, lower, used


@compiled
def _root_flow(
    start: float,
    flow: FloatArray,
    bound: float,
    at: IntArray,
    low: FloatArray,
    high: FloatArray,
    area: FloatArray,
    base: FloatArray,
) -> float:
    """The total flow at which the expected latency is the bound: by Newton's steps in 1/√flow, in which it is linear.

    Zero where even the highest budgets keep the bound in the mean over the ways.
    """
    n = len(flow)
    if start <= 0.0:
        x, z = 0.0, bound
        for i in range(n):
            k = at[i]
            x += np.sqrt(area[k] * flow[i])
            z -= low[k] * flow[i]
        start = (x / max(z, 1e-3 * bound)) ** 2
    lower, upper = 0.0, np.inf
    now = start
    for _ in range(FLOW_STEPS):
        expected, fixed = 0.0, 0.0
        for i in range(n):
            s, _ = cheapest(now * flow[i], i, at, low, high, area, base)
            expected += flow[i] * s
            k = at[i]
            while k < at[i + 1] - 1 and s > high[k]:
                k += 1
            fixed += flow[i] * (base[k] if low[k] < s < high[k] else s)
        if abs(expected - bound) <= 1e-10 * bound:
            break
        if expected > bound:
            lower = now
        else:
            upper = now
        free, wanted = expected - fixed, bound - fixed
        following = now * (free / wanted) ** 2 if free > 0.0 and wanted > 0.0 else 0.0
        if not lower < following < upper:
            following = np.sqrt(max(lower, 1e-30 * start) * upper) if upper < np.inf else 4.0 * now
        if following < 1e-18 * start:
            return following
        now = following
    return now
