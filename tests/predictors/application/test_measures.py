"""Standard errors of percentiles are what other seeds would change, with few requests too."""

from __future__ import annotations

import numpy as np
import pytest

from predictors.application.measures import QUANTITIES, exact_figures


@pytest.mark.parametrize("requests", [400, 4_000])
def test_the_standard_error_of_a_percentile_is_the_spread_over_seeds(requests: int) -> None:
    batch = np.arange(requests) // (requests // 20)
    runs = [exact_figures(np.random.default_rng(s).exponential(1.0, requests), batch, 20) for s in range(300)]
    for quantity in QUANTITIES[2:]:
        found = np.array([one.of(quantity) for one in runs])
        assert 0.7 < found[:, 1].mean() / found[:, 0].std(ddof=1) < 1.4, quantity


def test_values_that_move_together_have_a_larger_error() -> None:
    rng, batch = np.random.default_rng(0), np.arange(4_000) // 200
    alone = exact_figures(rng.exponential(1.0, 4_000), batch, 20).of("p95")[1]
    together = exact_figures(rng.exponential(1.0, 4_000) * np.repeat(rng.lognormal(0, 0.5, 20), 200), batch, 20)
    assert together.of("p95")[1] > 2 * alone


def test_times_that_never_change_have_no_error() -> None:
    figures = exact_figures(np.full(2_000, 0.3), np.arange(2_000) // 100, 20)
    assert figures.of("p99") == pytest.approx((0.3, 0.0), abs=1e-12)
