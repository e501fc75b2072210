"""The tables of `tonnage profile services`: one line per service, then who calls whom, then what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from specs.application import Application, Call, LatencyCurveSpec, ServiceProfile, Usage

UNKNOWN = "–"
NOTES = 8  # lines; the documents have them all


def services_table(application: Application, profiles: Mapping[str, ServiceProfile]) -> Group:
    """Return services with their usage, load, latency and curve, the calls, the entries and the notes."""
    spec = application.spec
    entries = ", ".join(f"{one.service}{f' {one.operation}' if one.operation else ''}" for one in spec.entries)
    counts = f"{len(spec.services)} services, {len(spec.calls)} calls"
    parts: list[RenderableType] = [Text(f"{application.metadata.name}: {counts}", style="bold")]
    parts += [Text(f"entered at {entries}")] if entries else []
    parts += [Text(), _services(profiles.values())]
    parts += [Text(), _calls(spec.calls)] if spec.calls else []
    notes = list(dict.fromkeys([*spec.notes, *(note for one in profiles.values() for note in _told(one))]))
    more = [f"and {len(notes) - NOTES} more notes, in the documents"] if len(notes) > NOTES else []
    parts += [Text(), *(Text(note, style="yellow") for note in [*notes[:NOTES], *more])] if notes else []
    return Group(*parts)


def _services(profiles: Iterable[ServiceProfile]) -> Table:
    """One line per service; columns of which nothing is known are left out."""
    headings = ("service", "replicas", "CPU cores", "GiB", "req/s", "mean ms", "p95 ms", "self ms", "p95 against load")
    rows = [_row(profile) for profile in profiles]
    shown = [at for at in range(len(headings)) if at == 0 or any(row[at] != UNKNOWN for row in rows)]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for at in shown:
        number = 0 < at < len(headings) - 1
        table.add_column(headings[at], justify="right" if number else "left", no_wrap=number, overflow="fold")
    for row in rows:
        table.add_row(*(row[at] for at in shown))
    return table


def _row(profile: ServiceProfile) -> tuple[str, ...]:
    one = profile.spec
    usages = (_mean(one.replicas), _mean(one.cpu_cores), _mean(one.memory_gib), _mean(one.requests_per_s))
    times = (one.latency_s.get("mean"), one.latency_s.get("p95"), one.self_time_s.get("mean"))
    return (one.service, *usages, *map(_ms, times), _curve(one.curves))


def _calls(calls: Iterable[Call]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("caller", "stage", "callee", "calls per request", ""):
        table.add_column(heading, justify="right" if heading in ("stage", "calls per request") else "left")
    for call in calls:
        how = "not waited for" if call.asynchronous else ("side by side" if call.repeats == "parallel" else "")
        table.add_row(call.caller, str(call.stage + 1), call.callee, f"{call.calls_per_request:.3g}", how)
    return table


def _curve(curves: Iterable[LatencyCurveSpec]) -> str:
    found = {curve.quantity: curve for curve in curves}
    curve = found.get("p95") or found.get("p99") or found.get("mean")
    if curve is None:
        return UNKNOWN
    error = f", error {100 * curve.error:.0f} %" if curve.error is not None else ", error unknown"
    of = "" if curve.quantity == "p95" else f"{curve.quantity}: "
    return f"{of}{curve.form} {curve.low_per_s:.3g}–{curve.high_per_s:.3g}/s{error}"


def _told(profile: ServiceProfile) -> list[str]:
    one = profile.spec
    return [f"{one.service}: {note}" for note in (*one.missing, *one.notes)]


def _mean(usage: Usage | None) -> str:
    return f"{usage.mean:.3g}" if usage else UNKNOWN


def _ms(seconds: float | None) -> str:
    return f"{1e3 * seconds:.3g}" if seconds is not None else UNKNOWN
