"""Weighted forecasts lose little more than the best of them, and a newcomer waits for its trials."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers.hedging import ETA, gated, hedged
from solvers.seasonal import pinball


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), methods=st.integers(2, 6))
def test_the_joined_forecast_loses_little_more_than_the_best(seed: int, methods: int) -> None:
    rng = np.random.default_rng(seed)
    actual = rng.normal(size=1500)
    forecasts = np.stack([np.full(1500, rng.normal(1.6, 1.0)) for _ in range(methods)])
    joined = hedged(actual, forecasts, 1, 0.95)
    losses = [pinball(actual, one, 0.95) for one in forecasts]
    # Exponential weights: regret per place of about ln(k)/(η·n) mean losses of the first, and what decay forgets.
    allowed = min(losses) + losses[0] * (math.log(methods) / ETA / 1500 + 0.01)
    assert pinball(actual, joined, 0.95) <= allowed


def test_a_forecast_that_is_not_there_has_no_weight() -> None:
    forecasts = np.stack([np.full(10, 1.0), np.full(10, np.nan)])
    assert hedged(np.zeros(8), forecasts, 2, 0.9) == pytest.approx(np.ones(10))


def test_losses_count_only_once_they_are_known() -> None:
    actual = np.zeros(40)
    forecasts = np.stack([np.full(40, 5.0), np.full(40, 1.0)])
    joined = hedged(actual, forecasts, 10, 0.9)
    assert joined[:10] == pytest.approx(np.full(10, 3.0))
    assert (np.diff(joined[10:]) < 0).all()


def test_a_newcomer_waits_for_its_trials() -> None:
    baseline, newcomer = np.zeros(100), np.ones(100)
    mixed, share = gated(np.zeros(96), baseline, newcomer, 4, least=7)
    assert mixed[: 4 + 28] == pytest.approx(np.zeros(32))
    assert share == 1.0
    assert (np.diff(mixed) >= 0).all()
    assert mixed[4 + 56 :] == pytest.approx(np.ones(40))
