"""The plan as a document: decision, expected figures, reasons and what they rest on."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from planners.autoscaling.choosing import breaks, cost
from planners.autoscaling.purchase import purchase
from planners.autoscaling.question import Asked, Question, ScaledLoad
from planners.autoscaling.scoring import Stretch, rise, run
from predictors.autoscaling.looking import View
from predictors.autoscaling.simulation import Trace
from specs.autoscaling import (
    AutoscalingDecision,
    AutoscalingExpected,
    AutoscalingPlan,
    AutoscalingWhy,
    LoadFigure,
    Method,
    ScaledService,
)
from specs.base import Metadata
from specs.errors import MissingHardwareError
from specs.plan import Evidence, Status

POINTS = 192
"""Points of the load and replicas that the plan keeps for plots."""
VALID = "while the load keeps its days and its peaks, replicas start as fast as described, and prices stand"


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One service with every method that ran, the recommended one, and what it did over the scored part."""

    load: ScaledLoad
    view: View
    stretch: Stretch
    methods: tuple[Method, ...]
    best: Method
    trace: Trace
    needed: int
    notes: tuple[str, ...] = ()


def report(question: Question, tried: list[Tried], started: float) -> AutoscalingPlan:
    """The plan of what was tried."""
    services = tuple(_decided(question, one) for one in tried)
    prices = [one.purchase.usd for one in services if one.purchase is not None]
    broken = [one for one in tried if breaks(one.best.score, one.load.late_share)]
    methods = tuple(method for one in tried for method in one.methods)
    return AutoscalingPlan(
        metadata=metadata(question.name, question.inputs),
        status=Status(
            outcome="feasible", reason=_reason(tried, broken),
            solver={"methods": len(methods), "seed": question.seed, "seconds": round(time.process_time() - started, 2)},
        ),
        valid=VALID,
        decision=AutoscalingDecision(services=services, usd_per_week=_rounded(sum(prices)) if prices else None),
        expected=AutoscalingExpected(
            scores={one.load.name: one.best.score for one in tried},
            violations_high={one.load.name: high for one in tried if (high := _high(one)) is not None},
            hours=tried[0].stretch.hours, over_time=tuple(_over_time(one) for one in tried),
        ),
        why=AutoscalingWhy(
            compared=methods, reasons={one.load.name: _why(one) for one in tried},
            slo={one.load.name: f"{one.load.slo}: its part {one.load.bound_s:.3g} s, {one.load.late_share:.3%} late"
                 for one in tried},
            load={one.load.name: _figures(question, one) for one in tried}, notes=_notes(question, tried),
        ),
        evidence=_evidence(question, tried),
    )  # fmt: skip


def metadata(name: str, inputs: dict[str, str]) -> Metadata:
    """Name, time, version and the inputs' digests."""
    try:
        ours = version("tonnage")
    except PackageNotFoundError:
        ours = "unknown"
    return Metadata(name=name, created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), tonnage=ours, inputs=inputs)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _decided(question: Question, one: Tried) -> ScaledService:
    start = question.scaling.start_up
    waits = start.cold_s + (question.scaling.nodes.provision_s if question.scaling.nodes else 0.0)
    steepest = rise(one.load.rate_per_s, question.scaling.tick_s, waits)
    return ScaledService(
        service=one.load.name, policy=one.best.policy, needed_at_peak=one.needed,
        spare_replicas=_spare(question, one), purchase=purchase(one.stretch, one.best.policy, one.trace.total),
        head_room_replicas=math.ceil(max(steepest, 0.0) / one.load.capacity.per_s),
    )  # fmt: skip


def _spare(question: Question, one: Tried) -> int:
    zones = question.scaling.zones
    if question.scaling.survive == "zone":
        return math.ceil(one.needed / zones)
    return 1 if question.scaling.survive == "replica" else 0


def _reason(tried: list[Tried], broken: list[Tried]) -> str:
    text = ", ".join(f"{one.best.name} for {one.load.name}" for one in tried)
    if not broken:
        return f"{text}: the cheapest that keeps the promise on the part of the load it was not tuned on"
    names = ", ".join(f"{one.load.name} ({_worst(one.best):.2%} late)" for one in broken)
    return f"{text}: no policy that was tried keeps the promise on the scored part for {names}"


def _worst(method: Method) -> float:
    return max(method.score.violations, method.score.violations_after_loss or 0.0)


def _why(one: Tried) -> str:
    best, others = one.best, [method for method in one.methods if method is not one.best]
    keeping = [method for method in others if not breaks(method.score, one.load.late_share)]
    if breaks(best.score, one.load.late_share):
        return f"no policy keeps the promise; {best.name} comes nearest, {_worst(best):.2%} late"
    if not keeping:
        return f"{best.name} alone keeps the promise ({_worst(best):.3%} late)"
    next_best = min(keeping, key=lambda method: cost(method.score))
    more = cost(next_best.score) / max(cost(best.score), 1e-9) - 1.0
    return f"{best.name} keeps the promise ({_worst(best):.3%} late); the next, {next_best.name}, costs {more:+.0%}"


def _high(one: Tried) -> float | None:
    """Violations with the replicas' capacity at the low end of its interval."""
    if one.load.capacity.error is None:
        return None
    slower = replace(one.load.capacity, per_s=one.load.capacity.per_s * (1.0 - one.load.capacity.error))
    stretch = replace(one.stretch, load=replace(one.load, capacity=slower))
    return run(stretch, [one.best.policy])[0].violations


def _over_time(one: Tried) -> LoadFigure:
    first, last = one.stretch.first, one.stretch.last
    at = np.linspace(first, last - 1, min(POINTS, last - first)).astype(int)
    tick_s = one.view.tick_s
    forecast = one.view.quantile(0.9)[at] if one.view.season_s else np.zeros(0)
    return LoadFigure(
        service=one.load.name, at_s=tuple(float(tick_s * i) for i in at),
        rate_per_s=tuple(_rounded(float(v)) for v in one.view.rate_per_s[at]),
        replicas=tuple(float(v) for v in one.trace.total[at - first]),
        forecast_per_s=tuple(_rounded(float(v)) for v in forecast),
    )  # fmt: skip


def _figures(question: Question, one: Tried) -> dict[str, float]:
    rates, scaling = one.load.rate_per_s, question.scaling
    waits = scaling.start_up.cold_s + (scaling.nodes.provision_s if scaling.nodes else 0.0)
    figures = {
        "mean_per_s": float(rates.mean()), "highest_per_s": float(rates.max()),
        "steepest_rise_in_a_start_per_s": rise(rates, scaling.tick_s, waits),
        "first_served_request_after_s": waits, "replica_sustains_per_s": one.load.capacity.per_s,
        "bound_s": one.load.bound_s, "late_share_allowed": one.load.late_share, "visits_per_request": one.load.visits,
        "season_s": question.season_ticks * scaling.tick_s, "tuned_hours": question.split * scaling.tick_s / 3600.0,
        "scored_hours": one.stretch.hours,
    }  # fmt: skip
    return {name: _rounded(value) for name, value in figures.items()}


def _notes(question: Question, tried: list[Tried]) -> tuple[str, ...]:
    notes = [*question.notes, *(note for one in tried for note in one.notes)]
    for one in tried:
        notes += _late_start(question, one)
        today = question.scaling.current
        if today is not None and today.max_replicas < one.needed:
            notes.append(
                f"{one.load.name}: today's policy stops at {today.max_replicas} replicas, and the peak of "
                f"{one.load.rate_per_s.max():.4g} per second needs {one.needed}"
            )
        if float(one.load.rate_per_s.std()) < 0.02 * float(one.load.rate_per_s.mean()):
            notes.append(f"{one.load.name}: the load is constant, so nothing is gained by scaling")
    if not question.season_ticks:
        notes.append("the load has no season that two of it show: forecasts are left out")
    return tuple(dict.fromkeys(notes))


def _late_start(question: Question, one: Tried) -> list[str]:
    """Warn where a burst is over, or at its height, before a replica that it called for serves."""
    scaling, rates = question.scaling, one.load.rate_per_s
    waits = scaling.start_up.cold_s + (scaling.nodes.provision_s if scaling.nodes else 0.0)
    waits += scaling.metrics_delay_s + scaling.metrics_window_s
    burst = burst_s(rates, scaling.tick_s)
    if burst is None or waits <= burst:
        return []
    kept = math.ceil(max(rise(rates, scaling.tick_s, waits), 0.0) / one.load.capacity.per_s)
    return [
        f"{one.load.name}: a replica serves {waits:.0f} s after the load calls for it, longer than the sharpest burst "
        f"({burst:.0f} s): no reaction is in time, so {kept} replicas must stand ready (or be foreseen)"
    ]


def burst_s(rates: np.ndarray[tuple[int], np.dtype[np.float64]], tick_s: float) -> float | None:
    """How long the sharpest burst lasts: the stretch around the highest rate above half its height over the median."""
    middle, peak = float(np.median(rates)), int(np.argmax(rates))
    half = 0.5 * (middle + float(rates[peak]))
    if rates[peak] < 1.5 * middle or middle <= 0.0:
        return None
    below = np.flatnonzero(rates < half)
    before, after = below[below < peak], below[below > peak]
    first = int(before[-1]) + 1 if len(before) else 0
    last = int(after[0]) if len(after) else len(rates)
    return (last - first) * tick_s


def _evidence(question: Question, tried: list[Tried]) -> tuple[Evidence, ...]:
    found = [
        Evidence(quantity=f"capacity of {one.load.name}", basis=one.load.capacity.basis,
                 source=one.load.capacity.source, error=one.load.capacity.error)
        for one in tried
    ]  # fmt: skip
    assumed = any(note.startswith("no Scaling document") for note in question.notes)
    source = "defaults; no Scaling document was given" if assumed else "the Scaling document"
    found.append(Evidence(quantity="start-up and metrics delay", basis="assumed", source=source))
    price = question.scaling.prices.on_demand
    if price is not None:
        found.append(Evidence(quantity="price on demand", basis="assumed", source=f"{price.source}, {price.date}"))
    return tuple(found)


def abstained(asked: Asked, error: MissingHardwareError, started: float) -> AutoscalingPlan:
    """The plan that says which measurement is missing."""
    return AutoscalingPlan(
        metadata=metadata(f"{asked.name}-autoscaling", asked.inputs),
        status=Status(
            outcome="abstained", reason=error.message, missing=error.cure,
            solver={"seconds": round(time.process_time() - started, 2)},
        ),
    )  # fmt: skip


def over_quota(question: Question, short: list[tuple[ScaledLoad, int]], started: float) -> AutoscalingPlan:
    """The plan that says which peaks need more replicas than there may be."""
    conflicts = tuple(_conflict(question, load, need) for load, need in short)
    most = max(need for _, need in short)
    change = f"quota: {most} (it is {question.scaling.quota}), or a looser SLO"
    if any(need > load.capacity.rows[-1] for load, need in short):
        change = "a looser SLO, or a faster service: more replicas alone do not help"
    return AutoscalingPlan(
        metadata=metadata(question.name, question.inputs),
        status=Status(
            outcome="infeasible", reason="the most replicas that are allowed do not carry the peak of the load",
            conflicts=conflicts, smallest_change=change,
            solver={"seconds": round(time.process_time() - started, 2)},
        ),
    )  # fmt: skip


def _conflict(question: Question, load: ScaledLoad, need: int) -> str:
    peak = f"the peak of {load.rate_per_s.max():.4g} per second"
    if need <= load.capacity.rows[-1]:
        return f"{load.name}: {peak} needs {need} replicas, the quota is {question.scaling.quota}"
    late = float(load.capacity.tails[-1, 0, -1])
    if late > load.late_share:
        allowed = f"of which {load.late_share:.2%} are allowed"
        return f"{load.name}: even without load {late:.2%} of requests take more than {load.bound_s:.3g} s, {allowed}"
    return f"{load.name}: {peak} needs more than {load.capacity.rows[-1]} replicas"
