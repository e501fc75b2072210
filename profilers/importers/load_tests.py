"""Latency against load out of load tests' files: which module reads which, and what they share."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path

from specs.application import LoadPoint, Quantity
from specs.errors import InputError

QUANTITIES: tuple[Quantity, ...] = ("mean", "p50", "p90", "p95", "p99")


def read_load_test(path: Path) -> tuple[list[LoadPoint], list[str]]:
    """Return the loads of one file of locust, k6, or a CSV of windows, lowest first, and notes on what was left out.

    Raises `InputError` for a file that is none of them, is cut off, or holds no finished request.
    """
    from profilers.importers import k6, load_windows, locust
    from profilers.importers.json_files import read_bytes

    data = read_bytes(path)
    notes: list[str] = []
    if data.lstrip()[:1] in (b"{", b"["):
        module = locust if locust.is_json(data) else k6
        points = module.read_json(data, path, notes)
    else:
        header, rows = _table(data, path, notes)
        readers = (locust, k6, load_windows)
        reader = next((one for one in readers if one.recognises(header)), None)
        if reader is None:
            shown = ", ".join(header[:8])
            cure = "Known: locust's stats and stats_history CSV, k6's summary, JSON and CSV, CSV of windows."
            raise InputError(f"{path}: not a known load test (columns: {shown})", cure=cure)
        points = reader.read_csv(rows, path, notes)
    if not points:
        raise InputError(f"{path}: holds no load with finished requests", cure="Let the test run longer.")
    return sorted(points, key=lambda point: point.rate_per_s), notes


def point(
    rate_per_s: float, latency_s: Mapping[Quantity, float], path: Path, *, requests: float | None = None,
    failures: float | None = None, concurrency: float | None = None,
) -> LoadPoint | None:  # fmt: skip
    """Return one load, or None where nothing was answered. Latencies that are not above zero are left out."""
    kept = {name: value for name, value in latency_s.items() if math.isfinite(value) and value > 0.0}
    if not (math.isfinite(rate_per_s) and rate_per_s > 0.0 and kept):
        return None
    return LoadPoint(
        rate_per_s=rate_per_s, latency_s=kept, requests=requests, failures=failures,
        concurrency=concurrency if concurrency and concurrency > 0 else None, source=path.name,
    )  # fmt: skip


def cell(row: Mapping[str, str], column: str, path: Path) -> float:
    """Return the number in ``column``, NaN where empty or N/A; raises `InputError` for anything else."""
    text = (row.get(column) or "").strip()
    if not text or text.upper() in ("N/A", "NA", "NAN", "NULL"):
        return math.nan
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{path}: column {column!r}: expected a number, found {text!r}") from None


def _table(data: bytes, path: Path, notes: list[str]) -> tuple[list[str], list[dict[str, str]]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})", cure="Give a CSV or JSON file.") from None
    listed = [row for row in csv.reader(io.StringIO(text)) if row]
    if len(listed) < 2:
        raise InputError(f"{path}: holds no row below its header", cure="Is the file whole? Copy it again.")
    header, rows = listed[0], listed[1:]
    if len(rows[-1]) < len(header):
        notes.append(f"{path.name}: the last row is cut off and was left out")
        rows.pop()
    short = next((number for number, row in enumerate(rows, start=2) if len(row) < len(header)), None)
    if short is not None:
        raise InputError(f"{path}:{short}: has fewer columns than the header", cure="Copy the file again.")
    return header, [dict(zip(header, row, strict=False)) for row in rows]
