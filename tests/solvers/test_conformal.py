"""Residual quantiles against a plain rolling quantile, and a level that covers what it was told to."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers.conformal import BEYOND, MOST_HELD, Scale, bound, residual_quantiles, tracked

LEVELS = np.array([0.5, 0.9, 0.95, 0.99])


def plainly(actual: np.ndarray, point: np.ndarray, lead: int, window: int, least: int) -> np.ndarray:
    """The same by sorting the window anew at each place."""
    out = np.full((len(point), len(LEVELS)), np.nan)
    residual = np.full(len(point), np.nan)
    residual[: len(actual)] = actual - point[: len(actual)]
    for t in range(lead, len(point)):
        held = residual[max(0, t - lead - window + 1) : t - lead + 1]
        held = np.sort(held[np.isfinite(held)])
        if len(held) >= least and np.isfinite(point[t]):
            ranks = [min(len(held) - 1, math.ceil((len(held) + 1) * level) - 1) for level in LEVELS]
            out[t] = point[t] + held[ranks]
    return out


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), lead=st.integers(1, 9), window=st.integers(10, 60))
def test_unscaled_residuals_are_those_of_a_plain_window(seed: int, lead: int, window: int) -> None:
    rng = np.random.default_rng(seed)
    actual, point = rng.lognormal(size=150), rng.lognormal(size=150 + lead)
    actual[rng.random(150) < 0.1] = np.nan
    point[rng.random(len(point)) < 0.1] = np.nan
    found = residual_quantiles(actual, point, lead, LEVELS, window=window, scale="same", least=8)
    assert found == pytest.approx(plainly(actual, point, lead, window, 8), nan_ok=True)


def test_a_long_window_keeps_every_other_residual() -> None:
    rng = np.random.default_rng(6)
    actual, point = rng.normal(size=5000), np.zeros(5001)
    found = residual_quantiles(actual, point, 1, LEVELS, window=2 * MOST_HELD, scale="same", least=8)
    kept = np.where(np.arange(5000) % 2 == 0, actual, np.nan)
    assert found[-500:] == pytest.approx(plainly(kept, point, 1, 2 * MOST_HELD, 8)[-500:])


@pytest.mark.parametrize("scale", ["same", "recent", "relative"])
def test_nothing_later_than_the_lead_before_is_used(scale: Scale) -> None:
    rng = np.random.default_rng(1)
    actual, point, lead = rng.normal(size=200), np.ones(203), 3
    before = residual_quantiles(actual, point, lead, LEVELS, window=50, scale=scale, least=10)
    actual[150:] += 100.0
    after = residual_quantiles(actual, point, lead, LEVELS, window=50, scale=scale, least=10)
    assert before[: 150 + lead] == pytest.approx(after[: 150 + lead], nan_ok=True)
    assert not np.allclose(before[160:], after[160:])


def test_exchangeable_residuals_are_covered_as_promised() -> None:
    actual = np.random.default_rng(2).normal(size=20_000)
    found = residual_quantiles(actual, np.zeros(20_001), 1, LEVELS, window=500, scale="same", least=100)
    covered = (actual[1000:, None] <= found[1000:20_000]).mean(axis=0)
    assert covered == pytest.approx(LEVELS, abs=0.01)


def test_errors_that_grow_with_the_load_are_covered_at_every_load() -> None:
    rng = np.random.default_rng(4)
    point = np.tile([10.0, 100.0], 5000)
    actual = point * rng.lognormal(0.0, 0.3, len(point))
    found = residual_quantiles(actual, point, 1, LEVELS, window=500, scale="relative", least=100)[1000:, 2]
    covered = actual[1000:] <= found
    assert covered[::2].mean() == pytest.approx(0.95, abs=0.015)
    assert covered[1::2].mean() == pytest.approx(0.95, abs=0.015)


def test_a_level_moves_until_it_covers_a_series_that_is_worse_than_its_quantiles() -> None:
    rng = np.random.default_rng(3)
    actual = rng.normal(scale=1.3, size=20_000)  # wider than the quantiles think
    quantiles = np.tile([0.0, 1.2816, 1.6449, 2.3263], (20_001, 1))
    still = float((actual <= quantiles[:20_000, 2]).mean())
    said, level = tracked(actual, quantiles, LEVELS, 1, 0.95, rate=0.002, start=0, highest=0.99)
    assert still < 0.91
    assert float((actual[2000:] <= said[2000:20_000]).mean()) == pytest.approx(0.95, abs=0.01)
    assert level > 0.96


def test_no_quantile_goes_far_beyond_what_was_known() -> None:
    actual = np.array([2.0, 4.0, 3.0, 12.0, 5.0])
    said = np.full((1, 7, 2), [1.0, 99.0])
    bound(actual, said, 2)
    assert said[0, :, 0] == pytest.approx(np.ones(7))
    assert said[0, 2:, 1] == pytest.approx([2.0, 4.0 + BEYOND * 2.0, 4.0 + BEYOND * 2.0, *[12.0 + BEYOND * 10.0] * 2])
