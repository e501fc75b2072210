"""Busy hours, seasons, warm-ups and resampled days of usage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solvers.usage import after_starts, busiest, day_spread, hour_of_day, seasonal_share

DAY_S = 86_400.0
TIME_S = np.arange(0.0, 10 * DAY_S, 900.0)


def test_a_daily_wave_is_a_season_and_noise_is_none() -> None:
    rng = np.random.default_rng(1)
    wave = 1.0 + np.sin(TIME_S / DAY_S * 2 * np.pi) + 0.1 * rng.normal(size=len(TIME_S))
    assert seasonal_share(wave, TIME_S) > 0.9
    assert seasonal_share(rng.normal(size=len(TIME_S)), TIME_S) < 0.1


def test_no_season_is_seen_in_two_days_or_in_a_constant() -> None:
    short = TIME_S[TIME_S < 2 * DAY_S]
    assert seasonal_share(np.sin(short), short) == 0.0
    assert seasonal_share(np.ones(len(TIME_S)), TIME_S) == 0.0


@given(seed=st.integers(0, 200), share=st.floats(0.5, 0.99))
def test_the_busiest_hour_needs_at_least_what_the_day_needs(seed: int, share: float) -> None:
    values = np.random.default_rng(seed).lognormal(0.0, 0.5, len(TIME_S))
    assert busiest(values, TIME_S, share) >= np.quantile(values, share) * 0.9


def test_the_busiest_hour_is_the_nightly_job() -> None:
    values = np.where(hour_of_day(TIME_S) == 2, 2.0, 0.1)
    assert busiest(values, TIME_S, 0.95) == 2.0
    assert np.quantile(values, 0.95) == 0.1


def test_warm_ups_are_the_moments_after_a_start() -> None:
    time_s = np.array([0.0, 100.0, 200.0, 300.0, 400.0])
    assert after_starts(time_s, np.array([150.0]), 150.0).tolist() == [False, False, True, False, False]
    assert not after_starts(time_s, np.empty(0), 150.0).any()


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng, held = np.random.default_rng(3), 0
    for seed in range(300):
        level = np.repeat(rng.normal(0.0, 1.0, 10), 96)  # whole days differ
        low, high = day_spread(level, TIME_S, lambda value, time_s: float(value.mean()), seed=seed, draws=100)
        held += low <= 0.0 <= high
    assert 0.78 * 300 <= held <= 0.93 * 300  # of ten days the bootstrap's 90 % are 83 to 85 % (std)


def test_one_day_gives_no_interval() -> None:
    low, high = day_spread(np.ones(3), np.array([0.0, 1.0, 2.0]), lambda value, time_s: float(value.mean()), seed=0)
    assert np.isnan([low, high]).all()


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(5).lognormal(size=len(TIME_S))
    one, other = (day_spread(values, TIME_S, lambda v, t: float(np.quantile(v, 0.9)), seed=7) for _ in range(2))
    assert one == pytest.approx(other)
