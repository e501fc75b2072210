"""Candidates of every kind of policy: the settings that are tried on the load before one is recommended."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from planners.autoscaling.question import ScaledLoad
from predictors.autoscaling.capacity import highest_rate, replicas_needed, row_of
from predictors.autoscaling.looking import DAY_S, View, coarse
from predictors.autoscaling.simulation import static
from specs.autoscaling import ScalingSpec
from specs.policies import (
    DOWN,
    Direction,
    Forecasting,
    Horizon,
    PolicyKind,
    PolicySpec,
    ScalingRule,
    ScheduleWindow,
    Trigger,
)

CPU_TARGETS = (30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0)
SHARES_OF_LIMIT = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
WINDOWS_S = (60.0, 300.0, 900.0)
QUANTILES = (0.5, 0.8, 0.9, 0.95, 0.99)
COSTS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Replica-hours that a thousand requests above the bound are worth to a receding horizon."""
MPC_STAGES, MPC_STAGE_S = 12, 120.0
MOST_WINDOWS = 12
PERIOD_S = 1800.0
"""Schedules change on the half hour."""


def most_replicas(load: ScaledLoad, scaling: ScalingSpec, rate: float) -> int:
    """The bound of every policy: the quota, else half as much again as the highest rate needs, with the spare."""
    if scaling.quota is not None:
        return scaling.quota
    top = int(load.capacity.rows[-1])
    needed = int(replicas_needed(load.capacity, np.array([1.5 * rate]), load.late_share, top)[0])
    return min(needed, top) + spare(needed, scaling)


def spare(replicas: int, scaling: ScalingSpec) -> int:
    """Replicas on top so that the failure that must be survived leaves enough."""
    if scaling.survive == "replica":
        return 1
    if scaling.survive == "zone" and scaling.zones > 1:
        return math.ceil(replicas * scaling.zones / (scaling.zones - 1)) - replicas
    return 0


def head_room(scaling: ScalingSpec) -> float:
    """What replicas are multiplied by so that one zone can be lost."""
    zones = scaling.zones if scaling.survive == "zone" else 1
    return zones / (zones - 1) if zones > 1 else 1.0


def candidates(kind: PolicyKind, load: ScaledLoad, view: View, scaling: ScalingSpec, train: int) -> list[PolicySpec]:
    """Every setting of one kind of policy that is tried; none where the kind cannot work on this load."""
    most = most_replicas(load, scaling, float(view.rate_per_s[:train].max()))
    makers = {"static": _static, "vpa": _vpa, "hpa": _hpa, "keda": _keda, "predictive": _predictive, "mpc": _mpc}
    found = makers[kind](load, view, scaling, train, most) if kind in makers else ()
    return [as_ruled(policy, scaling) for policy in found]


def as_ruled(policy: PolicySpec, scaling: ScalingSpec) -> PolicySpec:
    """The policy with what the Scaling document says of every one: the window of its metrics, and the largest step.

    A step is the one rule of each direction, so many pods within one look, or within one tick of the simulator where
    that is longer: what is tried is what an autoscaler can be told. (ours)
    """
    if policy.kind == "static":
        return policy
    step = policy.max_step or scaling.max_step
    told = {"metrics_window_s": policy.metrics_window_s or scaling.metrics_window_s, "max_step": step}
    if step is not None and policy.kind != "mpc":
        rule = ScalingRule(type="Pods", value=step, period_s=max(policy.sync_s, scaling.tick_s))
        told |= {name: getattr(policy, name).model_copy(update={"policies": (rule,)}) for name in ("up", "down")}
    return policy.model_copy(update=told)


def lowest(scaling: ScalingSpec) -> int:
    """Fewest replicas that a policy may keep: one, and the spare."""
    return 1 + spare(1, scaling)


def with_brownout(policies: list[PolicySpec]) -> list[PolicySpec]:
    """The same policies, which also leave optional work out while replicas are short."""
    return [policy.model_copy(update={"brownout": True}) for policy in policies]


def floors(load: ScaledLoad, view: View, scaling: ScalingSpec, train: int, most: int) -> list[int]:
    """Minima worth trying: the lowest, and what the quietest quarter and half of the time need."""
    rates = np.quantile(coarse(view.rate_per_s[:train], max(round(60.0 / view.tick_s), 1)), (0.25, 0.5))
    needed = replicas_needed(load.capacity, rates, load.late_share, most)
    least = lowest(scaling)
    return sorted({least, *(max(min(int(n) + spare(int(n), scaling), most), least) for n in needed)})


def _static(load: ScaledLoad, view: View, scaling: ScalingSpec, train: int, most: int) -> Iterator[PolicySpec]:
    rates = view.rate_per_s[:train]
    around = np.array([float(rates.mean()), float(rates.max())])
    first, last = (int(n) for n in replicas_needed(load.capacity, around, load.late_share, most))
    for replicas in range(max(first, lowest(scaling)), min(last + spare(last, scaling) + 1, most) + 1):
        yield static(replicas)


def _vpa(load: ScaledLoad, view: View, scaling: ScalingSpec, train: int, most: int) -> Iterator[PolicySpec]:
    """The vertical pod autoscaler with its own defaults, in whole replicas' worth; a GPU cannot be resized."""
    if not load.llm:
        yield PolicySpec(kind="vpa", min_replicas=lowest(scaling), max_replicas=most, down=direction(0.0))


def direction(window_s: float) -> Direction:
    """Downwards with another stabilisation window."""
    return DOWN.model_copy(update={"stabilization_window_s": window_s})


def triggers(load: ScaledLoad) -> list[Trigger]:
    """Metrics and targets of the plain autoscaler: CPU of a service; requests in flight or KV of a language model."""
    if not load.llm:
        return [Trigger(metric="cpu", target=target) for target in CPU_TARGETS]
    middle = len(load.capacity.in_flight[0]) - 1
    at = [load.capacity.in_flight[0, round(share * middle)] for share in SHARES_OF_LIMIT]
    found = [Trigger(metric="in-flight", target=max(float(f"{value:.3g}"), 0.1)) for value in at]
    kv = [load.capacity.kv[round(share * middle)] for share in SHARES_OF_LIMIT]
    return found + [Trigger(metric="kv-cache", target=float(f"{value:.3g}")) for value in kv if value > 0.005]


def _hpa(load: ScaledLoad, view: View, scaling: ScalingSpec, train: int, most: int) -> Iterator[PolicySpec]:
    for trigger in triggers(load):
        for window_s in WINDOWS_S:
            for least in floors(load, view, scaling, train, most):
                yield PolicySpec(
                    kind="hpa", min_replicas=least, max_replicas=most, triggers=(trigger,), down=direction(window_s)
                )


def rate_triggers(load: ScaledLoad) -> list[Trigger]:
    """Requests per second and replica, as shares of what one sustains."""
    per_s = load.capacity.per_s
    return [Trigger(metric="requests", target=float(f"{share * per_s:.4g}")) for share in SHARES_OF_LIMIT]


def _keda(load: ScaledLoad, view: View, scaling: ScalingSpec, train: int, most: int) -> Iterator[PolicySpec]:
    schedules = [(), *(schedule(load, view, scaling, train, most, q) for q in (0.5, 0.9, 1.0))]
    for trigger in rate_triggers(load):
        for window_s in WINDOWS_S[:2]:
            for windows in dict.fromkeys(schedules):
                for least, idle in _fewest(load, view, scaling, train, most):
                    yield PolicySpec(
                        kind="keda", min_replicas=least, idle_replicas=idle, max_replicas=most, triggers=(trigger,),
                        down=direction(window_s), schedule=windows,
                    )  # fmt: skip


def _fewest(
    load: ScaledLoad, view: View, scaling: ScalingSpec, train: int, most: int
) -> Iterator[tuple[int, int | None]]:
    """Fewest replicas under load, and what is kept without any where that may be none: KEDA's two counts."""
    if not scaling.allow_zero:
        yield lowest(scaling), None
        return
    yield 0, None
    yield from ((least, 0) for least in floors(load, view, scaling, train, most) if least > 1)


def schedule(
    load: ScaledLoad, view: View, scaling: ScalingSpec, train: int, most: int, quantile: float
) -> tuple[ScheduleWindow, ...]:
    """Windows of the day with what each half hour has needed, a start-up early; at most a dozen. None without a day."""
    if view.season_s is None or train * view.tick_s < 2 * DAY_S:
        return ()
    per_day = round(DAY_S / PERIOD_S)
    every = round(PERIOD_S / view.tick_s)
    highest = view.rate_per_s[: train // every * every].reshape(-1, every).max(axis=1)
    offset = round(view.start_s % DAY_S / PERIOD_S)
    slot = (np.arange(len(highest)) + offset) % per_day
    rates = np.array([np.quantile(highest[slot == s], quantile) for s in range(per_day)])
    early = np.maximum(rates, np.roll(rates, -1)) if scaling.start_up.cold_s > 60.0 else rates
    needed = replicas_needed(load.capacity, early, load.late_share, most)
    needed = np.array([int(n) + spare(int(n), scaling) for n in np.minimum(needed, most)])
    return tuple(_windows(needed, lowest(scaling), most))


def _windows(needed: np.ndarray[tuple[int], np.dtype[np.int64]], least: int, most: int) -> Iterator[ScheduleWindow]:
    """Runs of half hours with one number of replicas, coarser until there are few enough."""
    grain = 1
    while True:
        levels = np.minimum(np.ceil(needed / grain).astype(int) * grain, most)
        edges = [i for i in range(len(levels)) if levels[i] != levels[i - 1]]
        if len(edges) <= MOST_WINDOWS:
            break
        grain += 1
    for at, first in enumerate(edges):
        last = edges[(at + 1) % len(edges)]
        if levels[first] > least:
            yield ScheduleWindow(start=clock(first), end=clock(last), replicas=int(levels[first]))


def clock(slot: int) -> str:
    """The time of day at which a half hour begins."""
    minutes = slot * int(PERIOD_S // 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _predictive(load: ScaledLoad, view: View, scaling: ScalingSpec, train: int, most: int) -> Iterator[PolicySpec]:
    if view.season_s is None:
        return
    lead = scaling.start_up.cold_s + (scaling.nodes.provision_s if scaling.nodes else 0.0) + 30.0
    backed: list[tuple[Trigger, ...]] = [(), *((one,) for one in rate_triggers(load)[3:6])]
    for quantile in QUANTILES:
        for late in (load.late_share, load.late_share / 4.0, load.late_share / 32.0):
            for behind in backed:
                yield PolicySpec(
                    kind="predictive", min_replicas=lowest(scaling), max_replicas=most, triggers=behind,
                    forecast=Forecasting(
                        season_s=view.season_s, quantile=quantile, lead_s=lead, late_share=late,
                        head_room=head_room(scaling), spare_replicas=1 if scaling.survive == "replica" else 0,
                    ),
                    down=direction(60.0),
                )  # fmt: skip


def _mpc(load: ScaledLoad, view: View, scaling: ScalingSpec, train: int, most: int) -> Iterator[PolicySpec]:
    stage_s = max(MPC_STAGE_S, view.tick_s)
    for cost in COSTS:
        for quantile in (0.5, 0.9, 0.99):
            yield PolicySpec(
                kind="mpc", min_replicas=lowest(scaling), max_replicas=most, sync_s=max(60.0, view.tick_s),
                forecast=Forecasting(season_s=view.season_s or DAY_S, quantile=quantile, lead_s=0.0,
                                     late_share=load.late_share),
                horizon=Horizon(stages=MPC_STAGES, stage_s=stage_s, replica_hours_per_1000_late=cost),
            )  # fmt: skip


def sustained(load: ScaledLoad, replicas: int) -> float:
    """Requests per second that so many replicas answer within the bound."""
    index = row_of(load.capacity.rows, replicas)
    return highest_rate(load.capacity, int(index[replicas]), load.late_share) * replicas
