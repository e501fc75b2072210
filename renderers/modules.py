"""A plan by modules as a table and in sentences: the method first, its steps, then all methods side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from renderers.placement import NARROWEST, evidence_line, latencies, seconds, wrapped
from renderers.plain import columns, title
from specs.modules import LayerService, MethodResult, ModuleAction, ModulesPlan

MOST_ROWS = 12


def modules_table(plan: ModulesPlan, width: int | None = None) -> str:
    """Return the plan as text of at most ``width`` columns (the terminal's, at most 100, when None)."""
    width = max(columns(width), NARROWEST)
    rows = list(_decided(plan, width) if plan.decision else _refused(plan, width))
    rows += [*_compared(plan), "", *_reasons(plan, width)]
    return "\n".join([title(plan, width), "", *rows])


def _decided(plan: ModulesPlan, width: int) -> Iterator[str]:
    decision = plan.decision
    assert decision is not None
    cost = "" if decision.usd_per_hour is None else f" · {decision.usd_per_hour:.2f} USD/h"
    deployment = decision.deployments[0]
    yield (
        f"  {decision.method}: {deployment.replicas} × {deployment.model} on {deployment.device}, "
        f"{decision.gpu_share:.2f} GPUs{cost}"
    )
    for one in decision.actions[:MOST_ROWS]:
        yield from textwrap.wrap(f"{one.order}. {action(one)}", width, initial_indent="  ", subsequent_indent="     ")
    for service in decision.services[:MOST_ROWS]:
        yield f"  {_service(service)}"
    if plan.expected is not None:
        yield from wrapped("expected", latencies(plan.expected), width)
    yield ""


def action(one: ModuleAction) -> str:
    """One step in a phrase."""
    return (
        f"{one.op} {one.module} {one.first_layer}–{one.last_layer} to {one.target}: {one.gib:.2f} GiB, copy "
        f"{seconds(one.copy_ms / 1e3)}, pause {seconds(one.downtime_ms / 1e3)}, sustains {one.gain:+.1%}"
    )


def _service(one: LayerService) -> str:
    return (
        f"{one.name:<14}{one.replicas} × {one.gib_per_replica:.1f} GiB · HPA {one.hpa_metric} {one.hpa_target:g} · "
        f"{one.hpa_min}–{one.hpa_max} replicas · warm in {one.warmup_s:g} s"
    )


def _compared(plan: ModulesPlan) -> Iterator[str]:
    if plan.why is None:
        return
    heads = ("TTFT p99", "TPOT p99", "mean e2e")
    columns = "".join(f"{one:>10}" for one in heads)
    yield f"  {'method':<16}{'GPUs':>6}{'USD/h':>8}{'attained':>10}{columns}{'reacts':>8}"
    for one in plan.why.compared:
        yield _row(one)


def _row(one: MethodResult) -> str:
    cost = "–" if one.usd_per_hour is None else f"{one.usd_per_hour:.2f}"
    tpot = "–" if one.tpot_p99_s is None else seconds(one.tpot_p99_s)
    react = "cannot" if one.react_s is None else "at once" if one.react_s == 0 else seconds(one.react_s)
    return (
        f"  {one.method:<16}{one.gpu_share:>6.2f}{cost:>8}{one.attainment:>10.2%}{seconds(one.ttft_p99_s):>10}"
        f"{tpot:>10}{seconds(one.e2e_mean_s):>10}{react:>8}"
    )


def _reasons(plan: ModulesPlan, width: int) -> Iterator[str]:
    why = plan.why
    if why is None:
        return
    if plan.decision is not None:
        yield from wrapped("because", plan.status.reason, width)
    for one in why.compared:
        yield from wrapped(one.method, f"{one.decision}{f': {one.breaks}' if one.breaks else ''}", width)
    if why.figures:
        yield from wrapped("a step", _figures(why.figures), width)
    for rung in why.release:
        yield from wrapped(
            "give back", f"{rung.order}. {rung.what}: {rung.frees_gib:.1f} GiB, −{rung.loses:.1%}", width
        )
    for note in why.notes:
        yield from wrapped("note", note, width)
    yield from wrapped("evidence", f"{evidence_line(plan.evidence)} · start-up times assumed", width)


def _figures(figures: dict[str, float | str]) -> str:
    """What copies do to a decode step and to one of prompts, with the bound."""
    parts = [
        f"{label} {figures[f'{name}_step_ms']} ms alone, {figures[f'{name}_step_after_ms']} ms with the copies "
        f"(at best {figures[f'{name}_step_bound_ms']} ms)"
        for name, label in (("decode", f"decode of {figures['batch']} sequences"), ("prompts", "four prompts"))
    ]
    return "; ".join(parts)


def _refused(plan: ModulesPlan, width: int) -> Iterator[str]:
    yield from textwrap.wrap(plan.status.reason, width, initial_indent="  ", subsequent_indent="  ")
    if plan.status.smallest_change:
        yield from wrapped("would do", plan.status.smallest_change, width)
    yield ""


def explain(plan: ModulesPlan, *, plot: bool = False) -> str:
    """Return the plan as paragraphs; ``plot`` adds the cost of each method as bars."""
    paragraphs = [f"{plan.metadata.name} is {plan.status.outcome}: {plan.status.reason}."]
    if plan.decision is not None:
        paragraphs.append(
            " ".join(f"Step {one.order}: {action(one)}; to undo, {one.undo}." for one in plan.decision.actions)
        )
        paragraphs.append(" ".join(f"{_service(one)}." for one in plan.decision.services))
    if plan.why is not None:
        paragraphs += [_sentence(one) for one in plan.why.compared]
        paragraphs.append(_figures(plan.why.figures) + "." if plan.why.figures else "")
        paragraphs.append(" ".join(f"{note[:1].upper()}{note[1:]}." for note in plan.why.notes))
    paragraphs.append(f"What the figures rest on: {evidence_line(plan.evidence)}." if plan.evidence else "")
    text = "\n\n".join(textwrap.fill(" ".join(one.split()), 96) for one in paragraphs if one)
    if plot and plan.why is not None and plan.why.compared:
        most = max(one.gpu_share for one in plan.why.compared)
        bars = [_bar(one, most) for one in plan.why.compared]
        text += "\n\n" + "\n".join(["GPUs at the SLO, by method", *bars])
    return text


def _sentence(one: MethodResult) -> str:
    kept = "keeps the SLO" if one.holds else f"does not keep the SLO ({one.breaks})"
    return (
        f"{one.method} ({one.decision}) {kept} on {one.gpu_share:.2f} GPUs: attainment {one.attainment:.2%}, TTFT p99 "
        f"{seconds(one.ttft_p99_s)}, {one.tokens_per_s:,.0f} output tokens per second; it sustains "
        f"{one.sustains_per_s:.3g} requests per second by the closed form."
    )


def _bar(one: MethodResult, most: float) -> str:
    broken = "" if one.holds else " breaks the SLO"
    return f"{one.method:<16}{one.gpu_share:>6.2f} {'█' * round(40 * one.gpu_share / most)}{broken}"
