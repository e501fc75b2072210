"""The cluster simulator: against queueing theory, by hand, by brute force, and by what must always hold."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictors.autoscaling import state
from predictors.autoscaling.capacity import (
    Capacity,
    erlang_c,
    highest_rate,
    replicas_needed,
    response_tail,
    row_of,
    service_capacity,
)
from predictors.autoscaling.kernel import advance
from predictors.autoscaling.looking import (
    View,
    find_season,
    highest_ahead,
    inside,
    scaled,
    vertical_size,
    weighted_quantile,
)
from predictors.autoscaling.simulation import Scaled, Trace, simulate, simulate_joined, static, triggered, world_of
from solvers import queues
from specs.autoscaling import Brownout, Nodes, ScalingSpec, StartUp
from specs.errors import InputError
from specs.policies import DOWN, Forecasting, Horizon, PolicySpec, ScheduleWindow

CAPACITY = service_capacity(workers=4, service_s=0.05, bound_s=0.3, most=60)
SCALING = ScalingSpec(start_up=StartUp(schedule_s=0, image_s=15, weights_s=15, warm_up_s=30))
DAY = 5760  # ticks


def hpa(target: float = 60.0, **fields: Any) -> PolicySpec:
    return PolicySpec(
        kind="hpa",
        min_replicas=2,
        max_replicas=40,
        triggers=(triggered("cpu", target),),
        **fields,
    )


def run(policy: PolicySpec, rate: Any, scaling: ScalingSpec = SCALING, **fields: Any) -> Trace:
    one = Scaled(capacity=CAPACITY, policy=policy, arrivals=np.asarray(rate) * scaling.tick_s, **fields)
    return simulate((one,), scaling)[0]


def test_a_fixed_pool_is_late_as_mmc_says() -> None:
    rate, replicas = 300.0, 5
    found = run(static(replicas), np.full(400, rate)).violations
    assert found == pytest.approx(queues.mmc_response_tail(rate, 20.0, 4 * replicas, 0.3), rel=0.02)


@given(st.integers(1, 40), st.floats(0.05, 0.97), st.floats(0.1, 12.0))
def test_the_tables_are_the_closed_forms(servers: int, load: float, at: float) -> None:
    rho, left = np.array([load]), np.array([at])
    waits = erlang_c(servers, rho)
    assert waits[0] == pytest.approx(queues.erlang_c(servers, load * servers))
    expected = queues.mmc_response_tail(load * servers, 1.0, servers, at)
    assert response_tail(waits, servers, rho, left)[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("rate", "service", "bound", "servers"), [(100, 10, 0.5, 12), (1000, 50, 0.10, 23)])
def test_sizing_is_that_of_theory(rate: float, service: float, bound: float, servers: int) -> None:
    capacity = service_capacity(workers=1, service_s=1 / service, bound_s=bound, most=30)
    assert replicas_needed(capacity, np.array([rate]), 0.01, 30)[0] == pytest.approx(servers, abs=3)
    assert highest_rate(capacity, int(row_of(capacity.rows, 30)[servers]), 0.01) * servers >= 0.95 * rate


def test_a_replica_serves_only_after_its_whole_start_up() -> None:
    rate = np.concatenate([np.full(40, 100.0), np.full(60, 900.0)])
    trace = run(hpa(), rate)
    asked = int(np.flatnonzero(np.diff(trace.total))[0]) + 1
    served = int(np.flatnonzero(np.diff(trace.ready))[0]) + 1
    assert served - asked == round(SCALING.start_up.cold_s / SCALING.tick_s)


def test_a_new_node_takes_longer_than_a_free_place() -> None:
    nodes = SCALING.model_copy(update={"nodes": Nodes(replicas_per_node=4, provision_s=120, idle_s=600)})
    rate = np.concatenate([np.full(40, 100.0), np.full(100, 900.0)])
    trace = run(hpa(), rate, nodes)
    ups = np.diff(trace.ready)
    first, last = int(np.flatnonzero(ups > 0)[0]), int(np.flatnonzero(ups > 0)[-1])
    asked = int(np.flatnonzero(np.diff(trace.total) > 0)[0])
    assert first - asked == round(SCALING.start_up.warm_s / SCALING.tick_s)
    assert last - asked >= round((120 + SCALING.start_up.cold_s) / SCALING.tick_s)
    assert trace.node_hours < trace.hours * 5


def test_of_several_metrics_the_largest_proposal_counts() -> None:
    rate = np.full(200, 500.0)
    cpu, requests = triggered("cpu", 90.0), triggered("requests", 25.0)
    both = PolicySpec(kind="hpa", min_replicas=2, max_replicas=40, triggers=(cpu, requests))
    alone = [both.model_copy(update={"triggers": (one,)}) for one in (cpu, requests)]
    ends = [run(policy, rate).total[-1] for policy in (*alone, both)]
    assert ends[2] == max(ends[:2]) == 20


def test_a_limit_of_change_holds_at_every_step() -> None:
    rate = np.concatenate([np.full(40, 100.0), np.full(60, 1500.0)])
    trace = run(hpa(), rate, SCALING.model_copy(update={"max_step": 2}))
    assert np.abs(np.diff(trace.total)).max() == 2
    assert np.abs(np.diff(run(hpa(), rate).total)).max() > 2


def test_down_waits_for_the_window() -> None:
    rate = np.concatenate([np.full(80, 900.0), np.full(120, 100.0)])
    trace = run(hpa(), rate)
    drop = int(np.flatnonzero(np.diff(trace.total) < 0)[0]) - 79
    assert drop * SCALING.tick_s >= DOWN.stabilization_window_s


def test_to_zero_without_load_and_back_at_the_first_request() -> None:
    policy = PolicySpec(
        kind="keda", min_replicas=0, max_replicas=10, triggers=(triggered("requests", 50.0),), cooldown_s=120
    )
    rate = np.concatenate([np.full(40, 60.0), np.zeros(80), np.full(40, 60.0)])
    trace = run(policy, rate)
    assert trace.total[115] == 0
    assert trace.total[130] >= 1
    assert trace.ready[150] >= 1
    assert trace.late[120] == 1.0


def test_idle_goes_to_zero_and_wakes_to_the_fewest_at_once() -> None:
    """As KEDA documents `idleReplicaCount`: no load for the cooldown, then 0; at the first load `minReplicaCount`."""
    policy = PolicySpec(
        kind="keda", min_replicas=3, idle_replicas=0, max_replicas=10, triggers=(triggered("requests", 50.0),),
        cooldown_s=120,
    )  # fmt: skip
    rate = np.concatenate([np.full(40, 20.0), np.zeros(80), np.full(40, 20.0)])
    trace = run(policy, rate)
    assert trace.total[35] == 3
    assert trace.total[115] == 0
    woken = int(np.flatnonzero(trace.total[115:] > 0)[0]) + 115
    assert trace.total[woken] == 3
    assert woken - 120 <= 4
    kept = run(policy.model_copy(update={"idle_replicas": None}), rate)
    assert kept.total.min() == 3
    assert trace.replica_hours < kept.replica_hours


def test_idle_waits_for_the_whole_cooldown() -> None:
    rate = np.concatenate([np.full(40, 20.0), np.zeros(160)])
    policy = PolicySpec(
        kind="keda", min_replicas=2, idle_replicas=0, max_replicas=10, triggers=(triggered("requests", 50.0),)
    )
    ends = [
        int(np.flatnonzero(run(policy.model_copy(update={"cooldown_s": s}), rate).total == 0)[0])
        for s in (150.0, 600.0)
    ]
    assert (ends[1] - ends[0]) * SCALING.tick_s == 450.0


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"min_replicas": 3, "idle_replicas": 1}, "takes 0 alone"),
        ({"min_replicas": 0, "idle_replicas": 0}, "above it"),
        ({"kind": "hpa", "min_replicas": 2, "idle_replicas": 0}, "KEDA alone"),
    ],
)
def test_idle_is_only_what_keda_takes(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        PolicySpec.model_validate({"kind": "keda", "max_replicas": 9, **fields})


def test_a_policy_has_its_own_window_of_metrics() -> None:
    rate = 300.0 + 200.0 * np.sin(np.arange(DAY) / DAY * 40.0)
    document = SCALING.model_copy(update={"metrics_window_s": 300.0})
    own = run(hpa(metrics_window_s=300.0), rate)
    assert np.array_equal(own.total, run(hpa(), rate, document).total)
    assert not np.array_equal(own.total, run(hpa(), rate).total)


def joined(rate: Any, *groups: tuple[PolicySpec, float], **fields: Any) -> tuple[Trace, ...]:
    """Groups of one whole, each of whose replicas sustains that share of it."""
    arrivals = np.asarray(rate) * SCALING.tick_s
    services = tuple(
        Scaled(capacity=CAPACITY, policy=policy, arrivals=arrivals, per_s=share * CAPACITY.per_s, **fields)
        for policy, share in groups
    )
    return simulate_joined(services, SCALING)


WAVES = 400.0 + 350.0 * np.sin(np.arange(DAY) / DAY * 40.0)


def test_groups_that_are_wholes_do_together_what_one_does_alone() -> None:
    alone = run(hpa(), WAVES, lost=1)
    one, other = joined(WAVES, (hpa(), 1.0), (hpa(), 1.0), lost=1)
    for group in (one, other):
        assert np.array_equal(group.total, alone.total)
        assert np.array_equal(group.late, alone.late)
    after = (one.violated_after + other.violated_after) / one.requests
    assert after == pytest.approx(alone.violations_after_loss)


def test_the_weakest_group_is_what_all_let_through() -> None:
    """Two replicas of half a whole are one whole: two wholes in a row serve as the smaller of them."""
    rate = np.full(200, 300.0)
    both = joined(rate, (static(12), 1.0), (static(10), 0.5))
    alone = run(static(5), rate)
    for group in both:
        assert np.array_equal(group.late, alone.late)
    assert both[0].violations > run(static(12), rate).violations


def test_a_group_that_sustains_half_as_much_grows_twice_as_far() -> None:
    metric, down = "in-flight", DOWN
    full = PolicySpec(kind="hpa", min_replicas=1, max_replicas=60, triggers=(triggered(metric, 2.0),), down=down)
    half = full.model_copy(update={"triggers": (triggered(metric, 1.0),)})
    one, other = joined(np.full(400, 500.0), (full, 1.0), (half, 0.5))
    assert other.total[-1] == pytest.approx(2 * one.total[-1], abs=1)


def test_spot_replicas_are_lost_as_often_as_said() -> None:
    lost = run(static(10), np.full(20_000, 10.0), losses_per_hour=0.3)
    missing = 10.0 - float(lost.ready.mean())
    expected = 10 * 0.3 * SCALING.start_up.cold_s / 3600.0
    assert missing == pytest.approx(expected, rel=0.35)


def test_late_metrics_are_paid_for_in_late_requests() -> None:
    rate = 400.0 + 350.0 * np.sin(np.arange(2 * DAY) / DAY * 40.0)
    quick = run(hpa(80.0), rate, SCALING.model_copy(update={"metrics_delay_s": 0.0}))
    slow = run(hpa(80.0), rate, SCALING.model_copy(update={"metrics_delay_s": 180.0}))
    assert slow.violations > quick.violations


@settings(max_examples=20, deadline=None)  # the first example may compile
@given(st.integers(1, 30), st.floats(50.0, 1500.0))
def test_more_replicas_are_never_later(replicas: int, rate: float) -> None:
    fewer, more = (run(static(n), np.full(50, rate)) for n in (replicas, replicas + 1))
    assert more.violations <= fewer.violations + 1e-12


def test_the_same_run_twice_is_the_same() -> None:
    rate = 300.0 + 200.0 * np.sin(np.arange(DAY) / DAY * 6.283)
    first, second = (run(hpa(), rate, losses_per_hour=0.2) for _ in range(2))
    assert np.array_equal(first.total, second.total)
    assert first.violated == second.violated


def test_a_service_does_not_depend_on_those_beside_it() -> None:
    rate = (300.0 + 200.0 * np.sin(np.arange(DAY) / DAY * 6.283)) * SCALING.tick_s
    one = Scaled(capacity=CAPACITY, policy=hpa(), arrivals=rate)
    other = Scaled(capacity=service_capacity(workers=1, service_s=0.1, bound_s=1.0, most=90), policy=static(9),
                   arrivals=rate / 20)  # fmt: skip
    alone, beside = simulate((one,), SCALING)[0], simulate((other, one), SCALING)[1]
    assert np.array_equal(alone.total, beside.total)


def test_losing_one_is_counted_where_it_must_be_survived() -> None:
    safe = run(static(3), np.full(100, 130.0), lost=1)
    tight = run(static(2), np.full(100, 130.0), lost=1)
    assert safe.violations_after_loss < 0.05
    assert tight.violations < 0.05
    assert tight.violations_after_loss == 1.0
    assert run(static(2), np.full(100, 130.0)).violated_after == 0.0


def test_brownout_carries_a_burst_that_scaling_is_too_late_for() -> None:
    dimming = SCALING.model_copy(update={"brownout": Brownout(work_share=0.4)})
    rate = np.full(400, 130.0)
    rate[200:204] = 215.0
    plain, dimmed = (static(2).model_copy(update={"brownout": on}) for on in (False, True))
    before, after = run(plain, rate, dimming), run(dimmed, rate, dimming)
    assert after.violations < 0.5 * before.violations
    assert 0.0 < after.dimmed_share < 0.1
    assert before.dimmed == 0.0
    assert run(dimmed, rate).dimmed == 0.0


def horizon_world(rates: list[float], current: int, cost: float) -> int:
    """What a receding horizon decides at the first tick after a long steady time."""
    policy = PolicySpec(
        kind="mpc", min_replicas=1, max_replicas=5, sync_s=15, max_step=5,
        horizon=Horizon(stages=len(rates), stage_s=15, replica_hours_per_1000_late=cost),
    )  # fmt: skip
    ticks = np.array(rates)
    scaling = ScalingSpec(start_up=StartUp(schedule_s=0, image_s=15, weights_s=0, warm_up_s=0))
    one = Scaled(capacity=CAPACITY, policy=policy, arrivals=ticks * 15, ahead=ticks, base=ticks, start=current)
    world = world_of((one,), scaling)
    advance(world, 0, 0, 1, np.zeros(state.INPUTS))
    now = world.state[0]
    return int(now["ready"] + now["starting"])


@pytest.mark.parametrize("rates", [[60, 60, 300, 300, 300], [300, 60, 60, 60, 60], [100, 250, 80, 310, 90]])
@pytest.mark.parametrize("current", [1, 3])
@pytest.mark.parametrize("cost", [1.0, 100.0])
def test_the_receding_horizon_is_the_best_of_all_sequences(rates: list[float], current: int, cost: float) -> None:
    hours = 15 / 3600

    def stage(n: int, rate: float) -> float:
        load = rate / (n * CAPACITY.per_s)
        late = 1.0
        if load < 0.98:
            at = np.interp(load, np.linspace(0, 0.98, 50), CAPACITY.tails[int(row_of(CAPACITY.rows, 5)[n]), :, -1])
            late = float(at)
        return n * hours + cost * 3.6 * rate * hours * late

    def total(sequence: tuple[int, ...]) -> float:
        paid, before = 0.0, current
        for n, rate in zip(sequence, rates[1:], strict=True):
            paid += stage(n, rate) + hours * max(n - before, 0)
            before = n
        return paid

    best = min(itertools.product(range(1, 6), repeat=len(rates) - 1), key=total)[0]
    if best < current:
        best = max(best, min(range(best, current + 1), key=lambda n: stage(n, rates[0])))
    assert horizon_world(rates, current, cost) == best


def day_view(days: int = 5) -> View:
    ticks = np.arange(days * DAY)
    rate = 300.0 + 200.0 * np.sin(ticks / DAY * 2 * np.pi)
    return View(rate_per_s=rate, start_s=0.0, tick_s=15.0, season_s=86400.0)


def test_a_forecast_knows_nothing_of_the_future() -> None:
    policy = PolicySpec(
        kind="predictive", min_replicas=1, max_replicas=40,
        forecast=Forecasting(season_s=86400, quantile=0.9, lead_s=120, late_share=0.01),
    )  # fmt: skip
    view = day_view()
    changed = replace(view, rate_per_s=np.where(np.arange(5 * DAY) > 4 * DAY + 100, 5000.0, view.rate_per_s), cache={})
    before, after = (scaled(policy, CAPACITY, one).planned for one in (view, changed))
    assert before is not None
    assert after is not None
    assert np.array_equal(before[: 5 * DAY - 100], after[: 5 * DAY - 100])


def test_a_forecast_has_replicas_ready_before_the_load() -> None:
    view = day_view()
    policy = PolicySpec(
        kind="predictive", min_replicas=1, max_replicas=40,
        forecast=Forecasting(season_s=86400, quantile=0.95, lead_s=120, late_share=0.01),
    )  # fmt: skip
    trace = simulate((scaled(policy, CAPACITY, view, first=2 * DAY),), SCALING)[0]
    assert trace.violations < 0.01
    assert trace.replica_hours < 0.75 * run(static(8), view.rate_per_s[2 * DAY :]).replica_hours


def test_the_vertical_size_is_a_percentile_of_the_past_with_a_margin() -> None:
    view = day_view()
    size = vertical_size(view)
    assert size[:DAY] == pytest.approx(1.15 * view.rate_per_s[:40:4].max(), rel=0.05)
    assert size[DAY : 2 * DAY] == pytest.approx(1.15 * np.quantile(view.rate_per_s[:DAY], 0.9), rel=0.05)
    future = replace(view, rate_per_s=np.where(np.arange(5 * DAY) >= 3 * DAY, 9e3, view.rate_per_s), cache={})
    assert np.array_equal(size[: 4 * DAY], vertical_size(future)[: 4 * DAY])
    assert weighted_quantile(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 2.0]), 0.5) == 2.0


def test_days_are_found_and_noise_is_none() -> None:
    assert find_season(day_view().rate_per_s, 15.0) == 86400.0
    noise = np.random.default_rng(5).lognormal(3.0, 0.5, 5 * DAY)
    assert find_season(noise, 15.0) is None
    assert find_season(day_view(1).rate_per_s, 15.0) is None


def test_the_highest_value_ahead() -> None:
    assert highest_ahead(np.array([1.0, 5.0, 2.0, 0.0]), 1).tolist() == [5.0, 5.0, 2.0, 0.0]


def window(start: str, end: str, zone: str = "UTC", days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)) -> ScheduleWindow:
    return ScheduleWindow(start=start, end=end, replicas=5, timezone=zone, days=days)


def test_a_schedule_follows_the_clock_over_midnight_and_weekdays() -> None:
    view = day_view(7)
    night = inside(window("22:00", "02:00"), view)
    assert night[0]
    assert not night[3 * 240]
    assert night[23 * 240]
    assert not inside(window("00:00", "24:00", days=(5, 6)), view)[: 5 * DAY].any()


def test_a_schedule_keeps_to_the_local_clock_when_summer_time_ends() -> None:
    start = 1793404800.0  # 2026-10-31T00:00Z; summer time ends in Berlin at 2026-10-25T01:00Z
    week_before = start - 7 * 86400.0
    for begin, utc_hour in ((week_before - 86400.0, 6), (start, 7)):
        view = View(rate_per_s=np.ones(DAY), start_s=begin, tick_s=15.0, season_s=None)
        first = int(np.flatnonzero(inside(window("08:00", "09:00", "Europe/Berlin"), view))[0])
        assert first * 15.0 / 3600.0 == pytest.approx(utc_hour)


@pytest.mark.parametrize(
    ("start", "zone", "word"), [("8 o'clock", "UTC", "time of day"), ("08:00", "Mars", "timezone")]
)
def test_a_schedule_that_makes_no_sense_is_refused(start: str, zone: str, word: str) -> None:
    with pytest.raises(InputError, match=word):
        inside(window(start, "09:00", zone), day_view(1))


def test_capacity_never_looks_better_than_the_next_smaller_pool() -> None:
    capacity: Capacity = CAPACITY
    shares = capacity.tails[:, :, -1]
    assert (np.diff(shares, axis=1) >= -1e-9).all()
    assert (np.diff(shares[:, 40]) <= 1e-9).all()
