"""Reads k6's summary, and its samples as JSON lines or CSV; times there are in milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from profilers.importers.json_files import json_lines, parse_json
from profilers.importers.load_tests import cell, point
from specs.application import LoadPoint, Quantity
from specs.errors import InputError

DURATION, REQUESTS, FAILED = "http_req_duration", "http_reqs", "http_req_failed"
SUMMARY: dict[Quantity, tuple[str, ...]] = {
    "mean": ("avg",), "p50": ("med", "p(50)"), "p90": ("p(90)",), "p95": ("p(95)",), "p99": ("p(99)",),
}  # fmt: skip
WINDOW_S = 10.0
"""Samples are told in windows of so many seconds (ours): a stage of a ramp is usually longer."""
LEAST_REQUESTS = 20  # in a window, else its percentiles say nothing


def recognises(header: Sequence[str]) -> bool:
    """Tell whether a CSV with this header is k6's."""
    return {"metric_name", "timestamp", "metric_value"} <= set(header)


def read_json(data: bytes, path: Path, notes: list[str]) -> list[LoadPoint]:
    """Return the load of a summary (`--summary-export`, `handleSummary`), or one per ten seconds of `--out json`."""
    first = data.lstrip().split(b"\n", 1)[0]
    if b'"type"' in first and b'"metric"' in first:
        return _windows(_samples(json_lines(data, path, notes)), path, notes)
    summary = parse_json(data, path)
    metrics = summary.get("metrics") if isinstance(summary, dict) else None
    if not isinstance(metrics, dict) or DURATION not in metrics:
        raise InputError(f"{path}: neither k6's nor locust's JSON", cure="Known: k6's summary and `--out json`.")
    return _summary(metrics, path)


def read_csv(rows: list[dict[str, str]], path: Path, notes: list[str]) -> list[LoadPoint]:
    """Return one load per ten seconds of `--out csv`, whose times are seconds since 1970."""
    taken = [row for row in rows if row["metric_name"] == DURATION]
    found = [(cell(row, "timestamp", path), cell(row, "metric_value", path)) for row in taken]
    return _windows(found, path, notes)


def _summary(metrics: dict[str, Any], path: Path) -> list[LoadPoint]:
    durations, requests = _values(metrics[DURATION]), _values(metrics.get(REQUESTS) or {})
    latency: dict[Quantity, float] = {}
    for name, keys in SUMMARY.items():
        value = next((durations[key] for key in keys if key in durations), None)
        if value is not None:
            latency[name] = float(value) / 1e3
    failed = _values(metrics.get(FAILED) or {})
    share = failed.get("rate", failed.get("value", 0.0))
    count = float(requests.get("count", 0.0))
    users = _values(metrics.get("vus") or {}).get("value")
    one = point(
        float(requests.get("rate", 0.0)), latency, path, requests=count, failures=share * count, concurrency=users
    )
    return [one] if one else []


def _values(metric: dict[str, Any]) -> dict[str, float]:
    found = metric.get("values", metric)
    return {key: value for key, value in found.items() if isinstance(value, int | float)}


def _samples(lines: Iterable[Any]) -> list[tuple[float, float]]:
    return [
        (datetime.fromisoformat(line["data"]["time"]).timestamp(), float(line["data"]["value"]))
        for line in lines
        if isinstance(line, dict) and line.get("type") == "Point" and line.get("metric") == DURATION
    ]


def _windows(samples: list[tuple[float, float]], path: Path, notes: list[str]) -> list[LoadPoint]:
    """Windows between the first and the last, which are seldom whole; all samples as one where there are no others."""
    if not samples:
        return []
    times, values = np.array(samples).T
    numbers = ((times - times.min()) // WINDOW_S).astype(int)
    inner = [number for number in range(1, int(numbers.max())) if (numbers == number).sum() >= LEAST_REQUESTS]
    if not inner:
        seconds = max(float(times.max() - times.min()), 1e-9)
        one = _window(values, seconds, path)
        return [one] if one else []
    left = int((~np.isin(numbers, inner)).sum())
    notes.append(f"{path.name}: {left} requests in windows that are not whole or hold too few were left out")
    found = (_window(values[numbers == number], WINDOW_S, path) for number in inner)
    return [one for one in found if one]


def _window(values: Any, seconds: float, path: Path) -> LoadPoint | None:
    p50, p90, p95, p99 = (np.quantile(values, [0.5, 0.9, 0.95, 0.99]) / 1e3).tolist()
    latency: dict[Quantity, float] = {
        "mean": float(values.mean()) / 1e3,
        "p50": p50,
        "p90": p90,
        "p95": p95,
        "p99": p99,
    }
    return point(values.size / seconds, latency, path, requests=float(values.size))
