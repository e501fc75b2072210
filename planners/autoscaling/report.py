"""The plan as a document: decision, expected figures, reasons and what they rest on."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import numpy as np

from planners.autoscaling import layers
from planners.autoscaling.choosing import LAYERED, breaks
from planners.autoscaling.purchase import HOURS_PER_WEEK, purchase
from planners.autoscaling.question import Question, ScaledLoad
from planners.autoscaling.scoring import Stretch, rise, run
from predictors.autoscaling.capacity import Capacity
from predictors.autoscaling.looking import View
from predictors.autoscaling.state import FloatArray, SingleArray
from specs.autoscaling import (
    AutoscalingDecision,
    AutoscalingExpected,
    AutoscalingPlan,
    AutoscalingWhy,
    LayerPolicy,
    LoadFigure,
    Method,
    ScaledService,
)
from specs.plan import Evidence, Status
from specs.promises import Promise
from specs.stamping import stamped

POINTS = 192
"""Points of the load and replicas that the plan keeps for plots."""
VALID = "while the load keeps its days and its peaks, replicas start as fast as described, and prices stand"


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One service with every method that ran, the recommended one, and what was paid for over the scored part."""

    load: ScaledLoad
    view: View
    stretch: Stretch
    methods: tuple[Method, ...]
    best: Method
    total: SingleArray  # replicas in each tick of the stretch; GPUs where layers are scaled apart
    needed: int
    notes: tuple[str, ...] = ()


def report(question: Question, tried: list[Tried], started: float) -> AutoscalingPlan:
    """The plan of what was tried."""
    services = tuple(service for one in tried for service in _decided(question, one))
    prices = [one.purchase.usd for one in services if one.purchase is not None] + _unbought(tried)
    broken = [one for one in tried if breaks(one.best.score, one.load.late_share)]
    methods = tuple(method for one in tried for method in one.methods)
    return AutoscalingPlan(
        metadata=stamped(question.name, question.inputs),
        status=Status(
            outcome="feasible", reason=_reason(tried, broken),
            solver={"methods": len(methods), "seed": question.seed, "seconds": round(time.process_time() - started, 2)},
        ),
        valid=VALID,
        decision=AutoscalingDecision(services=services, usd_per_week=_rounded(sum(prices)) if prices else None),
        expected=AutoscalingExpected(
            scores={one.load.name: one.best.score for one in tried},
            violations_high={one.load.name: high for one in tried if (high := _high(one)) is not None},
            hours=tried[0].stretch.hours, over_time=tuple(_over_time(question, one) for one in tried),
        ),
        why=AutoscalingWhy(
            compared=methods, reasons={one.load.name: _why(one) for one in tried},
            slo={one.load.name: promise(one.load) for one in tried},
            load={one.load.name: _figures(question, one) for one in tried}, notes=_notes(question, tried),
        ),
        evidence=_evidence(question, tried),
    )  # fmt: skip


def promise(load: ScaledLoad) -> Promise:
    """What is promised of a service."""
    return Promise(
        bounds=load.promised, part_s=float(f"{load.bound_s:.6g}"), late_share=float(f"{load.late_share:.6g}")
    )


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _unbought(tried: list[Tried]) -> list[float]:
    """USD a week of layers that are scaled apart: all on demand."""
    layered = [one for one in tried if one.best.layers and one.best.score.usd is not None]
    return [(one.best.score.usd or 0.0) * HOURS_PER_WEEK / one.stretch.hours for one in layered]


def _decided(question: Question, one: Tried) -> tuple[ScaledService, ...]:
    if one.best.layers:
        return tuple(_layer(question, one, layer) for layer in one.best.layers)
    start = question.scaling.start_up
    waits = start.cold_s + (question.scaling.nodes.provision_s if question.scaling.nodes else 0.0)
    steepest = rise(one.load.rate_per_s, question.scaling.tick_s, waits)
    return (ScaledService(
        service=one.load.name, policy=one.best.policy, needed_at_peak=one.needed,
        spare_replicas=_spare(question, one.needed), purchase=purchase(one.stretch, one.best.policy, one.total),
        head_room_replicas=math.ceil(max(steepest, 0.0) / one.load.capacity.per_s),
    ),)  # fmt: skip


def _layer(question: Question, one: Tried, layer: LayerPolicy) -> ScaledService:
    """One group of layers as a service, in force together with the others of its model."""
    waits = layer.start_up_s + (question.scaling.nodes.provision_s if question.scaling.nodes else 0.0)
    steepest = rise(one.load.rate_per_s, question.scaling.tick_s, waits)
    return ScaledService(
        service=layer.service, part_of=one.load.name, first_layer=layer.first_layer, last_layer=layer.last_layer,
        gpus=layer.gpus, policy=layer.policy, needed_at_peak=layer.needed_at_peak,
        spare_replicas=_spare(question, layer.needed_at_peak),
        head_room_replicas=math.ceil(max(steepest, 0.0) / layer.sustains_per_s),
    )  # fmt: skip


def _spare(question: Question, needed: int) -> int:
    zones = question.scaling.zones
    if question.scaling.survive == "zone":
        return math.ceil(needed / zones)
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
    next_best = min(keeping, key=lambda method: method.score.cost)
    more = next_best.score.cost / max(best.score.cost, 1e-9) - 1.0
    return f"{best.name} keeps the promise ({_worst(best):.3%} late); the next, {next_best.name}, costs {more:+.0%}"


def _high(one: Tried) -> float | None:
    """Violations with the replicas' capacity at the low end of its interval."""
    if one.load.capacity.error is None:
        return None
    stretch = replace(one.stretch, load=replace(one.load, capacity=slower_by(one.load.capacity)))
    if one.best.layers:
        assert stretch.load.cut is not None
        cut = replace(stretch.load.cut, capacity=slower_by(stretch.load.cut.capacity))
        stretch = replace(stretch, load=replace(stretch.load, cut=cut))
        return layers.run(stretch, tuple(layer.policy for layer in one.best.layers)).violations
    return run(stretch, [one.best.policy])[0].violations


def slower_by(capacity: Capacity) -> Capacity:
    """The capacity at the low end of its interval."""
    return replace(capacity, per_s=capacity.per_s * (1.0 - (capacity.error or 0.0)))


def _over_time(question: Question, one: Tried) -> LoadFigure:
    """The scored part at so many times; load and forecast are means over the forecast's steps, where there is one."""
    first, last = one.stretch.first, one.stretch.last
    at = np.linspace(first, last - 1, min(POINTS, last - first)).astype(int)
    seconds, band = one.view.tick_s * at, question.band
    figure = LoadFigure(
        service=one.load.name, at_s=tuple(float(t) for t in seconds), rate_per_s=_each(one.view.rate_per_s[at]),
        replicas=tuple(float(v) for v in one.total[at - first]), counts="GPUs" if one.best.layers else "replicas",
    )  # fmt: skip
    if band is None:
        return figure
    places, visits = band.at(seconds), one.load.visits
    quantiles = {name: _each(visits * values[places]) for name, values in band.quantiles.items()}
    if not all(math.isfinite(value) for values in quantiles.values() for value in values):
        return figure
    drawn = {
        "rate_per_s": _each(visits * band.load[places]), "quantiles_per_s": quantiles, "ahead_s": band.ahead_s,
        "forecast_by": band.method,
    }  # fmt: skip
    return figure.model_copy(update=drawn)


def _each(values: FloatArray) -> tuple[float, ...]:
    return tuple(_rounded(float(value)) for value in values)


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
        notes += _layers(one) + _late_start(question, one)
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


def _layers(one: Tried) -> list[str]:
    """What the figures of layers that are scaled apart rest on."""
    cut = one.load.cut
    if cut is None:
        return []
    starts = ", ".join(f"{start:.3g}" for start in dict.fromkeys(group.start_up.cold_s for group in cut.groups))
    return [
        f"{LAYERED}: groups, what they sustain and how fast they start ({starts} s, image included) are those of "
        f"{cut.source}; replicas share GPUs by their part of the work, no two of a group on one, packed anew in every "
        "tick, and each GPU in use is paid whole"
    ]


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
    found += [
        Evidence(quantity=f"capacity of the layers of {one.load.name}", basis=cut.capacity.basis,
                 source=cut.capacity.source, error=cut.capacity.error)
        for one in tried if (cut := one.load.cut) is not None
    ]  # fmt: skip
    assumed = any(note.startswith("no Scaling document") for note in question.notes)
    source = "defaults; no Scaling document was given" if assumed else "the Scaling document"
    found.append(Evidence(quantity="start-up and metrics delay", basis="assumed", source=source))
    price = question.scaling.prices.on_demand
    if price is None and any(one.load.usd_per_hour is not None for one in tried):
        cuts = [one.load.cut.source for one in tried if one.load.cut is not None]
        source = " or ".join(["the Application or Cluster document", *cuts])
        found.append(Evidence(quantity="price on demand", basis="assumed", source=source))
    if price is not None:
        found.append(Evidence(quantity="price on demand", basis="assumed", source=f"{price.source}, {price.date}"))
    return tuple(found)
