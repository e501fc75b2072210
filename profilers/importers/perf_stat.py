"""Recorded outputs of `perf stat`: its text, its JSON lines (-j), its CSV (-x,), and collections of them."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from profilers.importers.perf_events import NO_VALUE, Gathered, Row, gather, number, spelled
from specs.errors import InputError

LINE = re.compile(
    r"^\s*(?:(?P<at>\d+\.\d{6,})\s+)?(?P<value><not counted>|<not supported>|\d[\d.,'\u202f\u00a0]*)\s+"
    r"(?:(?P<unit>msec|sec|ns|[CMG]i?B?|[KMGT]iB|Joules|Watts|%|C)\s+)?(?P<event>[A-Za-z_][^\s#()]*)"
    r"(?:[ \t]+(?P<cgroup>[^\s#(][^\s#]*))?[ \t]*(?:#.*?)?(?:\((?P<share>[\d.,]+)%\))?\s*$"
)
ELAPSED = re.compile(r"(?P<seconds>[\d.,]+)(?: \+- \S+)? seconds time elapsed")
SCOPE = re.compile(r"Performance counter stats for (?P<scope>.+?)(?: \(\d+ runs\))?:")
FIRST_CHARACTERS = 300  # of a line, in which perf's own keys stand
BY_HAND = "Record it with `perf stat -j -e cycles,instructions,cache-misses -p PID -o FILE -- sleep 10`."


@dataclass(frozen=True)
class Recording:
    """One interval of one recorded target; ``window_s`` its length, ``at_s`` its end, where the output tells."""

    name: str
    gathered: Gathered
    window_s: float | None = None
    at_s: float | None = None
    scope: str = ""


def read_perf_stat(path: Path) -> list[Recording]:
    """Read a recorded output in whichever form it is; raises `InputError` with file and line where it is none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}", cure="Check the path.") from None
    found = list(_read(text, path))
    if not any(one.gathered.counts.values or one.gathered.refused for one in found):
        raise InputError(f"{path}: no line counts an event that is used here", cure=BY_HAND)
    return found


def _read(text: str, path: Path) -> Iterator[Recording]:
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    if first.lstrip().startswith("{") and not _is_line(first):
        yield from _collection(text, path)
    elif first.lstrip().startswith("{"):
        yield from recordings(json_rows(text.splitlines(), str(path)), path.stem)
    elif SCOPE.search(text) or ELAPSED.search(text):
        yield from _text(text, path.stem)
    elif _wide_header(text):
        yield from _wide(text, path)
    else:
        yield from recordings(_csv_rows(text, path), path.stem)


def recordings(rows: Iterable[Row], name: str, window_s: float | None = None, scope: str = "") -> list[Recording]:
    """Group rows by interval and cgroup; the length of an interval is what lies since the one before it."""
    groups: dict[tuple[float | None, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.at_s, row.cgroup), []).append(row)
    ends = sorted({at for at, _ in groups if at is not None})
    lengths = {at: at - before for before, at in zip([0.0, *ends], ends, strict=False)}
    return [
        Recording(cgroup or name, gather(group), lengths.get(at, window_s) if at is not None else window_s, at, scope)
        for (at, cgroup), group in groups.items()
    ]


def json_rows(lines: Iterable[str], where: str) -> Iterator[Row]:
    """Yield the rows of `perf stat -j`; raises `InputError` at a line that is no JSON object of perf's."""
    for count, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            entry = json.loads(line)
            yield from _json_row(entry)
        except (ValueError, TypeError, AttributeError):
            raise InputError(
                f"{where}:{count}: no line of `perf stat -j`: {line.strip()[:60]!r}",
                cure="The file may be cut off: record it again.",
            ) from None


def _json_row(entry: dict[str, Any]) -> Iterator[Row]:
    if "event" not in entry or "counter-value" not in entry:  # a line of metrics alone
        return
    value, share, unit = str(entry["counter-value"]), float(entry.get("pcnt-running", 100.0)) / 100, entry.get("unit")
    at = entry.get("interval")
    yield Row(
        event=entry["event"], value=float(value) if value not in NO_VALUE else None, unit=unit or "",
        counted_share=min(1.0, share), at_s=float(at) if at is not None else None, cgroup=entry.get("cgroup") or "",
        cpu=str(entry.get("cpu") or entry.get("core") or ""), why=value if value in NO_VALUE else "",
    )  # fmt: skip


def _text(text: str, name: str) -> list[Recording]:
    scope, elapsed = SCOPE.search(text), ELAPSED.search(text)
    seconds = number(elapsed["seconds"], "s") if elapsed else None
    return recordings(_text_rows(text), name, seconds, _unquoted(scope["scope"]) if scope else "")


def _unquoted(scope: str) -> str:
    return scope[1:-1] if scope.startswith("'") and scope.endswith("'") else scope


def _text_rows(text: str) -> Iterator[Row]:
    for line in text.splitlines():
        match = LINE.match(line)
        if match and spelled(match["event"]):
            value, unit = match["value"], match["unit"] or ""
            share = float(match["share"].replace(",", ".")) / 100 if match["share"] else 1.0
            yield Row(
                event=match["event"], value=number(value, unit), unit=unit, counted_share=min(1.0, share),
                at_s=float(match["at"]) if match["at"] else None, cgroup=match["cgroup"] or "",
                why=value if value in NO_VALUE else "",
            )  # fmt: skip


def _csv_rows(text: str, path: Path) -> Iterator[Row]:
    """Columns: [interval,] [cpu,] value, unit, event, [cgroup,] ns counted, % counted, metric, its unit."""
    for count, line in enumerate(text.splitlines(), 1):
        cells = [cell.strip() for cell in re.split("[,;\t]", line)]
        at = next((i for i, cell in enumerate(cells) if i >= 2 and spelled(cell)), None)
        if at is None:
            continue
        try:
            yield _csv_row(cells, at)
        except (ValueError, IndexError):
            raise InputError(
                f"{path}:{count}: no line of `perf stat -x,`: {line[:60]!r}", cure="Record it again, or use -j."
            ) from None


def _csv_row(cells: list[str], at: int) -> Row:
    ahead, value, unit, event, after = cells[: at - 2], cells[at - 2], cells[at - 1], cells[at], cells[at + 1 :]
    cgroup = after.pop(0) if after and not _is_number(after[0]) else ""
    interval = next((float(cell) for cell in ahead if re.fullmatch(r"\d+\.\d+", cell)), None)
    cpu = next((cell for cell in ahead if re.match(r"(CPU|S\d)", cell)), "")
    return Row(
        event=event, value=None if value in NO_VALUE else float(value), unit=unit,
        counted_share=min(1.0, float(after[1]) / 100) if len(after) > 1 and after[1] else None,
        at_s=interval, cgroup=cgroup, cpu=cpu, why=value if value in NO_VALUE else "",
    )  # fmt: skip


def _collection(text: str, path: Path) -> Iterator[Recording]:
    """Read a JSON object that keeps whole outputs under `raw`, at any depth; the keys above are the name."""
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise InputError(f"{path}: no JSON: {error}", cure="The file may be cut off: copy it again.") from None
    for names, raw in _raw_texts(entries, ()):
        yield from _text(raw, "/".join(names) or path.stem)


def _raw_texts(entry: Any, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(entry, dict):
        if isinstance(entry.get("raw"), str):
            yield names, entry["raw"]
        else:
            for key, below in entry.items():
                yield from _raw_texts(below, (*names, key))


def _wide(text: str, path: Path) -> Iterator[Recording]:
    """Read a table with a row per target and a column per event; the other columns that are text are the name."""
    for count, entry in enumerate(csv.DictReader(text.splitlines()), 2):
        try:
            cells = {event: float(value) for event, value in entry.items() if spelled(event) and value}
        except (ValueError, TypeError):
            raise InputError(f"{path}:{count}: an event's column holds no number", cure="Check the row.") from None
        names = [value for event, value in entry.items() if not spelled(event) and value and not _is_number(value)]
        yield Recording("/".join(names) or f"row {count}", gather(Row(event, value) for event, value in cells.items()))


def _wide_header(text: str) -> bool:
    header = text.lstrip().partition("\n")[0].split(",")
    return sum(spelled(cell.strip()) is not None for cell in header) >= 2


def _is_line(first: str) -> bool:
    """Whether the first line is one of `perf stat -j`, whole or cut off."""
    return '"counter-value"' in first[:FIRST_CHARACTERS]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
