"""Reads guidellm's reports: JSON, YAML, or the CSV of statistics."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from profilers.importers.listed import listed, numbers
from specs.errors import InputError
from specs.measured import Measured, Statistics
from specs.reading import read_text, sha256

TOOL = "guidellm"
PERCENTILES = {f"p{q}": f"p{q}" for q in (50, 90, 95, 99)}
FIGURES = {
    "ttft_s": ("time_to_first_token_ms", 1e-3), "tpot_s": ("inter_token_latency_ms", 1e-3),
    "e2e_s": ("request_latency", 1.0),
}  # fmt: skip
"""Its `time_per_output_token_ms` includes TTFT; what others call TPOT is its `inter_token_latency_ms`."""
CSV_FIGURES = {
    "ttft_s": ("Time to First Token", "Successful ms", 1e-3),
    "tpot_s": ("Inter Token Latency", "Successful ms", 1e-3),
    "e2e_s": ("Request Latency", "Successful Sec", 1.0),
}
CSV_PERCENTILES = ("min", "p001", "p01", "p05", "p10", "p25", "p75", "p90", "p95", "p99", "max")
"""Order of its CSV's list of percentiles, found by comparing it with the JSON of the same run; p50 is `Median`."""
BY_TOKENS = "the tool weights its TPOT statistics by tokens, not by requests"


def recognises(data: Any) -> bool:
    """Tell whether ``data`` is such a report."""
    return isinstance(data, dict) and isinstance(data.get("benchmarks"), list)


def read(data: Any, *, name: str, sha256: str, part: int, folder: Path) -> Measured:
    """Return benchmark number ``part`` (from 1) of the report. Incomplete and failed requests are left out.

    TPOT of listed requests is (end-to-end − TTFT)/(n − 1). Arrivals are the times requests were sent.
    """
    benchmarks = data["benchmarks"]
    notes = _chosen(name, part, len(benchmarks))
    found = benchmarks[part - 1]
    rows = [row for row in map(_row, _successful(found)) if row is not None]
    metrics = found.get("metrics") or {}
    count = (metrics.get("request_totals") or {}).get("successful") or len(rows)
    figures = {ours: _figure(metrics, theirs, scale) for ours, (theirs, scale) in FIGURES.items()}
    if len(rows) < count:
        notes += [BY_TOKENS, *_grouped(found)]
    measured = listed(
        rows, name=name, tool=TOOL, sha256=sha256, count=int(count), timed=True, figures=figures, notes=notes,
        rate_per_s=_rate(found, int(count)), concurrency=_concurrency(found),
    )  # fmt: skip
    measured = replace(measured, tpot_by_tokens=not measured.complete)
    if rows:
        return measured
    means = [_mean_tokens(metrics, key) for key in ("prompt_token_count", "output_token_count")]
    return replace(measured, prompt_tokens=np.array([means[0]]), output_tokens=np.array([means[1]]))


def is_csv(path: Path) -> bool:
    """Tell whether the file at ``path`` is guidellm's CSV of statistics: three header rows, then benchmarks."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(64).startswith((b"Run Info,", b"Benchmark,"))


def read_csv(path: Path, part: int) -> Measured:
    """Return benchmark number ``part`` of the CSV, which has statistics only."""
    import csv

    table = list(csv.reader(read_text(path).splitlines()))
    notes = [*_chosen(path.name, part, len(table) - 3), BY_TOKENS, "every request gets the mean lengths"]
    header, values = list(zip(*table[:3], strict=True)), table[2 + part]
    cells = dict(zip(header, values, strict=False))
    figures = {ours: _csv_figure(cells, *where) for ours, where in CSV_FIGURES.items()}
    count = int(float(cells.get(("Request Counts", "Successful", ""), "0") or 0))
    duration_s = float(cells.get(("Timings", "Duration", "Sec"), "0") or 0)
    measured = listed(
        [], name=path.name, tool=TOOL, sha256=sha256(path), count=count, timed=False, figures=figures, notes=notes,
        rate_per_s=count / duration_s if duration_s > 0 else None,
    )  # fmt: skip
    means = [
        max(1, round(float(cells.get(("Token Metrics", f"Successful {kind} Tokens", "Mean"), "1"))))
        for kind in ("Input", "Output")
    ]
    return replace(
        measured, prompt_tokens=np.array([means[0]]), output_tokens=np.array([means[1]]), tpot_by_tokens=True
    )


def _chosen(name: str, part: int, count: int) -> list[str]:
    if not 1 <= part <= count:
        raise InputError(f"{name}: has {count} benchmarks, number {part} was asked for", cure=f"Use {name}#1.")
    return [f"benchmark {part} of {count}; another is read as {name}#N"] if count > 1 else []


def _successful(benchmark: dict[str, Any]) -> list[dict[str, Any]]:
    requests = benchmark.get("requests") or {}
    return list(requests.get("successful") or []) if isinstance(requests, dict) else []


def _row(request: dict[str, Any]) -> tuple[float, ...] | None:
    start = request.get("request_start_time") or request.get("start_time")
    latency, ttft = request.get("request_latency"), request.get("time_to_first_token_ms")
    prompt, output = request.get("prompt_tokens"), request.get("output_tokens")
    if None in (start, latency, ttft, prompt, output):
        return None
    return (float(start or 0), float(prompt or 0), float(output or 0), float(ttft or 0) / 1e3, float(latency or 0))


def _figure(metrics: dict[str, Any], name: str, scale: float) -> Statistics:
    found = (metrics.get(name) or {}).get("successful") or {}
    means = numbers(found, {"mean": "mean", "p50": "median"}, scale)
    return means | numbers(found.get("percentiles") or {}, PERCENTILES, scale)


def _csv_figure(cells: dict[Any, str], group: str, unit: str, scale: float) -> Statistics:
    mean, median, rest = (cells.get((group, unit, name)) for name in ("Mean", "Median", "Percentiles"))
    if not (mean and median and rest):
        return {}
    found = dict(zip(CSV_PERCENTILES, json.loads(rest), strict=True)) | {"mean": float(mean), "p50": float(median)}
    return numbers(found, {"mean": "mean"} | PERCENTILES, scale)


def _mean_tokens(metrics: dict[str, Any], name: str) -> int:
    return max(1, round((((metrics.get(name) or {}).get("successful")) or {}).get("mean") or 1))


def _rate(benchmark: dict[str, Any], count: int) -> float | None:
    duration_s = benchmark.get("duration") or 0
    return count / duration_s if duration_s > 0 else None


def _grouped(benchmark: dict[str, Any]) -> list[str]:
    """Its Poisson arrivals are not Poisson where several workers each use every drawn gap."""
    strategy = (benchmark.get("config") or {}).get("strategy") or {}
    workers = strategy.get("worker_count") or 1
    if strategy.get("type_") != "poisson" or workers < 2:
        return []
    return [f"its {workers} workers repeat each gap, so real arrivals came in groups; those drawn here do not"]


def _concurrency(benchmark: dict[str, Any]) -> int | None:
    strategy = (benchmark.get("config") or {}).get("strategy") or {}
    if strategy.get("type_") != "concurrent":
        return None
    return strategy.get("streams") or strategy.get("max_concurrency")
