"""A right-sizing plan as a table, as CSV, and in sentences."""

from __future__ import annotations

import csv
import io
import shutil
import textwrap
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from specs.rightsizing import ContainerDecision, ContainerExpected, RightsizingPlan

UNKNOWN = "–"
SHOWN = 40
WIDTH = 96
WIDEST = 100
SHORT = {"critical": "crit", "warning": "warn", "ok": "ok", "good": ""}
COLUMNS = (
    "namespace", "workload", "container", "verdict", "severity", "cpu_request_cores_now", "cpu_request_cores",
    "cpu_limit_cores_now", "cpu_limit_cores", "memory_request_gib_now", "memory_request_gib", "memory_limit_gib_now",
    "memory_limit_gib", "hpa_target_now", "hpa_target", "replicas", "saved_cores", "saved_gib", "saved_usd_per_hour",
    "above_cpu_request", "throttled", "reason",
)  # fmt: skip


def rightsizing_table(plan: RightsizingPlan, width: int | None = None) -> Group:
    """Return the recommendations, those that matter most first, then savings, risks and what was left.

    ``width``: columns of the terminal (its own, at most 100, where None); intervals are shown where they fit.
    """
    assert plan.decision is not None
    width = width or min(shutil.get_terminal_size((WIDEST, 24)).columns, WIDEST)
    by = _expected_by(plan)
    head = f"{plan.metadata.name}  {plan.status.outcome}"
    parts: list[RenderableType] = [Text(head, style="bold"), Text(plan.status.reason), Text()]
    parts += [_rows(plan, by, width)] if by else []
    more = len(by) - SHOWN
    parts += [Text(f"and {more} more, in the document (-o yaml, -o csv)")] if more > 0 else []
    parts += [Text(), *(Text(line) for line in _sums(plan))] if by else []
    parts += [Text(line, style="yellow") for line in _left(plan)]
    return Group(*parts)


def _expected_by(plan: RightsizingPlan) -> dict[str, ContainerExpected]:
    return {one.container: one for one in plan.expected.containers} if plan.expected else {}


def _rows(plan: RightsizingPlan, by: dict[str, ContainerExpected], width: int) -> Table:
    assert plan.decision is not None
    shadows = any(one.shadow for one in by.values())
    headings = ("", "container", "CPU cores", "90 %", "memory GiB", "above", "1 lost", "shadow")
    shown = [name for name in headings if (name != "90 %" or width >= WIDEST) and (name != "shadow" or shadows)]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in shown:
        left = name in ("", "container")
        table.add_column(name, justify="left" if left else "right", no_wrap=name != "container", overflow="fold")
    for one in [d for d in plan.decision.containers if d.recommended][:SHOWN]:
        found = by[one.label]
        texts = [SHORT[one.severity or "good"], one.label, _cpu(one), _interval(found), _memory(one), *_risks(found)]
        cells = dict(zip(headings, [*texts, _shadow(found)], strict=True))
        table.add_row(*(cells[name] for name in shown))
    return table


def _cpu(one: ContainerDecision) -> str:
    assert one.recommended is not None
    change = _change(one.current.cpu_request_cores, one.recommended.cpu_request_cores)
    return f"{change} @ {100 * one.autoscaler.target:.0f} %" if one.autoscaler else change


def _memory(one: ContainerDecision) -> str:
    assert one.recommended is not None
    return _change(one.current.memory_request_gib, one.recommended.memory_request_gib)


def _change(now: float | None, new: float | None) -> str:
    return f"{_number(now)} → {_number(new)}"


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3g}"


def _interval(found: ContainerExpected) -> str:
    figure = found.cpu_request_cores
    return UNKNOWN if figure.low is None or figure.high is None else f"{figure.low:.3g}–{figure.high:.3g}"


def _risks(found: ContainerExpected) -> tuple[str, str]:
    lost = found.risk.above_cpu_request_one_lost
    return f"{100 * found.risk.above_cpu_request:.1f} %", UNKNOWN if lost is None else f"{100 * lost:.1f} %"


def _shadow(found: ContainerExpected) -> str:
    if found.shadow is None:
        return UNKNOWN
    return f"{'held' if found.shadow.held else 'FAILED'} {100 * found.shadow.risk.above_cpu_request:.1f} %"


def _sums(plan: RightsizingPlan) -> Iterator[str]:
    found = plan.expected
    if found is None:
        return
    if found.saved_cores is not None or found.saved_gib is not None:
        saved = f"{_number(found.saved_cores)} cores and {_number(found.saved_gib)} GiB"
        yield f"saves       {saved} of requests{_usd(plan)}"
    surge = sum(one.rollout_cores for one in found.containers)
    yield f"rollouts    {surge:.3g} cores more while every workload surges at once"
    yield "above       share of the time a replica uses more CPU than requested; 1 lost: one replica less"
    if plan.valid:
        yield f"valid       {plan.valid}"


def _usd(plan: RightsizingPlan) -> str:
    assert plan.expected is not None
    if plan.expected.saved_usd_per_hour is None:
        return " (no price was given)"
    return f", {plan.expected.saved_usd_per_hour:.2f} USD/h"


def _left(plan: RightsizingPlan) -> Iterator[str]:
    assert plan.decision is not None
    for one in plan.decision.containers:
        if one.recommended is None:
            yield f"{one.label}: {one.verdict}: {one.reason}"
    for why in plan.why.containers if plan.why else ():
        yield from (f"{why.container}: {note}" for note in why.notes)


def rightsizing_csv(plan: RightsizingPlan) -> str:
    """Return one row per container; cells of what is not known are empty."""
    assert plan.decision is not None
    by = _expected_by(plan)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for one in plan.decision.containers:
        writer.writerow(
            {name: "" if value is None else value for name, value in _cells(one, by.get(one.label)).items()}
        )
    return text.getvalue()


def _cells(one: ContainerDecision, found: ContainerExpected | None) -> dict[str, object]:
    cells: dict[str, object] = {
        "namespace": one.namespace, "workload": one.workload, "container": one.container, "verdict": one.verdict,
        "severity": one.severity, "reason": one.reason,
    }  # fmt: skip
    cells |= {f"{name}_now": value for name, value in one.current.model_dump().items()}
    cells |= one.recommended.model_dump() if one.recommended else {}
    if one.autoscaler:
        cells |= {"hpa_target_now": one.autoscaler.target_now, "hpa_target": one.autoscaler.target}
    if found:
        cells |= {name: getattr(found, name) for name in ("replicas", "saved_cores", "saved_gib", "saved_usd_per_hour")}
        cells |= {"above_cpu_request": found.risk.above_cpu_request, "throttled": found.risk.throttled}
    return cells


def explain(plan: RightsizingPlan, *, plot: bool = False) -> str:
    """Return the plan as paragraphs of at most 96 columns; there is no plot of it."""
    assert plan.decision is not None
    why = {one.container: one for one in plan.why.containers} if plan.why else {}
    by = _expected_by(plan)
    paragraphs = [f"{plan.metadata.name}: {plan.status.reason}."]
    for one in plan.decision.containers:
        told = [f"{one.label}: {one.verdict}, because {one.reason}."]
        if one.recommended and one.label in why:
            methods = ", ".join(f"{name} {value:.3g}" for name, value in why[one.label].cpu_cores.items())
            risk = by[one.label].risk
            told.append(
                f"CPU request {_change(one.current.cpu_request_cores, one.recommended.cpu_request_cores)} cores "
                f"(by method: {methods}); a replica is above it {100 * risk.above_cpu_request:.1f} % of the time. "
                f"Memory {_memory(one)} GiB."
            )
            told += [f"{note}." for note in why[one.label].notes]
        paragraphs.append(" ".join(told))
    return "\n\n".join(textwrap.fill(" ".join(one.split()), WIDTH) for one in paragraphs)
