"""Whole replicas keep the bound, are nearly the best by brute force, and never beat the proven bound."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from solvers.budgets.dual import exact
from solvers.budgets.feasible import latencies
from solvers.budgets.problem import FloatArray, Problem, from_edges
from solvers.budgets.stations import Stations, costs_of, hull, stations
from solvers.budgets.whole import lagrangian, latency_with, whole


def world(seed: int) -> tuple[Stations, Problem]:
    """A root without cost and three services, 1 before 2 and 3 side by side."""
    rng = np.random.default_rng(seed)
    curves: list[tuple[FloatArray, FloatArray]] = [(np.ones(1), np.zeros(1))]
    for _ in range(3):
        rates = np.cumsum(rng.uniform(2.0, 10.0, 4))
        slopes = np.cumsum(rng.uniform(0.01, 0.3, 4))
        curves.append((rates, np.cumsum(rates * slopes)))
    load, price = [0.0, *rng.uniform(20, 60, 3)], [0.0, *rng.uniform(0.5, 2.0, 3)]
    given = stations(curves, load, price)
    costs, _ = costs_of(given)
    calls = from_edges(4, [(0, 1), (1, 2), (1, 3)])
    bound = 1.4 * float(latencies(Problem(calls, costs, 1.0), costs.lowest_s)[0])
    return given, Problem(calls, costs, bound)


@pytest.mark.parametrize("seed", range(6))
def test_whole_replicas_against_brute_force(seed: int) -> None:
    given, problem = world(seed)
    split = exact(problem)
    found = whole(problem, given, split, split.lower)
    assert found is not None
    assert latencies(problem, found.latency_s)[0] <= problem.bound_s * (1 + 1e-8)
    best = np.inf
    for n in itertools.product([1], *(range(int(f), int(f) + 25) for f in given.fewest[1:])):
        replicas = np.array(n)
        if latencies(problem, latency_with(given, replicas))[0] <= problem.bound_s:
            best = min(best, float(given.price @ replicas))
    assert found.lower <= best * (1 + 1e-9)
    assert best * (1 - 1e-9) <= found.cost <= 1.25 * best
    assert lagrangian(problem, given, split.price) >= split.lower * (1 - 1e-9)


def test_the_continuous_split_is_a_lower_bound_for_every_number_of_replicas() -> None:
    given, problem = world(11)
    split = exact(problem)
    real = 0.0
    for i in range(1, 4):
        knots = slice(given.at[i], given.at[i + 1])
        rate = np.interp(split.budget_s[i], given.latency_s[knots], given.rate_per_s[knots])
        real += given.price[i] * max(given.load_per_s[i] / rate, 1.0)
    assert split.cost == pytest.approx(real, rel=1e-6)


def test_the_hull_lies_on_or_below_the_curve() -> None:
    x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 3.5, 9.0])
    at, value = hull(x, y)
    assert at.tolist() == [1.0, 3.0, 4.0]
    assert np.all(np.interp(x, at, value) <= y + 1e-12)


def test_a_load_that_one_replica_carries_costs_one_replica() -> None:
    given = stations([(np.array([10.0, 20.0]), np.array([1.0, 2.0]))], [3.0], [2.0])
    costs, fixed = costs_of(given)
    assert fixed.tolist() == [2.0]
    assert costs.area.tolist() == [0.0]


def test_falling_curves_are_refused() -> None:
    with pytest.raises(ValueError, match="not fall"):
        stations([(np.array([1.0, 2.0]), np.array([2.0, 1.0]))], [1.0], [1.0])
