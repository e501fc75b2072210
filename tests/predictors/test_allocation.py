"""p99 from measured allocations: the shortfall's curve far from what was measured, the corrections near it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cilantro import _balanced, read
from predictors.allocation import AllocationModel, FloatArray, fit, known, predict, shortfall


def windows(count: int, seed: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Synthetic: four services, of which the first decides whether the load of 1,000 is served."""
    rng = np.random.default_rng(seed)
    allocation = rng.integers(2, 9, size=(count, 4)).astype(float)
    served = np.minimum(1000.0, 200.0 * allocation[:, 0])
    p99 = np.where(served < 999.0, 2000.0, 100.0) * np.exp(0.05 * rng.normal(size=count))
    return allocation, served, p99


@pytest.fixture(scope="module")
def model() -> AllocationModel:
    return fit(*windows(800, 0))


def test_it_tells_windows_that_it_has_not_seen(model: AllocationModel) -> None:
    allocation, served, p99 = windows(300, 1)
    found, _ = predict(model, allocation, served)
    assert np.median(np.abs(found / p99 - 1.0)) < 0.08
    assert ((found < 500.0) == (p99 < 500.0)).mean() > 0.98


def test_far_from_every_setting_the_shortfall_alone_decides(model: AllocationModel) -> None:
    far = np.full((2, 4), 500.0)
    assert known(model, far).max() < 1e-6
    found, _ = predict(model, far, np.asarray([1000.0, 500.0]))
    assert found[0] < 150.0
    assert found[1] > 1000.0


def test_a_measured_setting_counts(model: AllocationModel) -> None:
    assert known(model, windows(800, 0)[0]).min() > 0.9


def test_a_larger_shortfall_is_never_faster_where_nothing_else_is_known(model: AllocationModel) -> None:
    found, _ = predict(model, np.full((50, 4), 500.0), np.linspace(1000.0, 300.0, 50))
    assert np.all(np.diff(found) >= -1e-9)
    assert shortfall(np.asarray([500.0]), 1000.0)[0] == 0.5


def test_what_does_not_match_or_is_not_positive_is_refused() -> None:
    allocation, served, p99 = windows(50, 0)
    with pytest.raises(ValueError, match="do not match"):
        fit(allocation, served[:-1], p99)
    with pytest.raises(ValueError, match="above 0"):
        fit(allocation, served, -p99)


@pytest.mark.slow
def test_the_hotel_reservation_is_told_better_than_by_chance(reference_data: Callable[[str], Path]) -> None:
    reference_data("microservices/cilantro_hotelres_mssile.csv.gz")
    found = read()
    test = found.policy == "ucbopt"
    model = fit(found.allocation[~test], found.load[~test], found.p99_ms[~test])
    p99, share = predict(model, found.allocation[test], found.load[test])
    assert _balanced(p99, found.p99_ms[test]) > 0.7
    assert share.mean() < 0.1  # another policy's settings are not these
