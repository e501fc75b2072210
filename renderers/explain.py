"""A serving plan in sentences, with the arithmetic that a reader can redo."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from renderers.plan_table import alternative, amount, headline, limits, pretty
from specs.base import Figure
from specs.plan import Alternative, ServingPlan

WIDTH = 96
PLOT_WIDTH = 60
PLOT_HEIGHT = 12


def explain(plan: ServingPlan, *, plot: bool = False) -> str:
    """Return the plan as paragraphs of at most 96 columns; ``plot`` adds cost against p99 TTFT as a small chart."""
    paragraphs = list(_decided(plan) if plan.decision else _refused(plan))
    text = "\n\n".join(textwrap.fill(" ".join(one.split()), WIDTH) for one in paragraphs if one)
    chart = pareto_chart(plan) if plot else ""
    return f"{text}\n\n{chart}" if chart else text


def _decided(plan: ServingPlan) -> Iterator[str]:
    assert plan.decision is not None
    yield f"{plan.metadata.name} is {plan.status.outcome}: {plan.status.reason}."
    for deployment in plan.decision.deployments:
        yield f"Deploy {headline(deployment)}, started with {limits(deployment)}."
    yield _money(plan)
    yield _load(plan)
    yield _closed_forms(plan)
    yield _simulated(plan)
    yield _bounds(plan)
    yield _headroom(plan)
    yield _compared(plan)
    yield _evidence(plan)
    yield f"The plan stands {plan.valid}." if plan.valid else ""


def _money(plan: ServingPlan) -> str:
    assert plan.decision is not None
    cost, expected = plan.decision.usd_per_hour, plan.expected
    if cost is None:
        return f"That takes {plan.decision.gpus} GPUs; no price was given."
    text = f"That takes {plan.decision.gpus} GPU{'s' * (plan.decision.gpus != 1)} at {cost:.2f} USD per hour."
    if expected is None or expected.usd_per_million_output_tokens is None:
        return text
    dear = expected.usd_per_million_output_tokens.value
    tokens_per_s = cost / 3600 / dear * 1e6
    text += f" With {tokens_per_s:,.0f} output tokens per second, {cost:.2f} / 3600 / {tokens_per_s:,.0f} × 10⁶ = "
    text += f"{dear:.2f} USD per million output tokens"
    every = expected.usd_per_million_tokens
    return text + (f"; prompts counted as well, {every.value:.2f} USD per million tokens." if every else ".")


def _load(plan: ServingPlan) -> str:
    load = plan.why.load if plan.why else {}
    if "rate_per_s" not in load:
        return f"The workload is a closed loop of {load.get('requests', 0):g} requests."
    text = (
        f"The load: {_number(load, 'requests'):,.0f} requests in {_number(load, 'duration_s'):,.0f} s are "
        f"{_number(load, 'rate_per_s'):.3g} per second; the gaps between them vary with a coefficient of "
        f"{_number(load, 'interarrival_cv'):.3g} (Poisson: 1), the heaviest {_number(load, 'window_s'):.0f} s carry "
        f"{_number(load, 'peak_to_mean'):.3g} × the mean, and counts disperse "
        f"{_number(load, 'index_of_dispersion'):.3g} × as much as Poisson's. "
        f"Prompts hold {_number(load, 'prompt_tokens_mean'):,.0f} tokens on average "
        f"(p99 {_number(load, 'prompt_tokens_p99'):,.0f}), answers {_number(load, 'output_tokens_mean'):,.0f} "
        f"(p99 {_number(load, 'output_tokens_p99'):,.0f})."
    )
    if "prefix_hit_ratio" in load:
        text += f" An unlimited prefix cache would hold {_number(load, 'prefix_hit_ratio'):.0%} of the prompt tokens."
    return text


def _number(values: dict[str, float | str], name: str) -> float:
    return float(values.get(name, 0.0))


def _closed_forms(plan: ServingPlan) -> str:
    bounds = plan.why.bounds if plan.why else {}
    if "replicas_at_least" not in bounds:
        return ""
    forms = {
        "by_kv_littles_law": "Little's law over KV (arrivals × time held × tokens held / KV tokens of a replica)",
        "by_sequences_littles_law": "Little's law over sequences",
        "by_burst_prefill": "the prefill work of the heaviest window",
        "by_mean_work": "the mean work of all scheduled tokens",
    }
    parts = [f"{_number(bounds, name):.2f} by {text}" for name, text in forms.items() if name in bounds]
    return (
        "Before anything was simulated, closed forms gave a lower bound for this layout: "
        f"{', '.join(parts)}; rounded up, at least {_number(bounds, 'replicas_at_least'):.0f} replicas."
    )


def _simulated(plan: ServingPlan) -> str:
    why, solver = plan.why, plan.status.solver
    if why is None:
        return ""
    text = (
        f"{solver.get('evaluated', 0)} candidates were simulated over the whole trace and {solver.get('pruned', 0)} "
        "ruled out by closed forms or because they could not differ from one that was simulated."
    )
    if why.failed:
        cheaper = "; ".join(f"{one.decision} ({one.breaks})" for one in why.failed[:12])
        more = f", and {len(why.failed) - 12} more" if len(why.failed) > 12 else ""
        text += f" Every cheaper candidate left open was simulated and failed: {cheaper}{more}."
    return text + (f" The candidate set: {why.candidates}." if why.candidates else "")


def _bounds(plan: ServingPlan) -> str:
    why = plan.why
    if why is None or not why.slo:
        return ""
    parts = []
    for held in why.slo:
        sign = "≥" if held.name.endswith("attainment") else "≤"
        parts.append(f"{pretty(held.name)} {amount(held.name, held.planned)} {sign} {amount(held.name, held.bound)}")
    confidence = f"with {why.confidence:.0%} confidence, " if why.confidence else ""
    binding = f" {pretty(why.binding)} binds: it uses most of its bound." if why.binding else ""
    return (
        f"Each bound was held {confidence}that is with step times and KV at the upper end of their interval and the "
        f"percentile's own sampling error on top: {'; '.join(parts)}.{binding} {_expected(plan)}"
    )


def _expected(plan: ServingPlan) -> str:
    expected = plan.expected
    if expected is None:
        return ""
    p99 = {name: getattr(expected, name).p99 for name in ("ttft_s", "tpot_s", "e2e_s")}
    parts = [f"{pretty(name)} p99 {_interval(name, figure)}" for name, figure in p99.items()]
    share = _interval("attainment", expected.attainment)
    return f"What is to be expected (90 % interval): {'; '.join(parts)}; attainment {share}."


def _interval(name: str, figure: Figure | None) -> str:
    if figure is None:
        return "undefined"
    if figure.low is None or figure.high is None:
        return amount(name, figure.value)
    return f"{amount(name, figure.value)} ({amount(name, figure.low)} – {amount(name, figure.high)})"


def _headroom(plan: ServingPlan) -> str:
    why = plan.why
    if why is None or why.headroom is None:
        return ""
    beyond = f", and breaks at {why.headroom_high:.2f} ×" if why.headroom_high else ", the most that was tried"
    text = f"The decision still holds at {why.headroom:.2f} × this load{beyond}."
    changes = [f"{one.change}: {'holds' if one.holds else one.breaks}" for one in why.what_if]
    if changes:
        text += f" What if: {'; '.join(changes)}."
    first = why.bounds.get("breaks_first")
    return text + (f" Of the three, {first}." if first else "")


def _compared(plan: ServingPlan) -> str:
    why = plan.why
    if why is None:
        return ""
    parts = []
    if why.next_cheaper is not None:
        parts.append(f"The next cheaper decision is {alternative(why.next_cheaper)}.")
    if why.compared:
        parts.append(f"Compared with it: {'; '.join(alternative(one) for one in why.compared)}.")
    return " ".join([*parts, *(f"{note[:1].upper()}{note[1:]}." for note in why.notes)])


def _evidence(plan: ServingPlan) -> str:
    parts = []
    for entry in plan.evidence:
        error = "" if entry.error is None else f", ± {entry.error:.1%}"
        note = "" if entry.note is None else f" ({entry.note})"
        parts.append(f"{entry.quantity.replace('_', ' ')}: {entry.basis} from {entry.source}{error}{note}")
    return f"What the figures rest on: {'; '.join(parts)}." if parts else ""


def _refused(plan: ServingPlan) -> Iterator[str]:
    status = plan.status
    yield f"{plan.metadata.name} is {status.outcome}: {status.reason}."
    if status.conflicts:
        yield f"The constraints that conflict: {'; '.join(status.conflicts)}."
    if status.smallest_change:
        yield f"The smallest change that would make it feasible: {status.smallest_change}."
    if status.missing:
        yield f"What is missing: {status.missing}."
    yield _load(plan)


def pareto_chart(plan: ServingPlan) -> str:
    """Cost against p99 TTFT of the Pareto front as text: `o` holds the SLO, `x` does not, `@` is the decision."""
    known = [one for one in (plan.why.pareto if plan.why else ()) if one.ttft_p99_s is not None]
    if len(known) < 2:
        return ""
    costs = [_cost(one) for one in known]
    delays = [one.ttft_p99_s or 0.0 for one in known]
    rows = [[" "] * (PLOT_WIDTH + 1) for _ in range(PLOT_HEIGHT)]
    for one, cost, delay in zip(known, costs, delays, strict=True):
        column = round((cost - min(costs)) / max(max(costs) - min(costs), 1e-12) * PLOT_WIDTH)
        row = round((max(delays) - delay) / max(max(delays) - min(delays), 1e-12) * (PLOT_HEIGHT - 1))
        chosen = plan.decision is not None and abs(cost - _chosen(plan)) < 1e-9
        rows[row][column] = "@" if chosen else "x" if one.breaks else "o"
    unit = "USD/h" if known[0].usd_per_hour is not None else "GPUs"
    left = [f"{max(delays):8.3g} s ", *[" " * 11] * (PLOT_HEIGHT - 2), f"{min(delays):8.3g} s "]
    lines = [f"{label}│{''.join(row).rstrip()}" for label, row in zip(left, rows, strict=True)]
    axis = f"{'':11}└{'─' * PLOT_WIDTH}"
    feet = f"{'':11}{min(costs):<8.4g}{'':{PLOT_WIDTH - 16}}{max(costs):>8.4g} {unit}"
    return "\n".join(["p99 TTFT at the upper end against cost (@ the decision, o holds, x breaks)", *lines, axis, feet])


def _cost(one: Alternative) -> float:
    return float(one.gpus) if one.usd_per_hour is None else one.usd_per_hour


def _chosen(plan: ServingPlan) -> float:
    assert plan.decision is not None
    return float(plan.decision.gpus) if plan.decision.usd_per_hour is None else plan.decision.usd_per_hour
