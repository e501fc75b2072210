"""Settings that are tried: the largest step and the window of every policy, idle replicas, and the forecast's band."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from planners.autoscaling.families import as_ruled, candidates, floors
from planners.autoscaling.forecasting import forecast_band
from planners.autoscaling.question import ScaledLoad
from planners.autoscaling.scoring import Stretch, run, tune
from predictors.autoscaling.capacity import service_capacity
from predictors.autoscaling.looking import View
from specs.autoscaling import ScalingSpec, StartUp
from specs.policies import PolicySpec

QUICK = StartUp(schedule_s=0, image_s=0, weights_s=0, warm_up_s=15)
HOURS = np.arange(4 * 1440) / 60.0 % 24.0
OFFICE = np.where((HOURS >= 8) & (HOURS < 20), 300.0, 0.0)
DAYS = 300.0 + 220.0 * np.sin(HOURS / 24.0 * 2 * np.pi)


def stretch_of(rate: np.ndarray, **fields: Any) -> Stretch:
    scaling = ScalingSpec(start_up=QUICK, tick_s=60.0, metrics_delay_s=0.0, **fields)
    capacity = service_capacity(workers=4, service_s=0.05, bound_s=0.4, most=40)
    load = ScaledLoad(name="web", rate_per_s=rate, bound_s=0.4, late_share=0.05, capacity=capacity)
    view = View(rate_per_s=rate, start_s=0.0, tick_s=60.0, season_s=86400.0)
    return Stretch(load=load, view=view, scaling=scaling, first=0, last=len(rate))


def tried(stretch: Stretch, kind: Any) -> list[PolicySpec]:
    return candidates(kind, stretch.load, stretch.view, stretch.scaling, stretch.last)


@pytest.mark.parametrize("kind", ["hpa", "keda", "predictive"])
def test_every_policy_carries_the_step_and_the_window(kind: str) -> None:
    found = tried(stretch_of(DAYS, max_step=2, metrics_window_s=120.0), kind)
    assert found
    for policy in found:
        assert (policy.max_step, policy.metrics_window_s) == (2, 120.0)
        for direction in (policy.up, policy.down):
            assert [(one.type, one.value, one.period_s) for one in direction.policies] == [("Pods", 2, 60.0)]


def test_what_is_written_is_what_the_document_did() -> None:
    """A policy with its own rule of so many pods does what any policy did under the document's largest step."""
    plain = PolicySpec(kind="hpa", min_replicas=1, max_replicas=40, triggers=tried(stretch_of(DAYS), "hpa")[0].triggers)
    limited = stretch_of(DAYS, max_step=1)
    ruled = as_ruled(plain, limited.scaling)
    by_document, by_rule = run(limited, [plain])[0], run(stretch_of(DAYS), [ruled])[0]
    assert np.array_equal(by_document.total, by_rule.total)
    assert np.abs(np.diff(by_rule.total)).max() == 1


def test_a_fixed_number_needs_no_rule() -> None:
    static = PolicySpec(kind="static", min_replicas=3, max_replicas=3)
    assert as_ruled(static, ScalingSpec(max_step=2)) == static


def test_an_autoscaler_of_kubernetes_keeps_one_where_half_of_the_time_needs_none() -> None:
    stretch = stretch_of(OFFICE, allow_zero=True)
    assert min(floors(stretch.load, stretch.view, stretch.scaling, stretch.last, 20)) == 1
    assert min(policy.min_replicas for policy in tried(stretch, "hpa")) == 1


def test_idle_is_tried_where_nothing_may_be_kept_and_more_than_one_is_the_least() -> None:
    found = {(one.min_replicas, one.idle_replicas) for one in tried(stretch_of(OFFICE, allow_zero=True), "keda")}
    assert found == {(0, None), *((least, 0) for least, idle in found if idle == 0)}
    safe = stretch_of(OFFICE, allow_zero=True, survive="replica")
    assert (2, 0) in {(one.min_replicas, one.idle_replicas) for one in tried(safe, "keda")}
    assert {one.idle_replicas for one in tried(stretch_of(OFFICE), "keda")} == {None}


def test_a_night_without_load_costs_nothing_and_the_promise_is_kept() -> None:
    stretch = stretch_of(OFFICE, allow_zero=True, survive="replica")
    chosen = tune(stretch, tried(stretch, "keda"))
    assert chosen is not None
    trace = run(stretch, [chosen])[0]
    assert 0 in (chosen.min_replicas, chosen.idle_replicas)
    assert trace.total[(3 * 1440 - 60)] == 0
    assert max(trace.violations, trace.violations_after_loss) <= stretch.load.late_share


def test_the_band_covers_about_as_much_as_it_says() -> None:
    rng = np.random.default_rng(5)
    minutes = np.arange(14 * 1440)
    rate = (200.0 + 150.0 * np.sin(minutes / 1440 * 2 * np.pi)) * np.repeat(rng.lognormal(0.0, 0.1, 14 * 144), 10)
    band = forecast_band(rate, 60.0, 900.0)
    assert band is not None
    assert (band.step_s, band.ahead_s) == (600.0, 1200.0)
    late = slice(8 * 144, None)
    shares = {name: float((band.load[late] <= values[late]).mean()) for name, values in band.quantiles.items()}
    assert shares["p50"] == pytest.approx(0.5, abs=0.1)
    assert shares["p95"] == pytest.approx(0.95, abs=0.03)
    assert shares["p50"] < shares["p90"] <= shares["p95"] <= shares["p99"]


def test_a_load_that_is_constant_or_short_has_no_band() -> None:
    assert forecast_band(np.full(2000, 5.0), 60.0, 60.0) is None
    assert forecast_band(DAYS[:200], 60.0, 60.0) is None
