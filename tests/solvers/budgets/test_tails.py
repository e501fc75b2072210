"""Composed distributions against draws, and the union bound against independence."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from solvers.budgets.problem import Calls
from solvers.budgets.tails import PROBABILITIES, end_to_end, quantile, union_bound_share


def lognormal(median: float, sigma: float) -> np.ndarray:
    return median * np.exp(sigma * np.array([NormalDist().inv_cdf(p) for p in PROBABILITIES.tolist()]))


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_series_parallel_and_repeats_agree_with_draws(share: float) -> None:
    # 0 calls 1 twice in a row, then 2 and 3 side by side.
    calls = Calls(np.array([0, 2, 2, 2, 2]), np.array([0, 1, 3]), np.array([1, 2, 3]), np.array([2.0, 1.0, 1.0]))
    medians, sigmas = [1.0, 0.7, 2.0, 1.5], [0.5, 0.8, 0.3, 0.9]
    rows = np.array([lognormal(m, s) for m, s in zip(medians, sigmas, strict=True)])
    found = quantile(end_to_end(calls, rows, 40.0)[0], share, 40.0)
    rng = np.random.default_rng(0)

    def draw(i: int) -> np.ndarray:
        return medians[i] * np.exp(sigmas[i] * rng.standard_normal(400_000))

    drawn = draw(0) + draw(1) + draw(1) + np.maximum(draw(2), draw(3))
    assert found == pytest.approx(np.quantile(drawn, share), rel=0.03)


def test_the_union_bound_asks_more_of_each_visit_than_independence() -> None:
    each = union_bound_share(0.99, 10)
    assert each == pytest.approx(0.999)
    assert each**10 >= 0.99
