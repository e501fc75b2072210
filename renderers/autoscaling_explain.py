"""An autoscaling plan in sentences, with the arithmetic that a reader can redo."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from renderers.autoscaling import buying, evidence, settings, together
from renderers.autoscaling_plots import charts
from specs.autoscaling import AutoscalingPlan, LayerPolicy, Method, ScaledService

WIDTH = 96


def explain(plan: AutoscalingPlan, *, plot: bool = False) -> str:
    """Return the plan as paragraphs of at most 96 columns; ``plot`` adds load and replicas over time, and the costs."""
    paragraphs = list(_decided(plan) if plan.decision else _refused(plan))
    text = "\n\n".join(textwrap.fill(" ".join(one.split()), WIDTH) for one in paragraphs if one)
    return "\n\n".join([text, *(charts(plan) if plot else ())])


def _decided(plan: AutoscalingPlan) -> Iterator[str]:
    assert plan.decision is not None
    assert plan.why is not None
    yield f"{plan.metadata.name} is {plan.status.outcome}: {plan.status.reason}."
    for name, services in together(plan.decision.services).items():
        figures = plan.why.load[name]
        yield _load(name, figures)
        for service in services:
            layer = _layer(plan, service)
            if layer is not None:
                yield _grouped(service, layer)
                continue
            yield _sizing(service, figures)
            yield f"{name} is deployed as {settings(service.policy)}. {plan.why.reasons[name]}."
            yield " ".join(f"Its replicas: {line}." for line in buying(service))
        yield f"Its layers are scaled apart: {plan.why.reasons[name]}." if services[0].part_of else ""
        yield _compared([one for one in plan.why.compared if one.service == name])
    yield f"What the figures rest on: {evidence(plan)}."
    yield " ".join(f"Note: {note}." for note in plan.why.notes)
    yield f"The plan stands {plan.valid}." if plan.valid else ""


def _load(name: str, figures: dict[str, float]) -> str:
    season = f"a season of {figures['season_s'] / 3600:.0f} h" if figures["season_s"] else "no season that was found"
    return (
        f"{name} is asked {figures['mean_per_s']:.4g} times per second on average and {figures['highest_per_s']:.4g} "
        f"at most, with {season}; {figures['visits_per_request']:.3g} visits per request that enters. Policies were "
        f"tuned on the first {figures['tuned_hours']:.4g} h and scored on the {figures['scored_hours']:.4g} h after."
    )


def _sizing(service: ScaledService, figures: dict[str, float]) -> str:
    per_s, rise = figures["replica_sustains_per_s"], figures["steepest_rise_in_a_start_per_s"]
    return (
        f"One replica sustains {per_s:.4g} per second at most; the bound of {figures['bound_s']:.3g} s, with "
        f"{figures['late_share_allowed']:.3%} of the requests above it, needs {service.needed_at_peak} replicas at the "
        f"peak, {service.spare_replicas} of them spare. A new replica serves its first request "
        f"{figures['first_served_request_after_s']:.0f} s after it is asked for, in which the load has risen by up to "
        f"{rise:.4g} per second: {service.head_room_replicas} of {per_s:.4g} each must be foreseen or stand ready."
    )


def _grouped(service: ScaledService, layer: LayerPolicy) -> str:
    """One group of layers that is scaled apart."""
    return (
        f"{service.service} has the layers {layer.first_layer} to {layer.last_layer}: one replica takes "
        f"{layer.gpus:.3g} GPU, sustains {layer.sustains_per_s:.4g} requests per second and serves "
        f"{layer.start_up_s:.0f} s after it is asked for. At the peak {service.needed_at_peak} are needed, "
        f"{service.spare_replicas} of them spare; {service.head_room_replicas} must be foreseen or stand ready. It is "
        f"deployed as {settings(service.policy)}."
    )


def _layer(plan: AutoscalingPlan, service: ScaledService) -> LayerPolicy | None:
    """The figures of a group of layers that is scaled apart."""
    found = (each for one in (plan.why.compared if plan.why else ()) for each in one.layers)
    return next((one for one in found if service.part_of and one.service == service.service), None)


def _compared(methods: list[Method]) -> str:
    parts = []
    for one in methods:
        recovers = "more than an hour" if one.score.recovers_s is None else f"{one.score.recovers_s:.0f} s"
        parts.append(
            f"{one.name}: {one.score.violations:.2%} late, {_hours(one)}, {recovers} after a step ({one.verdict})"
        )
    return "Of the policies, on the part of the load that they were not tuned on: " + "; ".join(parts) + "."


def _hours(one: Method) -> str:
    gpus = one.score.gpu_hours
    return f"{one.score.replica_hours:.4g} replica-hours" if gpus is None else f"{gpus:.4g} GPU-hours"


def _refused(plan: AutoscalingPlan) -> Iterator[str]:
    status = plan.status
    yield f"{plan.metadata.name} is {status.outcome}: {status.reason}."
    yield " ".join(f"{conflict}." for conflict in status.conflicts)
    yield f"What would do: {status.smallest_change}." if status.smallest_change else ""
    yield f"What is missing: {status.missing}" if status.missing else ""
