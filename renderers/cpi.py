"""The table of `tonnage profile cpi`: one line per target, then what is missing, why, and what measuring cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from specs.cpi import CpiProfile, CpiTarget, MissingFigure, Overhead, Spread

UNKNOWN = "–"
NAME_CHARACTERS = 28
TAIL_CHARACTERS = 27  # of a long path its end tells most

Cell = Callable[[Spread], str]
# Heading, quantity, and how its figure is told.
COLUMNS: tuple[tuple[str, str, Cell], ...] = (
    ("CPI", "cpi", lambda one: f"{one.mean:.2f}" + (f" ± {one.sd:.2f}" if one.sd is not None else "")),
    ("LLC/1000", "llc_mpki", lambda one: f"{one.mean:.2f}"),
    ("stalled", "stalled_share", lambda one: _percent(one.mean)),
    ("CPU cores", "cpu_cores", lambda one: f"{one.mean:.2f}" + (f" ± {one.sd:.2f}" if one.sd is not None else "")),
    ("throttled", "throttled_share", lambda one: _percent(one.mean)),
    ("CPU wait", "cpu_pressure", lambda one: _percent(one.mean)),
    ("mem wait", "memory_pressure", lambda one: _percent(one.mean)),
    ("I/O wait", "io_pressure", lambda one: _percent(one.mean)),
    ("steal", "steal_share", lambda one: _percent(one.mean)),
)


def cpi_table(profile: CpiProfile) -> Group:
    """Return the figures of every target, the notes on them, what is missing, and the overhead."""
    spec = profile.spec
    windows = max((len(target.windows) for target in spec.targets), default=0)
    parts: list[RenderableType] = [_head(profile, windows), Text(), _figures(spec.targets)]
    notes = [*_notes(spec.targets), *(Text(note, style="yellow") for note in spec.notes)]
    parts += [Text(), *notes] if notes else []
    parts += [Text(), *_missing(spec.missing)] if spec.missing else []
    parts += [Text(), _overhead(spec.overhead)] if spec.overhead else []
    return Group(*parts)


def missing_text(missing: Sequence[MissingFigure]) -> str:
    """Return one paragraph per cause: which counters are missing, why, the cure, and what is measured instead."""
    told = []
    for group in _by_cause(missing):
        first = group[0]
        names, code, whom = _names(group), f" ({first.error})" if first.error else "", _whom(first)
        instead = f"\n  measured instead: {first.instead}" if first.instead else ""
        told.append(f"not measured: {names}{whom}: {first.cause}{code}\n  {first.cure}{instead}")
    return "\n".join(told)


def _head(profile: CpiProfile, windows: int) -> Text:
    spec = profile.spec
    where = f" on {spec.cpu}, {spec.cpus} CPUs" if spec.cpu else ""
    many = "1 window" if windows == 1 else f"{windows} windows"
    when = f"; {many} of {spec.window_s:g} s, one in {spec.every_s:g} s" if spec.window_s else ""
    how = "no hardware counters" if spec.source == "none" else f"counted by {spec.source}"
    return Text(f"{profile.metadata.name}{where}: {how}{when}", style="bold")


def _figures(targets: Sequence[CpiTarget]) -> Table:
    shown = [column for column in COLUMNS if any(column[1] in target.summary for target in targets)]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("target", no_wrap=True)
    for heading, _, _ in shown:
        table.add_column(heading, justify="right", no_wrap=True)
    for target in targets:
        cells = (tell(target.summary[name]) if name in target.summary else UNKNOWN for _, name, tell in shown)
        table.add_row(_short(target.name), *cells)
    return table


def _notes(targets: Iterable[CpiTarget]) -> Iterator[Text]:
    told: dict[str, list[str]] = {}
    for target in targets:
        user = ("kernel time was not counted: not permitted",) if target.user_only else ()
        for note in (*target.notes, *user):
            told.setdefault(note, []).append(_short(target.name))
    for note, names in told.items():
        yield Text(f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {note}")


def _missing(missing: Sequence[MissingFigure]) -> Iterator[RenderableType]:
    for group in _by_cause(missing):
        first = group[0]
        code = f" ({first.error})" if first.error else ""
        yield Text(f"not measured: {_names(group)}{_whom(first)}", style="yellow")
        yield Padding(Text(f"{first.cause}{code}"), (0, 0, 0, 2))
        yield Padding(Text(first.cure), (0, 0, 0, 2))
        if first.instead:
            yield Padding(Text(f"measured instead: {first.instead}"), (0, 0, 0, 2))


def _by_cause(missing: Iterable[MissingFigure]) -> list[list[MissingFigure]]:
    groups: dict[tuple[str, tuple[str, ...]], list[MissingFigure]] = {}
    for one in missing:
        groups.setdefault((one.cause, one.targets), []).append(one)
    return list(groups.values())


def _names(group: Iterable[MissingFigure]) -> str:
    return ", ".join(one.quantity for one in group)


def _whom(one: MissingFigure) -> str:
    if not one.targets:
        return ""
    more = f" and {len(one.targets) - 1} more" if len(one.targets) > 1 else ""
    return f" of {_short(one.targets[0])}{more}"


def _overhead(one: Overhead) -> Text:
    turns = f", {one.turns} turns" if one.turns > 1 else ""
    share = f"{_percent(one.cpu_share)} of one core ({one.cpu_s:.2f} s CPU in {one.wall_s:.0f} s)"
    return Text(f"measuring took {share}, at most {one.file_descriptors} open files{turns}", style="dim")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.0005 or share == 0 else f"{100 * share:.2g} %"


def _short(name: str) -> str:
    return name if len(name) <= NAME_CHARACTERS else f"…{name[-TAIL_CHARACTERS:]}"
