"""Every split keeps the bound; the exact one agrees with a general solver and with the closed form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint, minimize

from solvers.budgets.closed_form import closed_form
from solvers.budgets.dual import exact
from solvers.budgets.feasible import cost_of, latencies, longest_path
from solvers.budgets.gradient import gradient, update
from solvers.budgets.greedy import units
from solvers.budgets.problem import NoSplitError, Problem, Split, chain, from_edges, linear_costs
from solvers.budgets.rules import equal, proportional
from tests.solvers.budgets.problems import diamond, kinked, plain_latency, random_problem, staged

METHODS: tuple[Callable[[Problem], Split], ...] = (exact, gradient, units, equal, proportional)


def oracle(problem: Problem) -> float:
    """Least cost by scipy's SLSQP, with the latencies of services and groups as variables of their own."""
    calls, n, groups = problem.calls, problem.calls.services, len(problem.calls.call_at) - 1
    rows, right = [], []  # rows @ (s, L, m) >= right

    def row(*terms: tuple[int, float], least: float = 0.0) -> None:
        rows.append(np.zeros(2 * n + groups))
        for at, factor in terms:
            rows[-1][at] += factor
        right.append(least)

    row((n, -1.0), least=-problem.bound_s)
    for i in range(n):
        inside = range(calls.group_at[i], calls.group_at[i + 1])
        row((n + i, 1.0), (i, -1.0), *((2 * n + g, -1.0) for g in inside))
        for g in inside:
            for e in range(calls.call_at[g], calls.call_at[g + 1]):
                row((2 * n + g, 1.0), (n + int(calls.callee[e]), -float(calls.weight[e])))
    matrix, least = np.array(rows), np.array(right)
    low, high = problem.costs.lowest_s, np.minimum(problem.costs.highest_s, problem.bound_s)
    start = np.concatenate([equal(problem).budget_s, np.full(n + groups, problem.bound_s)])
    solved = minimize(  # type: ignore[call-overload]
        lambda x: float(cost_of(problem, np.maximum(x[:n], low + 1e-9))[0].sum()), start, method="SLSQP",
        constraints=[LinearConstraint(matrix, least, np.inf)],
        bounds=[*zip(low + 1e-6, high, strict=True), *[(0.0, problem.bound_s)] * (n + groups)],
        tol=1e-13, options={"maxiter": 1000},
    )  # fmt: skip
    assert plain_latency(calls, solved.x[:n]) <= problem.bound_s * (1 + 1e-6)
    return float(solved.fun)


def loaded(problem: Problem, factor: float) -> Problem:
    costs = linear_costs(factor * problem.costs.area, problem.costs.base_s, problem.bound_s)
    return Problem(problem.calls, costs, problem.bound_s)


@pytest.mark.parametrize("problem", [diamond(), staged(), kinked(), random_problem(8, 1), random_problem(12, 2)])
def test_the_exact_split_costs_what_a_general_solver_finds(problem: Problem) -> None:
    found = exact(problem)
    assert found.gap < 1e-6
    assert found.cost == pytest.approx(oracle(problem), rel=2e-4)
    assert plain_latency(problem.calls, found.budget_s) <= problem.bound_s * (1 + 1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("problem", [diamond(), staged(), kinked(), random_problem(40, 3, 1.1)])
def test_every_split_keeps_the_bound_and_beats_no_lower_bound(
    method: Callable[[Problem], Split], problem: Problem
) -> None:
    found = method(problem)
    assert latencies(problem, found.budget_s)[0] == pytest.approx(plain_latency(problem.calls, found.budget_s))
    assert plain_latency(problem.calls, found.budget_s) <= problem.bound_s * (1 + 1e-9)
    assert found.cost == pytest.approx(cost_of(problem, found.budget_s)[0].sum())
    assert found.cost >= exact(problem).lower * (1 - 1e-9)


@given(st.integers(2, 30), st.integers(0, 10_000), st.floats(1.02, 6.0))
@settings(max_examples=30, deadline=None)
def test_descent_is_within_a_thousandth_and_a_looser_bound_costs_no_more(n: int, seed: int, slack: float) -> None:
    tight, loose = random_problem(n, seed, slack), random_problem(n, seed, 1.2 * slack)
    best = exact(tight)
    assert best.gap <= 1e-6
    assert gradient(tight).cost <= 1.001 * best.lower
    assert exact(loose).lower <= best.cost * (1 + 1e-9)


def test_a_chain_has_the_closed_form_of_the_kkt_conditions() -> None:
    area, base, bound = np.array([1.0, 4.0, 9.0]), np.array([1.0, 2.0, 0.5]), 10.0
    problem = Problem(chain(3), linear_costs(area, base, bound), bound)
    found = closed_form(problem)
    assert found is not None
    assert found.budget_s == pytest.approx(base + np.sqrt(area) / np.sqrt(area).sum() * (bound - base.sum()))
    assert found.cost == pytest.approx(np.sqrt(area).sum() ** 2 / (bound - base.sum()))
    assert found.lower == pytest.approx(found.cost)
    assert exact(problem).cost == pytest.approx(found.cost)


def test_parallel_calls_reduce_only_where_their_bases_are_equal() -> None:
    assert closed_form(diamond()) is None  # service 3 is shared: no tree
    calls = from_edges(4, [(0, 1), (0, 2), (1, 3)])
    apart = Problem(calls, linear_costs([1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 2.5, 1.0], 9.0), 9.0)
    assert closed_form(apart) is None
    alike = Problem(calls, linear_costs([1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 2.0, 1.0], 9.0), 9.0)
    found = closed_form(alike)
    assert found is not None
    assert found.cost == pytest.approx(exact(alike).cost, rel=1e-6)


def test_prices_are_what_a_longer_bound_saves() -> None:
    problem = random_problem(30, 4)
    step = 1e-3 * problem.bound_s
    best, more = exact(problem, 1e-9), exact(Problem(problem.calls, problem.costs, problem.bound_s + step), 1e-9)
    assert best.price[0] == pytest.approx((best.cost - more.cost) / step, rel=0.02)


def test_a_bound_below_the_least_latencies_names_the_path() -> None:
    with pytest.raises(NoSplitError) as caught:
        exact(staged(4.0))
    assert caught.value.least_s == pytest.approx(1.0 + 2 * 0.5 + 1.5 + 0.7)
    assert caught.value.path == {0: 1.0, 1: 2.0, 2: 1.0, 3: 1.0}


def test_the_longest_path_counts_repeated_calls() -> None:
    problem = staged()
    assert longest_path(problem, np.array([1.0, 1.0, 5.0, 1.0])) == {0: 1.0, 1: 2.0, 2: 1.0, 3: 1.0}
    assert longest_path(problem, np.array([1.0, 1.0, 0.1, 1.0])) == {0: 1.0, 1: 2.0, 2: 1.0, 3: 1.0}


def test_an_update_keeps_what_holds_and_descends_where_it_does_not() -> None:
    problem = random_problem(60, 5)
    first = gradient(problem)
    assert update(problem, first, 0.001).budget_s is first.budget_s
    changed = loaded(problem, 1.5)
    again = update(changed, first, 0.5)
    assert again.iterations < first.iterations / 5
    assert again.cost <= 1.02 * exact(changed).lower


def test_more_load_never_costs_less() -> None:
    problem = random_problem(25, 6)
    assert exact(loaded(problem, 1.3)).lower >= exact(problem).cost
