"""Compiled passes over a call graph: longest latencies, slack, choice by softmax, flow, and the cost of budgets."""

from __future__ import annotations

import numpy as np

from solvers.budgets.compiled import compiled
from solvers.budgets.problem import FloatArray, IntArray


@compiled
def longest(
    budget: FloatArray, group_at: IntArray, call_at: IntArray, callee: IntArray, weight: FloatArray, out: FloatArray
) -> None:
    """Put the latency of every service, its calls included, into ``out``; O(calls)."""
    for i in range(len(budget) - 1, -1, -1):
        total = budget[i]
        for g in range(group_at[i], group_at[i + 1]):
            most = 0.0
            for e in range(call_at[g], call_at[g + 1]):
                most = max(most, weight[e] * out[callee[e]])
            total += most
        out[i] = total


@compiled
def allowed(
    latency: FloatArray,
    bound: float,
    group_at: IntArray,
    call_at: IntArray,
    callee: IntArray,
    weight: FloatArray,
    out: FloatArray,
) -> None:
    """Put into ``out`` the latency that each service alone may reach for the root to keep ``bound``; O(calls)."""
    out[:] = np.inf
    out[0] = bound
    for i in range(len(latency)):
        for g in range(group_at[i], group_at[i + 1]):
            most = 0.0
            for e in range(call_at[g], call_at[g + 1]):
                most = max(most, weight[e] * latency[callee[e]])
            room = out[i] - (latency[i] - most)
            for e in range(call_at[g], call_at[g + 1]):
                out[callee[e]] = min(out[callee[e]], room / weight[e])


@compiled
def counted(group_at: IntArray, call_at: IntArray, callee: IntArray, out: FloatArray) -> None:
    """Put into ``out`` the most services, itself included, on any way from the root through each one."""
    n = len(group_at) - 1
    below, above = np.empty(n), np.zeros(n)
    longest(np.ones(n), group_at, call_at, callee, np.ones(len(callee)), below)
    above[0] = below[0]  # the most services of a way through i, with the way below i at its longest
    for i in range(n):
        out[i] = above[i]
        for g in range(group_at[i], group_at[i + 1]):
            most = 0.0
            for e in range(call_at[g], call_at[g + 1]):
                most = max(most, below[callee[e]])
            for e in range(call_at[g], call_at[g + 1]):
                j = callee[e]
                above[j] = max(above[j], above[i] - most + below[j])


@compiled
def fill(
    budget: FloatArray,
    high: FloatArray,
    share: FloatArray,
    bound: float,
    passes: int,
    group_at: IntArray,
    call_at: IntArray,
    callee: IntArray,
    weight: FloatArray,
) -> None:
    """Give unused slack to the budgets, keeping ``bound``: each pass gives a service its slack / ``share``.

    With ``share`` as `counted` has it no way gets more than its slack: each of its n services at most an n-th.
    """
    n = len(budget)
    latency, room = np.empty(n), np.empty(n)
    for _ in range(passes):
        longest(budget, group_at, call_at, callee, weight, latency)
        allowed(latency, bound, group_at, call_at, callee, weight, room)
        for i in range(n):
            more = (room[i] - latency[i]) / share[i]
            if more > 0.0:
                budget[i] = min(budget[i] + more, max(high[i], budget[i]))


@compiled
def shrink(
    budget: FloatArray,
    low: FloatArray,
    bound: float,
    group_at: IntArray,
    call_at: IntArray,
    callee: IntArray,
    weight: FloatArray,
) -> None:
    """Shrink the budgets on ways that are too long until the root keeps ``bound``; others stay as they are.

    Callers first, each service gets a deadline for itself and what it waits for. Where it exceeds that, its own budget
    and those of its calls keep the same part of what they have above ``low``; a callee's deadline is the least that its
    callers leave it, never below its own lowest latency, so that every deadline can be kept (ours).
    """
    n = len(budget)
    latency, least, deadline = np.empty(n), np.empty(n), np.full(n, np.inf)
    longest(budget, group_at, call_at, callee, weight, latency)
    longest(low, group_at, call_at, callee, weight, least)
    deadline[0] = bound
    for i in range(n):
        part = 1.0
        if latency[i] > deadline[i]:
            part = max((deadline[i] - least[i]) / (latency[i] - least[i]), 0.0)
            budget[i] = low[i] + part * (budget[i] - low[i])
        for g in range(group_at[i], group_at[i + 1]):
            most, fewest = 0.0, 0.0
            for e in range(call_at[g], call_at[g + 1]):
                most = max(most, weight[e] * latency[callee[e]])
                fewest = max(fewest, weight[e] * least[callee[e]])
            room = fewest + part * (most - fewest)
            for e in range(call_at[g], call_at[g + 1]):
                deadline[callee[e]] = min(deadline[callee[e]], room / weight[e])


@compiled
def softmax(
    value: FloatArray,
    temperature: float,
    group_at: IntArray,
    call_at: IntArray,
    callee: IntArray,
    weight: FloatArray,
    total: FloatArray,
    share: FloatArray,
    flow: FloatArray,
) -> None:
    """Choose the callee of each group by softmax of its ``total`` value; ``flow``: the resulting weight per service.

    ``total`` is the smooth maximum of the values along the ways below; ``flow`` is its gradient by ``value``.
    """
    n = len(value)
    for i in range(n - 1, -1, -1):
        v = value[i]
        for g in range(group_at[i], group_at[i + 1]):
            most = -np.inf
            for e in range(call_at[g], call_at[g + 1]):
                most = max(most, weight[e] * total[callee[e]])
            z = 0.0
            for e in range(call_at[g], call_at[g + 1]):
                share[e] = np.exp((weight[e] * total[callee[e]] - most) / temperature)
                z += share[e]
            for e in range(call_at[g], call_at[g + 1]):
                share[e] /= z
            v += most + temperature * np.log(z)
        total[i] = v
    flow[:] = 0.0
    flow[0] = 1.0
    for i in range(n):
        for g in range(group_at[i], group_at[i + 1]):
            for e in range(call_at[g], call_at[g + 1]):
                flow[callee[e]] += flow[i] * share[e] * weight[e]


@compiled
def cheapest(
    price: float, i: int, at: IntArray, low: FloatArray, high: FloatArray, area: FloatArray, base: FloatArray
) -> tuple[float, float]:
    """The budget of service ``i`` that makes cost + price × budget least, and its cost."""
    for k in range(at[i], at[i + 1]):
        if area[k] <= 0.0:
            best = low[k]
        elif price <= 0.0:
            best = np.inf
        else:
            best = max(base[k] + np.sqrt(area[k] / price), low[k])
        if best <= high[k] or k == at[i + 1] - 1:
            best = min(best, high[k])
            return best, (area[k] / (best - base[k]) if area[k] > 0.0 else 0.0)
    return low[at[i]], 0.0


@compiled
def priced(
    budget: FloatArray,
    at: IntArray,
    low: FloatArray,
    high: FloatArray,
    area: FloatArray,
    base: FloatArray,
    cost: FloatArray,
    marginal: FloatArray,
) -> None:
    """Put the cost of each budget, and what a second less would cost per second, into ``cost`` and ``marginal``.

    A budget below the least is infinitely dear; above the highest it costs what the highest costs.
    """
    for i in range(len(budget)):
        k = at[i]
        while k < at[i + 1] - 1 and budget[i] > high[k]:
            k += 1
        if area[k] <= 0.0:
            cost[i], marginal[i] = 0.0, 0.0
            continue
        s = min(budget[i], high[k])
        if s <= base[k] or s < low[at[i]] * (1.0 - 1e-12) - 1e-15:
            cost[i], marginal[i] = np.inf, np.inf
        else:
            cost[i] = area[k] / (s - base[k])
            marginal[i] = cost[i] / (s - base[k])
