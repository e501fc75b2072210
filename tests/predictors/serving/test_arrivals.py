"""Synthetic arrivals and lengths against the moments they are asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictors.serving import (
    constant_lengths,
    gamma_arrivals,
    histogram_lengths,
    lognormal_lengths,
    series_arrivals,
    synthesize,
    uniform_lengths,
)
from specs.errors import InputError


@pytest.mark.parametrize("cv", [0.3, 1.0, 2.5])
def test_gamma_gaps_have_the_rate_and_cv(cv: float) -> None:
    times = gamma_arrivals(20.0, cv=cv, duration_s=5000.0, seed=1)
    gaps = np.diff(times)
    assert (gaps >= 0).all()
    assert times[-1] < 5000.0
    assert len(times) == pytest.approx(100_000, rel=0.01 + 0.01 * cv)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.03)


def test_poisson_counts_have_unit_dispersion() -> None:
    counts = np.bincount(gamma_arrivals(5.0, duration_s=20_000.0, seed=2).astype(int), minlength=20_000)
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=0.04)


def test_a_series_is_followed_window_by_window() -> None:
    t, rate = np.array([0.0, 100.0, 200.0, 400.0]), np.array([10.0, 50.0, 0.0, 20.0])
    times = np.concatenate([series_arrivals(t, rate, seed=s) for s in range(40)])
    fine = np.linspace(0, 400, 41)
    counted = np.histogram(times, fine)[0] / 40
    dense = np.linspace(0, 400, 40_001)
    expected = np.histogram(dense, fine, weights=np.interp(dense, t, rate))[0] * 0.01
    np.testing.assert_allclose(counted, expected, atol=5 * np.sqrt(expected.max() / 40))
    assert counted.sum() == pytest.approx(expected.sum(), rel=0.02)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31), cv=st.floats(0.2, 4.0))
def test_arrivals_ascend_repeat_and_stay_inside(seed: int, cv: float) -> None:
    t, rate = np.array([3.0, 5.0, 20.0]), np.array([0.0, 30.0, 1.0])
    times = series_arrivals(t, rate, cv=cv, seed=seed)
    assert (np.diff(times) >= 0).all()
    assert len(times) == 0 or (times[0] >= 3.0 and times[-1] <= 20.0)
    np.testing.assert_array_equal(times, series_arrivals(t, rate, cv=cv, seed=seed))


def test_lognormal_lengths_have_the_mean_and_p99() -> None:
    drawn = lognormal_lengths(211.0, 900.0)(np.random.default_rng(0), 400_000)
    assert drawn.mean() == pytest.approx(211.0, rel=0.01)
    assert np.quantile(drawn, 0.99) == pytest.approx(900.0, rel=0.02)
    assert drawn.min() >= 1


def test_other_lengths() -> None:
    rng = np.random.default_rng(0)
    assert set(uniform_lengths(3, 5)(rng, 500)) == {3, 4, 5}
    assert set(constant_lengths(7)(rng, 5)) == {7}
    shares = np.bincount(histogram_lengths([2, 4], [1, 3])(rng, 40_000)) / 40_000
    assert shares[[2, 4]] == pytest.approx([0.25, 0.75], abs=0.01)


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="log-normal"):
        lognormal_lengths(100.0, 90.0)
    with pytest.raises(InputError, match="rate series"):
        series_arrivals(np.array([0.0, 0.0]), np.array([1.0, 1.0]), seed=0)
    with pytest.raises(InputError, match="histogram"):
        histogram_lengths([0], [1])


def test_prompt_and_output_are_drawn_apart() -> None:
    arrival = np.arange(1000.0)
    one = synthesize(arrival, uniform_lengths(1, 99), constant_lengths(5), seed=3)
    two = synthesize(arrival, uniform_lengths(1, 99), uniform_lengths(1, 99), seed=3)
    np.testing.assert_array_equal(one.prompt_tokens, two.prompt_tokens)
    assert abs(np.corrcoef(two.prompt_tokens, two.output_tokens)[0, 1]) < 0.1
