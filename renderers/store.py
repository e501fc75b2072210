"""What a store holds, what one document in it is, how two profiles differ, and what was pruned, as tables."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from specs.stored import (
    FieldChange,
    Pruned,
    StoreDiff,
    StoredPlan,
    StoredProfile,
    StoredSeries,
    StoreListing,
    TableChange,
    short_id,
)

FIELDS_SHOWN = 40
UNITS = ((2**20, "MiB"), (2**10, "KiB"))


def store_table(listing: StoreListing) -> Group:
    """Return profiles, plans and samples of a store, each part only where there is something."""
    parts: list[RenderableType] = [Text(f"store {listing.store}", style="bold")]
    if not (listing.profiles or listing.plans or listing.samples):
        parts.append(Text("nothing in it"))
    if listing.profiles:
        parts += [Text(), _profiles(listing.profiles)]
    if listing.plans:
        parts += [Text(), _plans(listing.plans)]
    if listing.samples:
        parts += [Text(), _samples(listing.samples)]
    return Group(*parts)


def entry_table(entry: StoredProfile | StoredPlan, plans: tuple[StoredPlan, ...] = ()) -> Group:
    """Return what a store knows of one profile or plan; ``plans`` are those that rest on it."""
    lines = [Text(f"{entry.kind} {entry.name}", style="bold"), Text(f"id        {entry.id}")]
    if isinstance(entry, StoredProfile):
        found = (("of", entry.subject), ("measured", entry.measured), ("machine", entry.machine))
        lines += [Text(f"{title:<10}{value}") for title, value in found if value]
        lines.append(Text(f"size      {_size(entry.size_bytes)}"))
        lines += [Text(f"plan      {short_id(plan.id)} {plan.name} ({plan.outcome}) rests on it") for plan in plans]
    else:
        lines += [Text(f"outcome   {entry.outcome}"), Text(f"created   {entry.created or '–'}")]
        lines += [Text(f"rests on  profile {short_id(profile)}") for profile in entry.profiles]
    return Group(*lines, Text(f"added     {entry.added}"), Text("-o yaml shows the document.", style="dim"))


def diff_table(diff: StoreDiff) -> Group:
    """Return operator tables and fields that differ, the operator tables first."""
    parts: list[RenderableType] = [Text(f"{diff.kind} {short_id(diff.before)} → {short_id(diff.after)}", style="bold")]
    if not (diff.tables or diff.fields):
        parts.append(Text("no difference"))
    if diff.tables:
        parts += [Text(), _tables(diff.tables)]
    if diff.fields:
        parts += [Text(), _fields(diff.fields[:FIELDS_SHOWN])]
    if len(diff.fields) > FIELDS_SHOWN:
        parts.append(Text(f"{FIELDS_SHOWN} of {len(diff.fields)} fields; -o json has all", style="dim"))
    return Group(*parts)


def pruned_text(pruned: Pruned) -> str:
    """Return one line per document that went, then those that stay because a plan rests on them."""
    verb = "would remove" if pruned.dry_run else "removed"
    lines = [f"{verb} {short_id(identity)}" for identity in pruned.removed] or ["nothing to remove"]
    lines += [f"kept {short_id(identity)}: a plan rests on it" for identity in pruned.kept_for_plans]
    return "\n".join(lines)


def _profiles(profiles: tuple[StoredProfile, ...]) -> Table:
    table = _table("profile", "kind", "name", "of", "measured", "size", "plans")
    for one in profiles:
        plans = str(one.plans) if one.plans else ""
        cells = (one.kind, one.name, one.subject, one.measured or "", _size(one.size_bytes), plans)
        table.add_row(short_id(one.id), *cells)
    return table


def _plans(plans: tuple[StoredPlan, ...]) -> Table:
    table = _table("plan", "kind", "name", "outcome", "created", "rests on")
    for one in plans:
        profiles = ", ".join(map(short_id, one.profiles)) or "no stored profile"
        table.add_row(short_id(one.id), one.kind, one.name, one.outcome, one.created or "", profiles)
    return table


def _samples(series: tuple[StoredSeries, ...]) -> Table:
    table = _table("samples of", "number", "first", "last")
    for one in series:
        table.add_row(one.series, f"{one.samples:,}", _moment(one.first_s), _moment(one.last_s))
    return table


def _tables(changes: tuple[TableChange, ...]) -> Table:
    table = _table("operator", "tp", "points", "median", "range", "spread", "")
    for one in changes:
        name = (
            one.operator
            + (f", ep {one.ep}" if one.ep > 1 else "")
            + (f", kind {one.layer_kind}" * bool(one.layer_kind))
        )
        span = f"{_percent(one.low)} … {_percent(one.high)}" if one.low is not None else "–"
        spread = f"± {one.spread:.1%}" if one.spread is not None else "–"
        table.add_row(name, str(one.tp), str(one.points), _percent(one.median), span, spread, ", ".join(_alone(one)))
    return table


def _alone(change: TableChange) -> Iterator[str]:
    if change.only_before:
        yield f"{change.only_before} points gone"
    if change.only_after:
        yield f"{change.only_after} points new"


def _fields(changes: tuple[FieldChange, ...]) -> Table:
    table = _table("field", "before", "after", "change")
    for one in changes:
        table.add_row(one.field, _value(one.before), _value(one.after), _percent(one.relative, missing=""))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="right" if column in ("size", "plans", "number", "tp", "points") else "left")
    return table


def _value(value: object) -> str:
    return "–" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _percent(value: float | None, *, missing: str = "–") -> str:
    return missing if value is None else f"{value:+.1%}".replace("-", "−")


def _size(size_bytes: int) -> str:
    for unit, name in UNITS:
        if size_bytes >= unit:
            return f"{size_bytes / unit:.1f} {name}"
    return f"{size_bytes} B"


def _moment(at_s: float) -> str:
    return datetime.datetime.fromtimestamp(at_s, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
