"""An autoscaling plan in sentences, with the arithmetic that a reader can redo."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from renderers.autoscaling import buying, evidence, settings
from specs.autoscaling import AutoscalingPlan, LoadFigure, Method, ScaledService

WIDTH, PLOT_WIDTH, PLOT_HEIGHT = 96, 72, 10


def explain(plan: AutoscalingPlan, *, plot: bool = False) -> str:
    """Return the plan as paragraphs of at most 96 columns; ``plot`` adds load and replicas over time."""
    paragraphs = list(_decided(plan) if plan.decision else _refused(plan))
    text = "\n\n".join(textwrap.fill(" ".join(one.split()), WIDTH) for one in paragraphs if one)
    charts = [chart(one) for one in plan.expected.over_time] if plot and plan.expected else []
    return "\n\n".join([text, *charts])


def _decided(plan: AutoscalingPlan) -> Iterator[str]:
    assert plan.decision is not None
    assert plan.why is not None
    yield f"{plan.metadata.name} is {plan.status.outcome}: {plan.status.reason}."
    for service in plan.decision.services:
        figures = plan.why.load[service.service]
        yield _load(service.service, figures)
        yield _sizing(service, figures)
        yield f"{service.service} is deployed as {settings(service.policy)}. {plan.why.reasons[service.service]}."
        yield " ".join(f"Its replicas: {line}." for line in buying(service))
        yield _compared([one for one in plan.why.compared if one.service == service.service])
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
        f"{rise:.4g} per second: {rise:.4g} / {per_s:.4g}, rounded up, are {service.head_room_replicas} replicas that "
        "must be foreseen or stand ready."
    )


def _compared(methods: list[Method]) -> str:
    parts = []
    for one in methods:
        recovers = "more than an hour" if one.score.recovers_s is None else f"{one.score.recovers_s:.0f} s"
        parts.append(
            f"{one.name}: {one.score.violations:.2%} late, {one.score.replica_hours:.4g} replica-hours, "
            f"{recovers} after a step ({one.verdict})"
        )
    return "Of the policies, on the part of the load that they were not tuned on: " + "; ".join(parts) + "."


def _refused(plan: AutoscalingPlan) -> Iterator[str]:
    status = plan.status
    yield f"{plan.metadata.name} is {status.outcome}: {status.reason}."
    yield " ".join(f"{conflict}." for conflict in status.conflicts)
    yield f"What would do: {status.smallest_change}." if status.smallest_change else ""
    yield f"What is missing: {status.missing}" if status.missing else ""


def chart(load: LoadFigure) -> str:
    """Load (dots) and replicas (line) over the scored time, each scaled to its own highest value."""
    columns = min(PLOT_WIDTH, len(load.at_s))
    at = [int(i * (len(load.at_s) - 1) / max(columns - 1, 1)) for i in range(columns)]
    grid = [[" "] * columns for _ in range(PLOT_HEIGHT)]
    for values, mark in ((load.rate_per_s, "·"), (load.replicas, "█")):
        highest = max(values) or 1.0
        for column, i in enumerate(at):
            row = PLOT_HEIGHT - 1 - int(values[i] / highest * (PLOT_HEIGHT - 1))
            grid[row][column] = mark
    hours = (load.at_s[-1] - load.at_s[0]) / 3600.0
    foot = f"{load.service}: · load up to {max(load.rate_per_s):.4g}/s, █ replicas up to {max(load.replicas):.0f}; "
    return "\n".join(["".join(row).rstrip() for row in grid] + ["─" * columns, foot + f"{hours:.3g} h"])
