"""The controller yields above the bound, recovers below the warning, keeps still between, and stays a share."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solvers.aimd import Aimd, weighted_quantile

SALC = Aimd(slo_s=0.25)


@pytest.mark.parametrize(
    ("share", "latency_s", "following"),
    [(0.5, 0.1, 0.6), (0.5, 0.2, 0.5), (0.5, 0.25, 0.5), (0.5, 0.26, 0.4), (0.95, 0.1, 1.0), (0.5, math.nan, 0.6)],
)
def test_one_step(share: float, latency_s: float, following: float) -> None:
    assert SALC(share, latency_s) == pytest.approx(following)


@given(st.floats(0, 1), st.lists(st.floats(0, 10), max_size=40))
def test_it_stays_a_share(share: float, latencies: list[float]) -> None:
    for latency_s in latencies:
        share = SALC(share, latency_s)
        assert 0 <= share <= 1


def test_it_settles_around_the_share_that_just_holds() -> None:
    """A plant whose latency is linear in the share: the mean settles between what the warning and the bound allow."""
    seen, share = [], 1.0
    for _ in range(400):
        share = SALC(share, 0.4 * share)
        seen.append(share)
    assert 0.2 / 0.4 - 0.1 <= np.mean(seen[50:]) <= 0.25 / 0.4 + 0.1
    assert max(seen[50:]) <= 0.2 / 0.4 + 0.1 + 0.13


def test_a_weighted_quantile_is_that_of_the_values_repeated() -> None:
    values, weights = [1.0, 2.0, 3.0], [1, 5, 4]
    repeated = np.repeat(values, weights)
    for level in (0.05, 0.5, 0.9, 0.99):
        assert weighted_quantile(values, weights, level) == np.quantile(repeated, level, method="inverted_cdf")
    assert math.isnan(weighted_quantile([], [], 0.9))
