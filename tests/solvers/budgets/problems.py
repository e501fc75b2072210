"""Small problems, and their latency written out plainly."""

from __future__ import annotations

import numpy as np

from solvers.budgets.problem import Calls, Costs, FloatArray, Problem, from_edges, linear_costs


def plain_latency(calls: Calls, budget: FloatArray, i: int = 0) -> float:
    """Latency of service ``i`` by the definition: its budget, plus the longest call of every group."""
    total = float(budget[i])
    for g in range(calls.group_at[i], calls.group_at[i + 1]):
        inside = range(calls.call_at[g], calls.call_at[g + 1])
        total += max(calls.weight[e] * plain_latency(calls, budget, int(calls.callee[e])) for e in inside)
    return total


def diamond(bound: float = 9.0) -> Problem:
    """0 calls 1 and 2 side by side, both call 3."""
    calls = from_edges(4, [(0, 1), (0, 2), (1, 3), (2, 3)])
    return Problem(calls, linear_costs([1.0, 4.0, 2.0, 3.0], [1.0, 0.5, 1.5, 0.7], bound), bound)


def staged(bound: float = 12.0) -> Problem:
    """0 calls 1 twice in a row, then 2 and 3 side by side; 2 calls 3 too."""
    calls = Calls(
        np.array([0, 2, 2, 3, 3]), np.array([0, 1, 3, 4]), np.array([1, 2, 3, 3]), np.array([2.0, 1.0, 1.0, 1.0])
    )
    return Problem(calls, linear_costs([1.0, 4.0, 2.0, 3.0], [1.0, 0.5, 1.5, 0.7], bound), bound)


def kinked(bound: float = 6.0) -> Problem:
    """Two services in a row whose latency grows faster beyond a load, and costs end at one replica."""
    calls = from_edges(2, [(0, 1)])
    at = np.array([0, 2, 3])
    low, high = np.array([1.0, 2.0, 0.5]), np.array([2.0, 5.0, 3.0])
    slope, load = np.array([0.1, 0.5, 0.2]), 10.0
    base = np.array([1.0, 2.0 - 0.5 * 10.0, 0.5])  # the second piece of the first service starts at load 10
    return Problem(calls, Costs(at, low, high, load * slope, base), bound)


def random_problem(services: int, seed: int, slack: float = 2.0) -> Problem:
    """Every service is called by up to two drawn from all before it."""
    rng = np.random.default_rng(seed)
    edges = [(int(p), j) for j in range(1, services) for p in rng.choice(j, size=min(2, j), replace=False)]
    calls, base = from_edges(services, edges), rng.uniform(0.5, 2.0, services)
    bound = slack * plain_latency(calls, base)
    return Problem(calls, linear_costs(rng.lognormal(0.0, 1.0, services), base, bound), bound)
