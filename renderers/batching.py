"""The table of a batching plan, and the plan in sentences."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from renderers.plain import columns, title, wrapped
from specs.base import Figure
from specs.batching import BatchingFound, BatchingPlan, Bucket
from specs.plan import Percentiles

LABEL = 12
SHOWN = 12
"""Ways of batching that the table shows; the plan has all."""
METRICS = {"ttft_s": "TTFT", "tpot_s": "TPOT", "e2e_s": "end to end"}


def batching_table(plan: BatchingPlan, width: int | None = None) -> str:
    """Return the plan as text of at most ``width`` columns (the terminal's, at most 100, when None)."""
    width = columns(width)
    return "\n".join([title(plan, width), "", *_decided(plan, width), "", *_reasons(plan, width)])


def _decided(plan: BatchingPlan, width: int) -> Iterator[str]:
    yield from wrapped("  ", plan.status.reason, width)
    for conflict in plan.status.conflicts:
        yield from wrapped(f"  {'conflict':{LABEL}}", conflict, width)
    if plan.status.smallest_change:
        yield from wrapped(f"  {'would do':{LABEL}}", plan.status.smallest_change, width)
    if plan.decision is not None:
        yield from wrapped("  ", setting(plan), width)
        if len(plan.decision.buckets) > 1:
            yield ""
            yield from _buckets(plan.decision.buckets)
    if plan.expected is not None:
        yield ""
        yield from _latencies(plan, wide=width >= 90)


def setting(plan: BatchingPlan) -> str:
    """What is to be set, in one line."""
    decision = plan.decision
    assert decision is not None
    if decision.method == "none":
        return f"set: continuous batching, first come, first served · max-num-seqs {decision.max_batch}"
    if decision.replicas:
        pairs = zip(decision.buckets, decision.replicas, strict=True)
        bounds = " · ".join(f"up to {one.hi} tokens: {n} replica{'s' * (n > 1)}" for one, n in pairs)
        return f"set: continuous batching, routed by prompt length · {bounds}"
    parts = [f"set: {decision.method}"]
    if decision.boundaries:
        parts.append(f"{len(decision.buckets)} buckets, {decision.boundaries} boundaries")
    parts += [f"order {decision.order}", f"batches of up to {decision.max_batch}"]
    parts += [f"wait up to {_time(decision.hold_s)} to fill"] if decision.hold_s else []
    parts += [f"split above {decision.split_above} waiting"] if decision.split_above is not None else []
    return " · ".join(parts)


def _buckets(buckets: tuple[Bucket, ...]) -> Iterator[str]:
    yield f"  {'prompt tokens':>16}{'share':>8}{'max batch':>11}{'KV GiB':>9}{'wait':>10}{'padding':>9}"
    for one in buckets:
        yield (
            f"  {one.lo + 1:>8} – {one.hi:<5}{one.share:>8.1%}{one.max_batch:>11}{one.kv_gib:>9.3g}"
            f"{_time(one.est_wait_s):>10}{one.waste:>9.1%}"
        )


def _latencies(plan: BatchingPlan, *, wide: bool) -> Iterator[str]:
    expected = plan.expected
    assert expected is not None
    head = f"{'90 % interval of p99':<22}" if wide else ""
    yield f"  {'':{LABEL}}{'p50':>9}{'p90':>9}{'p99':>9}   {head}fcfs, continuous: p99"
    for metric, label in METRICS.items():
        values: Percentiles = getattr(expected, metric)
        cells = "".join(f"{_figure(getattr(values, level)):>9}" for level in ("p50", "p90", "p99"))
        other = getattr(expected.fcfs, metric.replace("_s", "_p99_s"))
        shown = "–" if other is None else _time(other)
        interval = f"{_interval(values.p99):<22}" if wide else ""
        yield f"  {label:{LABEL}}{cells}   {interval}{shown}"
    rows = [
        ("attainment", _share(expected.attainment), f"{expected.fcfs.attainment:.2%}"),
        ("goodput", f"{expected.goodput_per_s.value:.4g}/s", f"{expected.fcfs.goodput_per_s:.4g}/s"),
        ("tokens", f"{expected.tokens_per_s.value:,.0f}/s", f"{expected.fcfs.tokens_per_s:,.0f}/s"),
        (
            "padding",
            f"{expected.prompt_waste.value:.1%} of prompts, {expected.decode_waste.value:.1%} of decodes",
            "0 %",
        ),
    ]
    if expected.load is not None and expected.fcfs.load is not None:
        plain = "" if expected.plain.load is None else f", {expected.plain.load:.2f} × without a method"
        rows.append(("load", f"{expected.load.value:.2f} × holds{plain}", f"{expected.fcfs.load:.2f} × holds"))
    for label, own, other in rows:
        yield f"  {label:{LABEL}}{own:<{52 if wide else 40}}{other}"


def _share(figure: Figure) -> str:
    interval = "" if figure.low is None or figure.high is None else f" ({figure.low:.1%} – {figure.high:.1%})"
    return f"{figure.value:.2%}{interval}"


def _reasons(plan: BatchingPlan, width: int) -> Iterator[str]:
    why = plan.why
    if why is None:
        return
    yield from _compared(why.compared, why.compared_at_load, width)
    yield ""
    if why.boundaries:
        yield f"  {'buckets':>9}{'midpoint':>10}{'quantile':>10}{'optimal':>10}{'wait if batches are to fill':>28}"
        for row in why.boundaries:
            wastes = "".join(f"{value:>10.1%}" for value in (row.midpoint, row.quantile, row.optimal))
            yield f"  {row.buckets:>9}{wastes}{_time(row.hold_s):>28}"
        yield ""
    rows = [("because", why.reason)]
    if why.exact is not None:
        shown = "; ".join(f"{name} {text}" for name, text in why.exact.rules.items())
        rows.append(
            (
                "cut points",
                f"{why.exact.requests} requests at once: {why.exact.late_by_deadline} late at the exact optimum of "
                f"batches by deadline, {why.exact.late_by_output} by output "
                f"({why.exact.order}: {why.exact.makespan_s:.4g} s); the rules: {shown}",
            )
        )
    if why.prediction is not None:
        one = why.prediction
        rows.append(("outputs", f"{one.kind}, class right for {one.class_accuracy:.0%}; {one.cost}"))
    rows += [("deadlines", why.deadlines), ("bounds", why.bounds), *(("note", note) for note in why.notes)]
    rows += [("valid", plan.valid or "")]
    for label, text in rows:
        yield from wrapped(f"  {label:{LABEL}}", text, width)


def _compared(found: tuple[BatchingFound, ...], load: float, width: int) -> Iterator[str]:
    kept = [found[0], *sorted(found[1:], key=lambda one: (-one.attainment, -one.goodput_per_s))[: SHOWN - 1]]
    name = max(24, width - 44)
    head = f"compared at {load:.2f} × the load"
    yield f"  {head:{name}}{'attained':>9}{'TTFT p99':>10}{'e2e p99':>9}{'padding':>9}"
    for one in kept:
        text = f"{one.method}: {one.setting}"
        text = text if len(text) < name else text[: name - 2] + "…"
        ttft, e2e = ("–" if value is None else _time(value) for value in (one.ttft_p99_s, one.e2e_p99_s))
        yield f"  {text:{name}}{one.attainment:>9.2%}{ttft:>10}{e2e:>9}{one.prompt_waste:>9.1%}"
    if len(found) > len(kept):
        yield f"  … and {len(found) - len(kept)} more in the plan"


def explain(plan: BatchingPlan, *, plot: bool = False) -> str:
    """Return the plan as paragraphs of at most 96 columns; ``plot`` adds padding against buckets as bars."""
    parts = [f"{plan.metadata.name} is {plan.status.outcome}: {plan.status.reason}."]
    if plan.status.conflicts:
        parts.append(f"What conflicts: {'; '.join(plan.status.conflicts)}. {plan.status.smallest_change}.")
    if plan.decision is not None:
        parts.append(setting(plan)[0].upper() + setting(plan)[1:] + ".")
    if plan.expected is not None:
        own, fcfs = plan.expected, plan.expected.fcfs
        parts.append(
            f"Of the requests {own.attainment.value:.2%} are then answered within their bounds, against "
            f"{fcfs.attainment:.2%} with first come, first served continuous batching; useful answers per second "
            f"{own.goodput_per_s.value:.4g} against {fcfs.goodput_per_s:.4g}, padding {own.prompt_waste.value:.1%} of "
            f"prompt tokens and {own.decode_waste.value:.1%} of decode rows against none."
        )
    why = plan.why
    if why is not None:
        parts.append(f"The reason: {why.reason}.")
        if why.boundaries:
            last = why.boundaries[-1]
            parts.append(
                f"Padding every prompt to its bucket's bound, one bucket wastes {why.boundaries[0].optimal:.1%} of the "
                f"computed prompt tokens; {last.buckets} buckets waste {last.midpoint:.1%} at midpoints, "
                f"{last.quantile:.1%} at quantiles and {last.optimal:.1%} at the exact optimum, and waiting for "
                f"full batches would then take {_time(last.hold_s)} instead of {_time(why.boundaries[0].hold_s)}."
            )
        if why.prediction is not None:
            parts.append(f"Outputs are predicted by {why.prediction.kind}: {why.prediction.cost}.")
    text = "\n\n".join(textwrap.fill(" ".join(one.split()), 96) for one in parts)
    return f"{text}\n\n{_bars(plan)}" if plot and why is not None and why.boundaries else text


def _bars(plan: BatchingPlan) -> str:
    assert plan.why is not None
    lines = ["padding by buckets (exact optimum)"]
    for row in plan.why.boundaries:
        lines.append(f"{row.buckets:>3}  {'█' * round(row.optimal * 60)} {row.optimal:.1%}")
    return "\n".join(lines)


def _figure(figure: Figure | None) -> str:
    return "–" if figure is None else _time(figure.value)


def _interval(figure: Figure | None) -> str:
    if figure is None or figure.low is None or figure.high is None:
        return ""
    return f"{_time(figure.low)} – {_time(figure.high)}"


def _time(seconds: float) -> str:
    if seconds >= 1000.0:
        return f"{seconds:.0f} s"
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.1 else f"{seconds:.3g} s"
