"""A placement plan as a table and in sentences: where everything goes first, then the reasons."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from renderers.plain import LABEL, columns, title
from specs.base import Figure
from specs.placement import Placed, PlacementAlternative, PlacementPlan
from specs.plan import Evidence, ServingExpected

NARROWEST = 80
MOST_ROWS = 24
MOST_SHOWN = 6


def placement_table(plan: PlacementPlan, width: int | None = None) -> str:
    """Return the plan as text of at most ``width`` columns (the terminal's, at most 100, when None)."""
    width = max(columns(width), NARROWEST)
    rows = _decided(plan, width) if plan.decision else _refused(plan, width)
    return "\n".join([title(plan, width), "", *rows])


def _decided(plan: PlacementPlan, width: int) -> Iterator[str]:
    decision = plan.decision
    assert decision is not None
    several = len(decision.architectures) > 1
    head = "model" if several else "layers"
    room = width - 2 - 16 - 3 * 9 - 11
    yield f"  {'GPU':<{room}}{head:<16}{'weights':>9}{'KV':>9}{'free':>9}  {'decode':>9}"
    for one in decision.placed[:MOST_ROWS]:
        yield _row(one, several, room)
    if len(decision.placed) > MOST_ROWS:
        yield f"  … and {len(decision.placed) - MOST_ROWS} more"
    cost = "" if decision.usd_per_hour is None else f" · {decision.usd_per_hour:.2f} USD/h"
    crossings = "" if several else f" · {decision.crossings} crossing{'s' * (decision.crossings != 1)}"
    yield f"  {decision.gpus} GPU{'s' * (decision.gpus != 1)}{cost}{crossings}"
    yield ""
    yield from _expected(plan, width)
    yield from _why(plan, width)


def _row(one: Placed, several: bool, room: int) -> str:
    where = f"{one.pool} node {one.node} GPU {one.gpu}"
    if len(where) + len(one.device) + 4 <= room:
        where += f" ({one.device})"
    where = where if len(where) < room else f"{where[: room - 2]}…"
    what = one.model[:15] if several else f"{one.first_layer}–{one.last_layer}"
    return (
        f"  {where:<{room}}{what:<16}{one.weights_gib:>5.1f} GiB{one.kv_gib:>5.1f} GiB{one.free_gib:>5.1f} GiB  "
        f"{one.decode_ms:>6.2f} ms"
    )


def _expected(plan: PlacementPlan, width: int) -> Iterator[str]:
    expected = plan.expected
    if expected is None:
        return
    parts = [
        f"{name} {_interval(figure)}"
        for name, figure in (
            ("batch", expected.request_s), ("prefill", expected.prefill_s), ("decode step", expected.decode_step_s),
        )
        if figure is not None
    ]  # fmt: skip
    if expected.tokens_per_s is not None:
        parts.append(f"{expected.tokens_per_s.value:,.0f} tokens/s")
    if parts:
        yield from wrapped("alone", " · ".join(parts), width)
    for name, found in expected.serving.items():
        kept = "keeps its SLO" if expected.holds.get(name) else "breaks its SLO"
        yield from wrapped(name, f"{latencies(found)} · {kept}", width)


def latencies(found: ServingExpected) -> str:
    """TTFT and TPOT p99, attainment and tokens per second in a phrase."""
    parts = []
    for label, values in (("TTFT", found.ttft_s), ("TPOT", found.tpot_s)):
        if values.p99 is not None:
            parts.append(f"{label} p99 {seconds(values.p99.value)}")
    parts.append(f"attainment {found.attainment.value:.2%}")
    if found.tokens_per_s is not None:
        parts.append(f"{found.tokens_per_s.value:,.0f} tokens/s")
    return " · ".join(parts)


def _interval(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return seconds(figure.value)
    return f"{seconds(figure.value)} ({seconds(figure.low)} – {seconds(figure.high)})"


def seconds(value: float) -> str:
    """A duration in ms below a tenth of a second, else in s."""
    return f"{value * 1e3:.3g} ms" if value < 0.1 else f"{value:.3g} s"


def _why(plan: PlacementPlan, width: int) -> Iterator[str]:
    why = plan.why
    if why is None:
        return
    yield from wrapped("because", plan.status.reason, width)
    if why.batch is not None:
        asked = (
            f"{why.batch:g} requests in flight, {why.prompt_tokens:g} prompt and {why.output_tokens:g} output tokens"
        )
        yield from wrapped("load", asked, width)
    if why.binding:
        yield from wrapped("bound by", why.binding, width)
    for one in why.front[:MOST_SHOWN]:
        yield from wrapped("with GPUs", _alternative(one), width)
    for one in why.compared:
        yield from wrapped("compared", _alternative(one), width)
    for note in why.notes:
        yield from wrapped("note", note, width)
    yield from wrapped("evidence", evidence_line(plan.evidence), width)


def _alternative(one: PlacementAlternative) -> str:
    cost = "" if one.usd_per_hour is None else f", {one.usd_per_hour:.2f} USD/h"
    time = "" if one.request_s is None else f": {seconds(one.request_s)}"
    broken = f" ({one.breaks})" if one.breaks else ""
    return f"{one.gpus} GPU{'s' * (one.gpus != 1)}{cost}{time} ({one.decision}){broken}"


def evidence_line(evidence: tuple[Evidence, ...]) -> str:
    """What the figures rest on, in one line."""
    texts = [
        f"{entry.quantity.replace('_', ' ')}: {entry.basis}" + (f", ± {entry.error:.1%}" if entry.error else "")
        for entry in evidence
        if entry.quantity in ("step_time", "memory")
    ]
    return " · ".join(dict.fromkeys(texts))


def _refused(plan: PlacementPlan, width: int) -> Iterator[str]:
    status = plan.status
    yield from textwrap.wrap(status.reason, width, initial_indent="  ", subsequent_indent="  ")
    if status.smallest_change:
        yield from wrapped("would do", status.smallest_change, width)
    for note in plan.why.notes if plan.why else ():
        yield from wrapped("note", note, width)


def wrapped(label: str, text: str, width: int) -> list[str]:
    """One labelled paragraph; none where there is no text."""
    if not text:
        return []
    head = f"  {label:<{LABEL}}" if len(label) < LABEL else f"  {label} "
    return textwrap.wrap(text, width, initial_indent=head, subsequent_indent=" " * (LABEL + 2))


def explain(plan: PlacementPlan, *, plot: bool = False) -> str:
    """Return the plan as paragraphs; ``plot`` adds the time at each number of GPUs as bars."""
    decision, why = plan.decision, plan.why
    if decision is None or why is None:
        change = f" The smallest change that would make it feasible: {plan.status.smallest_change}."
        return textwrap.fill(f"{plan.metadata.name} is {plan.status.outcome}: {plan.status.reason}.{change}", 96)
    paragraphs = [
        f"{plan.metadata.name} is {plan.status.outcome}: {plan.status.reason}.",
        " ".join(_placed_sentence(one) for one in decision.placed),
        f"Bound by {why.binding}." if why.binding else "",
        "".join(f"Compared: {_alternative(one)}. " for one in why.compared),
        " ".join(f"{note[:1].upper()}{note[1:]}." for note in why.notes),
        f"What the figures rest on: {evidence_line(plan.evidence)}.",
    ]
    text = "\n\n".join(textwrap.fill(" ".join(one.split()), 96) for one in paragraphs if one)
    chart = _bars(why.front) if plot else ""
    return f"{text}\n\n{chart}" if chart else text


def _placed_sentence(one: Placed) -> str:
    return (
        f"Layers {one.first_layer} to {one.last_layer} of {one.model} go to GPU {one.gpu} of node {one.node} in pool "
        f"{one.pool}: {one.weights_gib:.1f} GiB of weights and {one.kv_gib:.1f} GiB of KV leave {one.free_gib:.1f} GiB."
    )


def _bars(front: tuple[PlacementAlternative, ...]) -> str:
    known = [one for one in front if one.request_s is not None]
    if len(known) < 2:
        return ""
    most = max(one.request_s or 0.0 for one in known)
    lines = [f"{one.gpus:>4} GPUs {seconds(one.request_s or 0):>9} {'█' * round(40 * (one.request_s or 0) / most)}"
             for one in known]  # fmt: skip
    return "\n".join(["seconds of one batch, by GPUs", *lines])
