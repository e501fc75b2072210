"""The Lagrangian choice keeps the budget, is near the exact one, and its bound holds."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from solvers.multiple_choice import choose, choose_exactly


@given(st.integers(0, 10_000), st.floats(0.0, 1.0))
def test_against_the_exact_choice(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    loss, cost = rng.random((4, 4)), rng.random((4, 4))
    budget = cost.min(axis=1).sum() + share * (cost.max(axis=1).sum() - cost.min(axis=1).sum())
    found, exact = choose(loss, cost, budget), choose_exactly(loss, cost, budget)
    assert found is not None
    assert exact is not None
    assert found.cost <= budget + 1e-12
    assert found.bound - 1e-9 <= exact.loss <= found.loss + 1e-12
    assert found.loss - exact.loss <= loss.max()


def test_no_choice_within_the_budget() -> None:
    assert choose([[1.0, 2.0]], [[3.0, 4.0]], 2.0) is None
    assert choose_exactly([[1.0, 2.0]], [[3.0, 4.0]], 2.0) is None


def test_a_budget_that_binds_nothing_takes_the_least_loss() -> None:
    found = choose([[3.0, 1.0], [0.0, 5.0]], [[1.0, 9.0], [9.0, 1.0]], 100.0)
    assert found is not None
    assert found.options == (1, 0)
    assert found.gap == 0.0


@given(st.integers(0, 10_000))
def test_more_budget_lowers_the_bound_and_one_row_is_all_that_is_left_open(seed: int) -> None:
    rng = np.random.default_rng(seed)
    loss, cost = rng.random((12, 6)), rng.random((12, 6))
    least = cost.min(axis=1).sum()
    found = [choose(loss, cost, least + extra) for extra in (0.5, 1.0, 2.0)]
    bounds = [one.bound for one in found if one is not None]
    assert bounds == sorted(bounds, reverse=True)
    for one in found:
        assert one is not None
        assert one.gap <= np.ptp(loss, axis=1).max()
