"""Whole replicas: rounded up from the budgets, given back where slack allows, with a bound below every whole answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solvers.budgets.compiled import compiled
from solvers.budgets.passes import allowed, longest
from solvers.budgets.problem import FloatArray, IntArray, Problem, Split
from solvers.budgets.stations import Stations


@dataclass(frozen=True)
class Whole:
    """Replicas that keep the bound, latency of each service with them, their cost, and a cost no whole answer beats."""

    replicas: IntArray
    latency_s: FloatArray
    cost: float
    lower: float


def whole(problem: Problem, given: Stations, split: Split, lower: float) -> Whole | None:
    """Round ``split`` to whole replicas; None where even those break the bound (a curve above its convex hull).

    Replicas are rounded up, which keeps every budget; then one is taken where that saves most beyond the price of the
    latency it costs, as long as the bound holds (ours). ``lower``: a bound below every continuous answer;
    that of the result is the better of it and of the Lagrangian at ``split.price``, in which each service chooses its
    whole number itself (std) and which is a bound where the prices are a flow, as `exact` gives them.
    """
    replicas = _rounded_up(split.budget_s, given.fewest, given.at, given.rate_per_s, given.latency_s, given.load_per_s)
    ok = _give_back(
        replicas, split.price, problem.bound_s, *problem.arrays, given.fewest, given.at, given.rate_per_s,
        given.latency_s, given.load_per_s, given.price,
    )  # fmt: skip
    if not ok:
        return None
    latency = latency_with(given, replicas)
    bound = max(lower, lagrangian(problem, given, split.price)) if split.method in PROVEN else lower
    return Whole(replicas, latency, float(given.price @ replicas), bound)


PROVEN = ("exact", "closed form")
"""Methods whose prices are a flow through the calls, and so prove a lower bound."""


def latency_with(given: Stations, replicas: IntArray) -> FloatArray:
    """Latency of each station with so many replicas; infinite beyond its highest knot."""
    found = np.empty(len(replicas))
    for i in range(len(replicas)):
        found[i] = _latency(int(replicas[i]), i, given.at, given.rate_per_s, given.latency_s, given.load_per_s)
    return found


def lagrangian(problem: Problem, given: Stations, price: FloatArray) -> float:
    """A cost that no whole numbers of replicas beat: each service's best at ``price``, less the price of the bound."""
    hulled = problem.costs
    return _lagrangian(
        price, problem.bound_s, hulled.at, hulled.low_s, hulled.high_s, hulled.area, hulled.base_s, given.fewest,
        given.load_per_s, given.price,
    )  # fmt: skip


@compiled
def _latency(n: int, i: int, at: IntArray, rate: FloatArray, value: FloatArray, load: FloatArray) -> float:
    x = load[i] / n
    if x > rate[at[i + 1] - 1] * (1.0 + 1e-9):
        return float(np.inf)
    return float(np.interp(x, rate[at[i] : at[i + 1]], value[at[i] : at[i + 1]]))


@compiled
def _rounded_up(
    budget: FloatArray, fewest: IntArray, at: IntArray, rate: FloatArray, value: FloatArray, load: FloatArray
) -> IntArray:
    n = len(budget)
    found = fewest.copy()
    for i in range(n):
        most = max(fewest[i], int(np.ceil(load[i] / rate[at[i]])))
        low, high = fewest[i], most
        while low < high:  # latency falls with replicas: the fewest that keep the budget
            middle = (low + high) // 2
            if _latency(middle, i, at, rate, value, load) <= budget[i] * (1.0 + 1e-9):
                high = middle
            else:
                low = middle + 1
        found[i] = low
    return found


@compiled
def _give_back(
    replicas: IntArray,
    price: FloatArray,
    bound: float,
    group_at: IntArray,
    call_at: IntArray,
    callee: IntArray,
    weight: FloatArray,
    fewest: IntArray,
    at: IntArray,
    rate: FloatArray,
    value: FloatArray,
    load: FloatArray,
    cost: FloatArray,
) -> bool:
    n = len(replicas)
    now, latency, room, gain = np.empty(n), np.empty(n), np.empty(n), np.full(n, -np.inf)
    for i in range(n):
        now[i] = _latency(replicas[i], i, at, rate, value, load)
    longest(now, group_at, call_at, callee, weight, latency)
    if not latency[0] <= bound * (1.0 + 1e-9):
        return False
    allowed(latency, bound, group_at, call_at, callee, weight, room)
    for i in range(n):
        if cost[i] > 0.0 and replicas[i] > fewest[i]:
            less = _latency(replicas[i] - 1, i, at, rate, value, load)
            gain[i] = cost[i] - price[i] * (less - now[i])
    while True:
        i = int(np.argmax(gain))
        if gain[i] == -np.inf:
            return True
        less = _latency(replicas[i] - 1, i, at, rate, value, load)
        gain[i] = -np.inf
        if less - now[i] > room[i] - latency[i] + 1e-9 * bound:
            continue
        before, now[i] = now[i], less
        longest(now, group_at, call_at, callee, weight, latency)
        if latency[0] > bound * (1.0 + 1e-9):
            now[i] = before
            longest(now, group_at, call_at, callee, weight, latency)
            continue
        replicas[i] -= 1
        allowed(latency, bound, group_at, call_at, callee, weight, room)
        if replicas[i] > fewest[i]:
            less = _latency(replicas[i] - 1, i, at, rate, value, load)
            gain[i] = cost[i] - price[i] * (less - now[i])


@compiled
def _lagrangian(
    price: FloatArray,
    bound: float,
    at: IntArray,
    low: FloatArray,
    high: FloatArray,
    area: FloatArray,
    base: FloatArray,
    fewest: IntArray,
    load: FloatArray,
    cost: FloatArray,
) -> float:
    total = -price[0] * bound
    for i in range(len(price)):
        total += _best_whole(i, price[i], at, low, high, area, base, fewest, load, cost)
    return float(total)


@compiled
def _best_whole(
    i: int,
    price: float,
    at: IntArray,
    low: FloatArray,
    high: FloatArray,
    area: FloatArray,
    base: FloatArray,
    fewest: IntArray,
    load: FloatArray,
    cost: FloatArray,
) -> float:
    """Least cost × n + price × latency(n) over whole n; convex in n, so that the two beside the best real n decide."""
    first, last = at[i], at[i + 1] - 1
    if area[first] <= 0.0:
        return float(cost[i] * fewest[i] + price * low[first])
    best = np.inf
    for k in range(first, last + 1):
        real = np.sqrt(price * area[k] / cost[i]) / cost[i] ** 0.5 if cost[i] > 0.0 else 0.0
        ends = (area[k] / (high[k] - base[k]) / cost[i], area[k] / (low[k] - base[k]) / cost[i])
        middle = min(max(real, ends[0]), min(ends[1], 1e15))
        for n in (np.floor(middle), np.ceil(middle)):
            whole_n = max(n, float(fewest[i]))
            s = low[first]
            for j in range(first, last + 1):  # a convex latency is the highest of its lines
                s = max(s, base[j] + area[j] / (cost[i] * whole_n))
            best = min(best, cost[i] * whole_n + price * s)
    return float(best)
