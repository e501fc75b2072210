"""Reads a CSV of windows with their load and latencies: Cilantro's, or one with our own names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from profilers.importers.load_tests import cell, point
from specs.application import LoadPoint, Quantity

CILANTRO = ("load", "avg_latency", "p99", "event_start_time", "event_end_time")
CILANTRO_LATENCIES: dict[Quantity, str] = {"mean": "avg_latency", "p99": "p99"}
OURS: dict[Quantity, str] = {f"{name}": f"{name}_s" for name in ("mean", "p50", "p90", "p95", "p99")}  # type: ignore[misc]


def recognises(header: Sequence[str]) -> bool:
    """Tell whether a CSV with this header is Cilantro's, or has `rate_per_s` and a latency such as `p95_s`."""
    ours = "rate_per_s" in header and any(column in header for column in OURS.values())
    return ours or set(CILANTRO) <= set(header)


def read_csv(rows: list[dict[str, str]], path: Path, notes: list[str]) -> list[LoadPoint]:
    """Return one load per window. Cilantro's `load` counts the requests of a window, its latencies are milliseconds.

    A window in which nothing was answered is left out and named. The allocations beside them are not read: a curve
    over windows of different allocations mixes them, which ``notes`` says.
    """
    cilantro = set(CILANTRO) <= set(rows[0])
    found = [(_cilantro if cilantro else _ours)(row, path) for row in rows]
    kept = [one for one in found if one]
    if len(kept) < len(found):
        notes.append(f"{path.name}: {len(found) - len(kept)} windows without an answered request were left out")
    if any(column.startswith("alloc_") for column in rows[0]):
        notes.append(f"{path.name}: windows of different allocations are taken together")
    return kept


def _cilantro(row: dict[str, str], path: Path) -> LoadPoint | None:
    seconds = cell(row, "event_end_time", path) - cell(row, "event_start_time", path)
    requests = cell(row, "load", path)
    latency = {name: cell(row, column, path) / 1e3 for name, column in CILANTRO_LATENCIES.items()}
    return point(requests / seconds, latency, path, requests=requests) if seconds > 0 else None


def _ours(row: dict[str, str], path: Path) -> LoadPoint | None:
    latency = {name: cell(row, column, path) for name, column in OURS.items() if column in row}
    return point(cell(row, "rate_per_s", path), latency, path)
