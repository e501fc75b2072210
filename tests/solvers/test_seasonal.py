"""Seasonal quantiles: against numpy on the same values, and never from the future."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solvers.seasonal import pinball, seasonal_quantile, seasonal_strength


def test_it_is_numpys_quantile_of_the_same_places() -> None:
    values = np.random.default_rng(1).random(400)
    found = seasonal_quantile(values, 50, 0.9, seasons=3, spread=2)
    places = [300 - k * 50 + d for k in (1, 2, 3) for d in range(-2, 3)]
    assert found[300] == pytest.approx(np.quantile(values[places], 0.9))
    assert np.isnan(found[:50]).all()
    assert not np.isnan(found[50:]).any()


@given(st.integers(60, 300))
def test_it_uses_nothing_of_the_future(at: int) -> None:
    values = np.random.default_rng(2).random(400)
    changed = values.copy()
    changed[at - 40 :] = 1e9
    assert seasonal_quantile(values, 50, 0.5)[at] == seasonal_quantile(changed, 50, 0.5)[at]


def test_a_periodic_series_is_forecast_exactly_and_is_wholly_seasonal() -> None:
    values = np.tile(np.arange(24.0), 5)
    found = seasonal_quantile(values, 24, 0.5, spread=0)
    assert np.array_equal(found[24:], values[24:])
    assert seasonal_strength(values, 24) == 1.0
    assert seasonal_strength(values[:30], 24) == 0.0


def test_coverage_is_the_quantile() -> None:
    values = np.random.default_rng(3).random(20_000)
    found = seasonal_quantile(values, 100, 0.9, seasons=7, spread=5)
    assert np.mean(values[1000:] <= found[1000:]) == pytest.approx(0.9, abs=0.02)


def test_pinball_is_least_at_the_quantile() -> None:
    values = np.random.default_rng(4).random(10_000)
    losses = [pinball(values, np.full_like(values, q), 0.8) for q in (0.6, 0.8, 0.95)]
    assert losses[1] == min(losses)


@pytest.mark.parametrize(("season", "quantile"), [(2, 0.5), (50, 1.5)])
def test_what_makes_no_sense_is_refused(season: int, quantile: float) -> None:
    with pytest.raises(ValueError, match="season"):
        seasonal_quantile(np.ones(200), season, quantile)
