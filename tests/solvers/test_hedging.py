"""Weighted forecasts lose little more than the best of them, and a newcomer waits for its trials."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers.hedging import gated, hedged
from solvers.seasonal import pinball


def losses(actual: np.ndarray, forecasts: np.ndarray) -> list[float]:
    return [pinball(actual, one, 0.95) for one in forecasts]


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), methods=st.integers(2, 6), scale=st.sampled_from([1e-3, 1.0, 1e6]))
def test_the_joined_forecast_loses_little_more_than_the_best(seed: int, methods: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    actual = scale * rng.normal(size=1500)
    forecasts = scale * np.stack([np.full(1500, rng.normal(1.6, 1.0)) for _ in range(methods)])
    joined = hedged(actual, forecasts, 1, 0.95)
    each = losses(actual, forecasts)
    # What a forecast gained less than the best is known after n places to about √(Σ gain²) ≤ √n · its spread.
    worst = max(float(np.abs(one - forecasts[0]).max()) for one in forecasts)
    assert pinball(actual, joined, 0.95) <= min(each) + 0.1 * each[0] + 2.0 * worst * math.log(2 * methods) / 1500**0.5


def test_one_lucky_stroke_proves_little_and_steady_gain_proves_much() -> None:
    actual = np.zeros(200)
    actual[50] = 1000.0
    baseline, lucky, steady = np.full(200, 1.0), np.full(200, 1.0), np.full(200, 0.9)
    lucky[50] = 900.0
    after_luck = hedged(actual[:60], np.stack([baseline, lucky + 1.0]), 10, 0.95)[60]
    assert after_luck < 1.7  # it gained 850 mean losses at once, and still has little more than its prior half
    joined = hedged(np.zeros(200), np.stack([baseline, steady]), 1, 0.95)
    assert joined[-1] == pytest.approx(0.9, abs=1e-3)


def test_gains_that_hang_together_prove_less() -> None:
    forecasts = np.stack([np.full(100, 1.0), np.zeros(100)])
    soon, late = (hedged(np.zeros(90), forecasts, lead, 0.95)[lead + 20] for lead in (1, 10))
    assert soon < late < 0.5


def test_a_forecast_that_is_not_there_has_no_weight() -> None:
    forecasts = np.stack([np.full(10, 1.0), np.full(10, np.nan)])
    assert hedged(np.zeros(8), forecasts, 2, 0.9) == pytest.approx(np.ones(10))


def test_losses_count_only_once_they_are_known() -> None:
    forecasts = np.stack([np.full(40, 5.0), np.full(40, 1.0)])
    joined = hedged(np.zeros(40), forecasts, 10, 0.9)
    assert joined[:10] == pytest.approx(np.full(10, 3.0))
    assert (np.diff(joined[10:]) < 0).all()


def test_a_newcomer_waits_for_its_trials() -> None:
    baseline, newcomer = np.zeros(100), np.ones(100)
    mixed, share = gated(np.zeros(96), baseline, newcomer, 4, enough=14)
    assert mixed[:4] == pytest.approx(np.zeros(4))
    assert mixed[3 + 28] == pytest.approx(0.25)  # half of the trials, a quarter of the say
    assert share == 1.0
    assert (np.diff(mixed) >= 0).all()
    assert mixed[3 + 56 :] == pytest.approx(np.ones(41))
