"""The table of `tonnage predict application`: end to end, the bounds, the services by utilisation, and the evidence."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from renderers.serving import seconds
from specs.application import Quantity
from specs.application_estimate import ApplicationBound, ApplicationEstimate, EntryFound, Simulated

QUANTITIES: tuple[Quantity, ...] = ("mean", "p50", "p90", "p95", "p99")
MOST_SERVICES = 20
NAME_COLUMNS = 19  # longer names are cut, so that every figure fits 80 columns


def application_table(found: ApplicationEstimate) -> RenderableType:
    """Return the whole view: the load and its ceiling first, then latencies, bounds, services and evidence."""
    parts: list[RenderableType] = [
        Text(f"{found.metadata.name}: {found.rate_per_s:.4g} requests per second, {len(found.services)} services"),
        Text(),
        _end_to_end(found),
    ]
    if found.bounds:
        parts += [Text(), _bounds(found.bounds)]
    parts += [
        Text(),
        Text(f"bottleneck  {found.bottleneck}"),
        Text(f"ceiling     {found.ceiling_per_s:.4g} requests per second: {found.ceiling_reason}"),
        Text(),
        _services(found),
        *_left_out(found),
        Text(),
        Text(
            f"simulated {found.simulation['requests']:,} requests, {found.simulation['visits']:,} visits;"
            " ± is one standard error of the simulation"
        ),
        *(Text(f"note: {note}") for note in found.notes),
        *_evidence(found),
    ]
    return Group(*parts)


def _plain(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for number, column in enumerate(columns):
        justify: JustifyMethod = "left" if number == 0 else "right"
        most = NAME_COLUMNS if number == 0 else None
        table.add_column(column, justify=justify, no_wrap=True, overflow="ellipsis", max_width=most)
    return table


def _end_to_end(found: ApplicationEstimate) -> Table:
    table = _plain("end to end", "per s", *QUANTITIES, "± p99")
    for one in found.entries:
        table.add_row(_name(one), f"{one.rate_per_s:.4g}", *_cells(one.latency_s))
    if len(found.entries) > 1:
        table.add_row("all requests", f"{found.rate_per_s:.4g}", *_cells(found.latency_s))
    return table


def _name(one: EntryFound) -> str:
    return f"{one.service}/{one.operation}" if one.operation else one.service


def _time(value_s: float) -> str:
    """As `seconds`; nothing below a microsecond, which no service is timed to."""
    return "0 ms" if value_s < 1e-6 else seconds(value_s)


def _cells(latency_s: Mapping[Quantity, Simulated]) -> list[str]:
    values = [seconds(latency_s[q].value) if q in latency_s else "–" for q in QUANTITIES]
    error = latency_s["p99"].standard_error if "p99" in latency_s else None
    return [*values, "–" if error is None else seconds(error)]


def _bounds(bounds: tuple[ApplicationBound, ...]) -> Table:
    table = _plain("SLO", "bound", "predicted", "± error", "")
    for one in bounds:
        verdict = "holds" if one.surely else "holds, not surely" if one.holds else "breaks"
        error = "–" if one.standard_error_s is None else seconds(one.standard_error_s)
        table.add_row(one.name, f"≤ {seconds(one.bound_s)}", seconds(one.value_s), error, verdict)
    return table


def _services(found: ApplicationEstimate) -> Table:
    table = _plain("service", "rep.", "visits/s", "used", "wait", "mean", "p95", "p99", "± p99")
    busiest = sorted(found.services, key=lambda one: -one.utilisation)[:MOST_SERVICES]
    for one in busiest:
        values = _cells(one.latency_s)
        wait = "–" if one.wait_mean_s is None else _time(one.wait_mean_s)
        mark = "" if one.limited_by == "capacity" else "*"
        used = f"{one.utilisation:.0%}{mark}"
        row = (str(one.replicas), f"{one.visits_per_s:.4g}", used, wait, values[0], *values[3:])
        table.add_row(one.service, *row)
    return table


def _left_out(found: ApplicationEstimate) -> list[Text]:
    lines = []
    if len(found.services) > MOST_SERVICES:
        lines.append(Text(f"and {len(found.services) - MOST_SERVICES} less used services (-o yaml lists them)"))
    if any(one.limited_by != "capacity" for one in found.services):
        lines.append(Text("* of the highest load that its profile covers: its capacity is not known"))
    return lines


def _evidence(found: ApplicationEstimate) -> list[Text]:
    lines = []
    for entry in found.evidence:
        error = f", ± {entry.error:.1%}" if entry.error else ""
        note = f"; {entry.note}" if entry.note else ""
        lines.append(Text(f"{entry.quantity}: {entry.basis}{error} – {entry.source}{note}"))
    return lines
