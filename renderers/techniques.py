"""The techniques plan: one table of gains and prices, and the same in sentences."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from renderers.plain import LABEL, columns, title, wrapped
from specs.techniques import Technique, TechniquesPlan

NAME = 18
BAR = 40


def techniques_table(plan: TechniquesPlan, width: int | None = None) -> str:
    """Return the plan as text of at most ``width`` columns (the terminal's, at most 100, when None)."""
    width = columns(width)
    return "\n".join([title(plan, width), "", *_body(plan, width)])


def _body(plan: TechniquesPlan, width: int) -> Iterator[str]:
    yield from wrapped("  ", plan.status.reason, width)
    if plan.status.smallest_change:
        yield from wrapped(f"  {'would do':{LABEL}}", plan.status.smallest_change, width)
    yield ""
    rows = plan.why.compared if plan.why else ()
    yield from _table([one for one in rows if one.applies], width)
    for one in rows:
        if one.applies and one.setting:
            yield from wrapped(f"  {one.name:{NAME}}", f"{one.setting}: {one.why}", width)
    missing = [one for one in rows if not one.applies]
    if missing:
        yield ""
        yield "  does not apply"
        for one in missing:
            yield from wrapped(f"  {one.name:{NAME}}", one.why, width)
    yield ""
    yield from _rest(plan, width)


def _table(rows: list[Technique], width: int) -> Iterator[str]:
    """Gains as ratios to the deployment as it is: load above 1 is better, the others below 1."""
    wide = width >= 90
    head = f"  {'at equal SLO':{NAME}}{'load':>7}{'GPUs':>8}{'cost':>7}{'TTFT p99':>16}{'TPOT p99':>16}"
    yield head + (f"{'accuracy':>11}{'memory':>11}" if wide else "")
    for one in rows:
        load = "–" if one.load is None else f"{one.load:.2f} ×"
        gpus = "–" if one.gpus is None else f"{one.gpus:.3g}"
        cost = "–" if one.cost_ratio is None else f"{one.cost_ratio:.2f} ×"
        first, token = _change(one.ttft_p99_s, one.ttft_ratio), _change(one.tpot_p99_s, one.tpot_ratio)
        line = f"  {one.name:{NAME}}{load:>7}{gpus:>8}{cost:>7}{first:>16}{token:>16}"
        yield line + (f"{_loss(one):>11}{_memory(one):>11}" if wide else "")
    if not wide:
        for one in rows:
            if one.accuracy_loss_pct or one.extra_memory_gib:
                yield f"  {one.name:{NAME}}costs {_loss(one)} of accuracy, {_memory(one)} per GPU"
    yield ""


def _change(seconds: float | None, ratio: float | None) -> str:
    if seconds is None:
        return "–"
    return duration(seconds) + (f" {ratio:.2f} ×" if ratio is not None else "")


def _loss(one: Technique) -> str:
    return "–" if one.accuracy_loss_pct is None else f"−{one.accuracy_loss_pct:.2f} %" if one.accuracy_loss_pct else "0"


def _memory(one: Technique) -> str:
    return "–" if one.extra_memory_gib is None else f"{one.extra_memory_gib:.1f} GiB" if one.extra_memory_gib else "0"


def duration(seconds: float) -> str:
    """Milliseconds below a tenth of a second."""
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.1 else f"{seconds:.3g} s"


def _rest(plan: TechniquesPlan, width: int) -> Iterator[str]:
    rows = [("do", plan.decision.command if plan.decision and plan.decision.command else "")]
    if plan.why is not None:
        rows += [("note", note) for note in plan.why.notes]
        told = [f"{one.name}: {one.evidence}" for one in plan.why.compared if one.evidence]
        rows.append(("evidence", " · ".join(told)))
    rows.append(("valid", plan.valid or ""))
    for label, text in rows:
        if text:
            yield from wrapped(f"  {label:{LABEL}}", text, width)


def explain(plan: TechniquesPlan, *, plot: bool = False) -> str:
    """Return the plan as paragraphs of at most 96 columns; ``plot`` adds the loads as bars."""
    text = "\n\n".join(textwrap.fill(one, 96) for one in _sentences(plan) if one)
    return f"{text}\n\n{_bars(plan)}" if plot and plan.why else text


def _sentences(plan: TechniquesPlan) -> Iterator[str]:
    yield f"{plan.metadata.name} is {plan.status.outcome}: {plan.status.reason}."
    yield f"What would do: {plan.status.smallest_change}." if plan.status.smallest_change else ""
    for one in plan.why.compared if plan.why else ():
        yield _sentence(one)
    if plan.why is not None:
        yield from (f"Note: {note}." for note in plan.why.notes)
    yield f"The plan stands {plan.valid}." if plan.valid else ""


def _sentence(one: Technique) -> str:
    if not one.applies:
        return f"{one.name} does not apply: {one.why}."
    parts = [f"{one.name} ({one.setting}): {one.why}" if one.setting else f"{one.name}: {one.why}"]
    if one.load is not None:
        parts.append(f"it holds {one.load:.3g} × this load")
    if one.gpus is not None:
        parts.append(f"so that this load takes {one.gpus:.3g} GPUs")
    if one.accuracy_loss_pct or one.extra_memory_gib:
        parts.append(f"it costs {one.accuracy_loss_pct or 0:.2f} % of accuracy and {_memory(one)} per GPU")
    if one.command and one.applies:
        parts.append(f"the whole plan: {one.command}")
    return "; ".join(parts) + "."


def _bars(plan: TechniquesPlan) -> str:
    known = [one for one in (plan.why.compared if plan.why else ()) if one.load is not None]
    most = max((one.load or 0.0 for one in known), default=1.0) or 1.0
    lines = ["largest load, × this load"]
    lines += [
        f"{one.name:<{NAME}} {'█' * round(BAR * (one.load or 0.0) / most):<{BAR}} {one.load:.2f}" for one in known
    ]
    return "\n".join(lines)
