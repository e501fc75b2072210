"""Latency curves find the law that made the points, choose by points left out, and say what they do not know."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers.latency_curves import FORMS, evaluate, fit, fit_mgc, fit_usl, response
from solvers.queues import mmc_response_tail, mmc_wait_mean

LOADS = np.array([5.0, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 95])


def mmc_mean(loads: np.ndarray, servers: int, capacity: float) -> np.ndarray:
    mu = capacity / servers
    return np.array([1.0 / mu + mmc_wait_mean(load, mu, servers) for load in loads])


@pytest.mark.parametrize("servers", [1, 4, 16])
def test_a_queue_is_recognised_and_its_capacity_found(servers: int) -> None:
    noisy = mmc_mean(LOADS, servers, 100.0) * np.random.default_rng(7).lognormal(0.0, 0.02, LOADS.size)
    curve = fit_mgc(LOADS, noisy, None)
    assert curve.parameters["capacity_per_s"] == pytest.approx(100.0, rel=0.02)
    unseen = np.array([15.0, 55, 75, 88, 93])
    np.testing.assert_allclose(curve(unseen), mmc_mean(unseen, servers, 100.0), rtol=0.06)
    assert fit(LOADS, noisy).error < 0.04


@pytest.mark.parametrize(("servers", "q"), [(1, 0.95), (4, 0.95), (8, 0.99)])
def test_a_quantile_of_the_response_is_where_its_tail_says(servers: int, q: float) -> None:
    for rho in (0.05, 0.5, 0.8, 0.93, 0.99):
        at = float(response(rho, servers, q))
        assert mmc_response_tail(rho * servers, 1.0, servers, at) == pytest.approx(1.0 - q, rel=0.05)


def test_scalability_law_is_recovered_without_noise() -> None:
    clients = np.arange(1.0, 60.0, 4.0)
    rates = 50.0 * clients / (1.0 + 0.03 * (clients - 1.0) + 2e-4 * clients * (clients - 1.0))
    curve = fit_usl(rates, clients / rates, None)
    np.testing.assert_allclose(curve(rates), clients / rates, rtol=1e-3)
    assert fit(rates, clients / rates).form == "usl"


def test_a_step_that_no_law_has_is_left_to_the_line_through_points() -> None:
    rates = np.linspace(10.0, 100.0, 19)
    steps = np.where(rates < 40.0, 0.01, np.where(rates < 70.0, 0.03, 0.032))
    assert fit(rates, steps).form == "piecewise"


def test_beyond_its_capacity_a_queue_has_no_latency() -> None:
    curve = fit_mgc(LOADS, mmc_mean(LOADS, 2, 100.0), None)
    assert curve(150.0) == math.inf
    assert np.isfinite(curve(LOADS)).all()


def test_two_loads_make_a_line_of_unknown_error() -> None:
    curve = fit([10.0, 20.0], [0.1, 0.2])
    assert (curve.form, math.isnan(curve.error), curve.errors) == ("piecewise", True, {})
    assert curve(15.0) == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("rates", "latencies", "why"),
    [([1.0], [1.0], "two distinct"), ([1.0, 1.0], [1.0, 2.0], "two distinct"), ([1.0, 2.0], [1.0, math.nan], "finite"),
     ([0.0, 2.0], [1.0, 1.0], "positive"), ([1.0, 2.0], [1.0], "2 loads but 1")],
)  # fmt: skip
def test_points_that_make_no_curve_are_refused(rates: list[float], latencies: list[float], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        fit(rates, latencies)


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match="none of"):
        evaluate("spline", {}, (), None, 1.0)


@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(1.0, 1000.0), st.floats(0.001, 10.0)), min_size=2, max_size=8, unique_by=lambda p: p[0]
    )
)
def test_every_form_rises_with_load_and_is_the_same_in_any_order(points: list[tuple[float, float]]) -> None:
    rates, latencies = np.array(points).T
    shuffled = np.random.default_rng(0).permutation(rates.size)
    for fitter in FORMS.values():
        curve = fitter(rates, latencies, 0.95)
        at = np.linspace(rates.min(), rates.max(), 30)
        values = curve(at)
        finite = values[np.isfinite(values)]
        assert (np.diff(finite) >= -1e-9 * finite.max(initial=0.0)).all()
    again = fit(rates[shuffled], latencies[shuffled])
    np.testing.assert_allclose(again(at), fit(rates, latencies)(at), rtol=1e-3)
