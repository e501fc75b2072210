"""Reads locust's CSV of statistics, its history over time, and its JSON; times there are in milliseconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from profilers.importers.json_files import parse_json
from profilers.importers.load_tests import cell, point
from specs.application import LoadPoint, Quantity

PERCENTILES: dict[Quantity, str] = {"p50": "50%", "p90": "90%", "p95": "95%", "p99": "99%"}
WINDOW_S = 10.0
"""Over how long a row of the history counts: CURRENT_RESPONSE_TIME_PERCENTILE_WINDOW of locust's stats.py."""
ALL = "Aggregated"
LEAST_ROWS = 3  # settled rows that make a level of load


def is_json(data: bytes) -> bool:
    """Tell whether ``data`` is what `locust --json` prints."""
    return data.lstrip().startswith(b"[") and b'"num_requests"' in data[:20_000]


def recognises(header: Sequence[str]) -> bool:
    """Tell whether a CSV with this header is locust's."""
    return "Requests/s" in header and ("Request Count" in header or "User Count" in header)


def read_csv(rows: list[dict[str, str]], path: Path, notes: list[str]) -> list[LoadPoint]:
    """Return the load of a finished run (`_stats.csv`), or one per level of users (`_stats_history.csv`).

    Of the history, the row of all requests counts where the file has it; the first ten seconds of each level still
    hold requests of the level before and are left out.
    """
    aggregated = [row for row in rows if row.get("Name") == ALL]
    if not aggregated:
        notes.append(f"{path.name}: has no row {ALL!r}; the rows of its endpoints were taken one by one")
    chosen = aggregated or rows
    found = _levels(chosen, path) if "User Count" in rows[0] else [_total(row, path) for row in chosen]
    return [one for one in found if one]


def read_json(data: bytes, path: Path, notes: list[str]) -> list[LoadPoint]:
    """Return the load of the run, all endpoints together; `response_times` maps milliseconds to how often."""
    entries = [entry for entry in parse_json(data, path) if entry.get("num_requests")]
    if not entries:
        return []
    times: dict[float, float] = {}
    for entry in entries:
        for text, count in (entry.get("response_times") or {}).items():
            times[float(text)] = times.get(float(text), 0.0) + count
    requests = sum(entry["num_requests"] for entry in entries)
    seconds = max(e["last_request_timestamp"] for e in entries) - min(e["start_time"] for e in entries)
    latency: dict[Quantity, float] = {"mean": sum(e["total_response_time"] for e in entries) / requests / 1e3}
    latency |= _weighted(times)
    failures = sum(entry.get("num_failures", 0) for entry in entries)
    one = point(requests / seconds if seconds > 0 else math.nan, latency, path, requests=requests, failures=failures)
    return [one] if one else []


def _total(row: dict[str, str], path: Path) -> LoadPoint | None:
    latency = {name: cell(row, column, path) / 1e3 for name, column in PERCENTILES.items()}
    latency["mean"] = cell(row, "Average Response Time", path) / 1e3
    requests, failures = cell(row, "Request Count", path), cell(row, "Failure Count", path)
    return point(cell(row, "Requests/s", path), latency, path, requests=requests, failures=failures)


def _levels(rows: list[dict[str, str]], path: Path) -> list[LoadPoint | None]:
    found = []
    for users, group in groupby(rows, key=lambda row: cell(row, "User Count", path)):
        level = list(group)
        began = cell(level[0], "Timestamp", path)
        settled = [row for row in level if cell(row, "Timestamp", path) >= began + WINDOW_S]
        if users > 0 and len(settled) >= LEAST_ROWS:
            found.append(_level(users, settled, path))
    return found


def _level(users: float, rows: list[dict[str, str]], path: Path) -> LoadPoint | None:
    def of(column: str) -> Any:
        return np.array([cell(row, column, path) for row in rows])

    rate = float(np.nanmean(of("Requests/s")))
    latency: dict[Quantity, float] = {}
    for name, column in PERCENTILES.items():
        values = of(column)
        if np.isfinite(values).any():
            latency[name] = float(np.nanmean(values)) / 1e3
    counts, means = of("Total Request Count"), of("Total Average Response Time")
    done = float(counts[-1] - counts[0])
    if done > 0:
        latency["mean"] = float(counts[-1] * means[-1] - counts[0] * means[0]) / done / 1e3
    failures = max(float(of("Total Failure Count")[-1] - of("Total Failure Count")[0]), 0.0)
    return point(rate, latency, path, requests=max(done, 0.0), failures=failures, concurrency=users)


def _weighted(times: dict[float, float]) -> dict[Quantity, float]:
    values = np.array(sorted(times))
    reached = np.cumsum([times[value] for value in values])
    wanted: dict[Quantity, float] = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
    if not values.size:
        return {}
    return {
        n: float(values[min(int(np.searchsorted(reached, q * reached[-1])), values.size - 1)]) / 1e3
        for n, q in wanted.items()
    }
