"""The brownout plan: a table with the decision first, and the same in sentences."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from renderers.plain import LABEL, columns, refused, title, wrapped
from specs.base import Figure
from specs.brownout import BrownoutAlternative, BrownoutExpected, BrownoutPlan, BrownoutSettings
from specs.plan import Percentiles

METRICS = {"ttft_s": "TTFT", "tpot_s": "TPOT", "itl_s": "ITL"}
LEVELS = ("p50", "p90", "p99")
BAR = 40


def brownout_table(plan: BrownoutPlan, width: int | None = None) -> str:
    """Return the plan as text of at most ``width`` columns (the terminal's, at most 100, when None)."""
    width = columns(width)
    parts = _decided(plan, width) if plan.decision else refused(plan, width)
    return "\n".join([title(plan, width), "", *parts])


def _decided(plan: BrownoutPlan, width: int) -> Iterator[str]:
    assert plan.decision is not None
    for line in decision_lines(plan):
        yield from wrapped("  ", line, width)
    yield ""
    if plan.expected is not None:
        yield from _latencies(plan, plan.expected)
        yield ""
        yield from _price(plan.expected, width)
        yield ""
    yield from _compared(plan, width)
    yield from _rest(plan, width)


def decision_lines(plan: BrownoutPlan) -> list[str]:
    """What to give the engine, in a line or two."""
    assert plan.decision is not None
    chosen, deployment = plan.decision.brownout, plan.decision.deployment
    where = f"{deployment.replicas} × {deployment.model} on {deployment.device}"
    if chosen is None:
        return [f"no brownout: {where} keeps the SLO at {plan.decision.burst:g} × the rate with every expert"]
    return [
        f"way {chosen.way}, {chosen.united_experts_per_layer} united experts per layer, on {where}",
        steering(chosen),
    ]


def steering(chosen: BrownoutSettings) -> str:
    """How the thresholds are set."""
    start = f"prefill {chosen.threshold_init.prefill:g}, decode {chosen.threshold_init.decode:g}"
    if chosen.salc is None:
        return f"fixed thresholds: {start}"
    salc = chosen.salc
    bounds = [
        f"{name} ≤ {duration(bound)}"
        for name, bound in (("first token", salc.prefill_slo_s), ("gap", salc.decode_slo_s))
        if bound is not None
    ]
    return (
        f"SALC from {start}: every {salc.check_s} s, p{salc.level * 100:.0f} of the last {salc.window_s} s held to "
        f"{', '.join(bounds)}; + {salc.increment:g} below {salc.warning_factor:g} of it, × {salc.shrink:g} above it"
    )


def _latencies(plan: BrownoutPlan, expected: BrownoutExpected) -> Iterator[str]:
    yield f"  {'in the burst':{LABEL}}{'p50':>9}{'p90':>9}{'p99':>9}   bound"
    held = {one.name: one for one in plan.why.slo} if plan.why else {}
    for metric, label in METRICS.items():
        values: Percentiles = getattr(expected, metric)
        bounds = [
            f"≤ {duration(one.bound)} ({name.split('.')[1]})" for name, one in held.items() if name.startswith(metric)
        ]
        cells = "".join(f"{_seconds(getattr(values, level)):>9}" for level in LEVELS)
        yield f"  {label:{LABEL}}{cells}   {', '.join(bounds)}".rstrip()
    if "attainment" in held:
        yield f"  {'attainment':{LABEL}}{expected.attainment.value:>9.2%}{'':18}   ≥ {held['attainment'].bound:.4g}"


def _price(expected: BrownoutExpected, width: int) -> Iterator[str]:
    mean, least = expected.mean_threshold, expected.lowest_threshold
    burst = expected.burst_accuracy_loss_pct
    in_burst = f", {percent(burst)} in the burst" if burst else ""
    reached = [
        f"{one.planned:.3g} instead of {one.full_service:.3g} per layer in a {one.phase} step of {one.tokens} tokens"
        for one in expected.accesses
    ]
    rows = [
        ("accuracy", f"{percent(expected.accuracy_loss_pct)} lost on average{in_burst}"),
        (
            "thresholds",
            f"mean in the burst: prefill {mean.prefill:.3g}, decode {mean.decode:.3g}; "
            f"lowest {least.prefill:.3g}, {least.decode:.3g}",
        ),
        ("experts read", "; ".join(reached)),
        ("memory", f"{expected.extra_memory_gib:.3g} GiB more per GPU, taken from the KV cache"),
        ("largest burst", largest(expected)),
    ]
    for label, text in rows:
        yield from wrapped(f"  {label:{LABEL}}", text, width)


def largest(expected: BrownoutExpected) -> str:
    """The largest burst that still holds, and from where on it breaks."""
    rate = f" ({expected.largest_burst_per_s.value:.3g} requests/s)" if expected.largest_burst_per_s else ""
    high = expected.largest_burst.high
    return f"{expected.largest_burst.value:.3g} × the rate holds{rate}" + (
        f", {high:.3g} × breaks" if high else "; nothing larger was tried"
    )


def percent(figure: Figure) -> str:
    """A loss with its interval."""
    ends = f" ({figure.low:.2f} – {figure.high:.2f})" if figure.low is not None and figure.high is not None else ""
    return f"{figure.value:.2f} %{ends}"


def duration(seconds: float) -> str:
    """Milliseconds below a tenth of a second."""
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.1 else f"{seconds:.3g} s"


def _seconds(figure: Figure | None) -> str:
    return "–" if figure is None else duration(figure.value)


def _compared(plan: BrownoutPlan, width: int) -> Iterator[str]:
    if plan.why is None or not plan.why.compared:
        return
    yield f"  {'compared':<28}{'loss':>8}{'memory':>10}{'TTFT p99':>10}{'ITL p99':>10}"
    for one in plan.why.compared:
        loss, memory = f"{one.accuracy_loss_pct or 0:.2f} %", f"{one.extra_memory_gib or 0:.1f} GiB"
        figures = f"{loss:>8}{memory:>10}{_or_dash(one.ttft_p99_s):>10}{_or_dash(one.itl_p99_s):>10}"
        yield from wrapped(f"  {alternative(one):<28}{figures}  ", one.breaks or "holds", width)
    yield ""


def alternative(one: BrownoutAlternative) -> str:
    """A setting in a phrase."""
    if one.way is None:
        return one.mode
    at = f" {one.thresholds.prefill:g}/{one.thresholds.decode:g}" if one.thresholds and one.mode != "salc" else ""
    return f"way {one.way}, {'fixed' if one.mode == 'fixed thresholds' else 'SALC'}{at}"


def _or_dash(seconds: float | None) -> str:
    return "–" if seconds is None else duration(seconds)


def _rest(plan: BrownoutPlan, width: int) -> Iterator[str]:
    rows = [("why", plan.status.reason)]
    if plan.why is not None:
        gains = [
            f"{one.phase} {one.uniform_loss_pct:.2f} → {one.per_layer_loss_pct:.2f} % (at least {one.bound_pct:.2f})"
            for one in plan.why.per_layer
        ]
        rows += [("per layer", f"thresholds by layer, same expert time: {'; '.join(gains)}")] if gains else []
        rows += [("note", note) for note in plan.why.notes]
    rows += [("evidence", evidence(plan)), ("valid", plan.valid or "")]
    for label, text in rows:
        if text:
            yield from wrapped(f"  {label:{LABEL}}", text, width)


def evidence(plan: BrownoutPlan) -> str:
    """What the figures rest on, in one line."""
    parts = [
        f"{one.quantity.replace('_', ' ')}: {one.basis}" + (f", ± {one.error:.1%}" if one.error is not None else "")
        for one in plan.evidence
    ]
    return " · ".join(dict.fromkeys(parts))


def explain(plan: BrownoutPlan, *, plot: bool = False) -> str:
    """Return the plan as paragraphs of at most 96 columns; ``plot`` adds what each setting costs as bars."""
    paragraphs = list(_sentences(plan))
    text = "\n\n".join(textwrap.fill(" ".join(one.split()), 96) for one in paragraphs if one)
    return f"{text}\n\n{_bars(plan)}" if plot and plan.why and plan.why.compared else text


def _sentences(plan: BrownoutPlan) -> Iterator[str]:
    yield f"{plan.metadata.name} is {plan.status.outcome}: {plan.status.reason}."
    if plan.decision is None:
        yield from (f"{conflict}." for conflict in plan.status.conflicts)
        yield f"What would do: {plan.status.smallest_change}." if plan.status.smallest_change else ""
        yield f"What is missing: {plan.status.missing}." if plan.status.missing else ""
        return
    yield f"Give the engine {'; '.join(decision_lines(plan))}."
    expected = plan.expected
    if expected is not None:
        yield from _arithmetic(plan, expected)
    if plan.why is not None:
        tried = [
            f"{alternative(one)}: {one.breaks or 'holds'}, loss {one.accuracy_loss_pct or 0:.2f} %"
            for one in plan.why.compared
        ]
        yield f"Compared under the same burst: {'; '.join(tried)}." if tried else ""
        yield from (f"Note: {note}." for note in plan.why.notes)
    yield (
        "What the figures rest on: "
        + "; ".join(
            f"{one.quantity.replace('_', ' ')}: {one.basis} from {one.source}" + (f" ({one.note})" if one.note else "")
            for one in plan.evidence
        )
        + "."
    )
    yield f"The plan stands {plan.valid}." if plan.valid else ""


def _arithmetic(plan: BrownoutPlan, expected: BrownoutExpected) -> Iterator[str]:
    for one in expected.accesses:
        spared = 1 - one.planned / one.full_service if one.full_service else 0.0
        yield (
            f"A {one.phase} step of {one.tokens} tokens reads {one.full_service:.3g} experts per layer with full "
            f"service and {one.planned:.3g} at the burst's mean threshold: 1 − {one.planned:.3g} / "
            f"{one.full_service:.3g} = {spared:.0%} fewer."
        )
    chosen = plan.decision.brownout if plan.decision else None
    if chosen is not None:
        yield (
            f"{chosen.united_experts_per_layer} united experts per layer, each of the size of one expert, take "
            f"{expected.extra_memory_gib:.3g} GiB more per GPU. They cost {percent(expected.accuracy_loss_pct)} of "
            f"accuracy on average over the run."
        )
    yield f"The largest burst: {largest(expected)}."


def _bars(plan: BrownoutPlan) -> str:
    assert plan.why is not None
    most = max((one.accuracy_loss_pct or 0.0) for one in plan.why.compared) or 1.0
    lines = ["accuracy loss, %"]
    for one in plan.why.compared:
        loss = one.accuracy_loss_pct or 0.0
        lines.append(
            f"{alternative(one):<28}{'█' * round(BAR * loss / most):<{BAR}} {loss:.2f} {one.breaks or 'holds'}"
        )
    return "\n".join(lines)
