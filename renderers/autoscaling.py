"""The table of an autoscaling plan: every policy that ran, the recommended one marked, and the reasons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from renderers.plain import LABEL, columns, refused, title, wrapped
from specs.autoscaling import AutoscalingPlan, Method, ScaledService
from specs.policies import PolicySpec

LEARNED = ("td3", "ga-rl")
"""Kinds whose step is the largest that their network may ask for, and no limit of the operator."""


def autoscaling_table(plan: AutoscalingPlan, *, compare: bool = False, width: int | None = None) -> str:
    """Return the plan as text of at most ``width`` columns (the terminal's, at most 100, when None).

    ``compare`` adds the five axes of the survey (arXiv 2507.17128) for every method.
    """
    width = columns(width)
    parts = list(_decided(plan, width)) if plan.decision else list(refused(plan, width))
    axes = ["", *_axes(plan, width)] if compare and plan.why else []
    return "\n".join([title(plan, width), "", *parts, *axes])


def _decided(plan: AutoscalingPlan, width: int) -> Iterator[str]:
    assert plan.decision is not None
    assert plan.why is not None
    for name, services in together(plan.decision.services).items():
        for service in services:
            yield from wrapped("  ", headline(service), width)
        methods = [one for one in plan.why.compared if one.service == name]
        yield ""
        yield from _methods(methods, width)
        yield ""
        if not services[0].part_of:
            yield from _apart(methods, width)
        for line in (line for service in services for line in buying(service)):
            yield from wrapped(f"  {'bought':{LABEL}}", line, width)
        yield from wrapped(f"  {'because':{LABEL}}", plan.why.reasons[name], width)
        yield from wrapped(f"  {'promise':{LABEL}}", plan.why.slo[name].told, width)
        yield ""
    if len(plan.why.load) > 1:
        yield from _totals(plan)
        yield ""
    yield from _foot(plan, width)


def together(services: Iterable[ScaledService]) -> dict[str, list[ScaledService]]:
    """Services under the name that was asked about: one each, or all groups of a model's layers."""
    found: dict[str, list[ScaledService]] = {}
    for one in services:
        found.setdefault(one.whole, []).append(one)
    return found


def _apart(methods: list[Method], width: int) -> Iterator[str]:
    """The layers as they would be scaled apart, where that is not what is recommended."""
    for layer in (layer for one in methods for layer in one.layers):
        text = f"{layer.service}: {settings(layer.policy)}; {layer.gpus:.3g} GPU each"
        yield from wrapped(f"  {'not taken':{LABEL}}", text, width)


def _totals(plan: AutoscalingPlan) -> Iterator[str]:
    """All services together, if each used that policy; late requests are at most the sum (union bound)."""
    assert plan.why is not None
    names = list(dict.fromkeys(one.policy.kind for one in plan.why.compared if not one.name.endswith("(today's)")))
    yield f"  {'all services':<18}{'late at most':>14}{'replica-h':>12}"
    for kind in names:
        mine = [one for one in plan.why.compared if one.policy.kind == kind and not one.name.endswith("(today's)")]
        late = sum(plan.why.load[one.service]["visits_per_request"] * one.score.violations for one in mine)
        if len(mine) == len(plan.why.load):
            yield f"  {kind:<18}{_share(min(late, 1.0)):>14}{sum(one.score.replica_hours for one in mine):>12.4g}"
    best = [one for one in plan.why.compared if one.verdict == "recommended"]
    late = sum(plan.why.load[one.service]["visits_per_request"] * one.score.violations for one in best)
    yield f"  {'as recommended':<18}{_share(min(late, 1.0)):>14}{sum(one.score.replica_hours for one in best):>12.4g}"


def headline(service: ScaledService) -> str:
    """The policy of one service in a phrase."""
    part = "" if service.gpus is None else f"; {service.gpus:.3g} GPU each"
    return f"{service.service}: {settings(service.policy)}{part}"


def settings(policy: PolicySpec) -> str:
    """What a policy is set to, for example ``hpa, 2 – 12 replicas, cpu 60 %, down after 300 s``."""
    bounds = f"{policy.min_replicas} – {policy.max_replicas} replicas"
    if policy.min_replicas == policy.max_replicas:
        bounds = f"{policy.max_replicas} replicas"
    parts = [policy.kind, bounds]
    parts += [f"{policy.idle_replicas} without load"] if policy.idle_replicas is not None else []
    parts += [f"{one.metric} {one.target:g}{' %' if one.metric == 'cpu' else ''}" for one in policy.triggers]
    parts += [f"{one.start}–{one.end} ≥ {one.replicas}" for one in policy.schedule]
    parts += ["optional work left out while replicas are short"] if policy.brownout else []
    if policy.forecast is not None and policy.kind in ("predictive", "mpc"):
        parts.append(f"{policy.forecast.quantile:.0%} quantile of the season")
    if policy.horizon is not None:
        minutes = policy.horizon.stages * policy.horizon.stage_s / 60.0
        parts.append(f"{minutes:.0f} min ahead")
    if policy.triggers or policy.forecast is not None:
        parts.append(f"down after {policy.down.stabilization_window_s:.0f} s")
    if policy.max_step is not None and policy.kind not in LEARNED:
        parts.append(f"at most {policy.max_step} {per_step(policy)}")
    return ", ".join(parts)


def per_step(policy: PolicySpec) -> str:
    """Return in which time so many replicas may come or go: of the one rule, else a look."""
    rules = {(rule.type, rule.value, rule.period_s) for one in (policy.up, policy.down) for rule in one.policies}
    periods = {period for kind, value, period in rules if (kind, value) == ("Pods", policy.max_step)}
    return f"in {periods.pop():g} s" if len(rules) == len(periods) == 1 else "at a time"


def _methods(methods: list[Method], width: int) -> Iterator[str]:
    """One row per policy: the form of the launch in the operator's guide."""
    priced = any(one.score.usd is not None for one in methods)
    lost = any(one.score.violations_after_loss is not None for one in methods)
    hours = "GPU-h" if any(one.score.gpu_hours is not None for one in methods) else "replica-h"
    head = f"  {'policy':<18}{'violations':>10}{'after loss' if lost else '':>{11 * lost}}{hours:>10}"
    head += f"{'USD':>8}" if priced else ""
    yield head + f"{'recovers in':>12}{'turns/h':>8}"
    for one in methods:
        yield from _method(one, width, priced=priced, lost=lost)


def _method(one: Method, width: int, *, priced: bool, lost: bool) -> Iterator[str]:
    score = one.score
    text = f"  {one.name:<18}{_share(score.violations):>10}"
    text += f"{_share(score.violations_after_loss or 0.0):>11}" if lost else ""
    text += f"{score.replica_hours if score.gpu_hours is None else score.gpu_hours:>10.4g}"
    text += f"{score.usd:>8.4g}" if score.usd is not None else (f"{'–':>8}" if priced else "")
    recovers = "> 1 h" if score.recovers_s is None else f"{score.recovers_s:.0f} s"
    text += f"{recovers:>12}{score.reversals_per_hour:>8.2f}"
    verdict = one.verdict + (f" ({score.dimmed:.1%} dimmed)" if score.dimmed > 0 else "")
    mark = "←" if one.verdict == "recommended" else ("◦" if one.pareto else " ")
    if len(text) + len(verdict) + 3 <= width:
        yield f"{text} {mark} {verdict}"
    else:
        yield text
        yield from wrapped(f"{'':20}{mark} ", verdict, width)


def _share(value: float) -> str:
    return f"{value:.2%}" if value >= 0.0001 or value == 0.0 else f"{value:.1e}"


def buying(service: ScaledService) -> Iterator[str]:
    """How the replicas are bought, where prices are known."""
    bought = service.purchase
    if bought is None:
        return
    parts = [f"{bought.reserved} reserved"] if bought.reserved else []
    parts += [f"{bought.on_demand_hours:.4g} replica-hours a week on demand"] if bought.on_demand_hours else []
    parts += [f"{bought.spot_hours:.4g} on spot"] if bought.spot_hours else []
    saved = 1.0 - bought.usd / bought.usd_all_on_demand if bought.usd_all_on_demand > 0 else 0.0
    yield f"{', '.join(parts)}: {bought.usd:.4g} USD a week ({saved:.0%} below all on demand)"


def _foot(plan: AutoscalingPlan, width: int) -> Iterator[str]:
    assert plan.why is not None
    assert plan.expected is not None
    yield from wrapped(f"  {'scored on':{LABEL}}", f"the last {plan.expected.hours:.3g} h of the load", width)
    yield from wrapped(f"  {'evidence':{LABEL}}", evidence(plan), width)
    for note in plan.why.notes:
        yield from wrapped(f"  {'note':{LABEL}}", note, width)
    if plan.valid:
        yield from wrapped(f"  {'valid':{LABEL}}", plan.valid, width)


def evidence(plan: AutoscalingPlan) -> str:
    """What the figures rest on, in one line."""
    parts = []
    for entry in plan.evidence:
        error = f", ± {entry.error:.0%}" if entry.error is not None else ""
        parts.append(f"{entry.quantity}: {entry.basis} ({entry.source}{error})")
    return "; ".join(parts)


def _axes(plan: AutoscalingPlan, width: int) -> Iterator[str]:
    assert plan.why is not None
    yield "  the survey's five axes (arXiv 2507.17128; classes within them are ours)"
    seen = set()
    for one in plan.why.compared:
        if one.name in seen:
            continue
        seen.add(one.name)
        axes = one.axes
        text = (
            f"infrastructure {axes.infrastructure} · architecture {axes.architecture} · scaling {axes.scaling} · "
            f"objective {axes.objective} · behaviour {axes.behaviour}"
        )
        yield from wrapped(f"  {one.name:<20}", text, width)
