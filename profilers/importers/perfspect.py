"""Summaries of Intel PerfSpect: mean and range of each metric, by micro-architecture and benchmark where they tell."""

from __future__ import annotations

import csv
from pathlib import Path

from specs.cpi import CpiTarget, Spread
from specs.errors import InputError

# PerfSpect's metrics that are ours, and the factor to our unit (misses per instruction → per 1000).
METRICS = {
    "CPI": ("cpi", 1.0),
    "LLC data read MPI (demand+prefetch)": ("llc_mpki", 1e3),
    "LLC MPI": ("llc_mpki", 1e3),
}
METRIC_COLUMNS, MEAN_COLUMNS, SD_COLUMNS = ("metrics", "metric"), ("avg", "mean"), ("stddev", "sd")


def is_perfspect(path: Path) -> bool:
    """Whether the first line names a column of metrics and one of their means."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            columns = file.readline().strip().lower().split(",")
    except OSError:
        return False
    return any(name in columns for name in METRIC_COLUMNS) and any(name in columns for name in MEAN_COLUMNS)


def read_perfspect(path: Path) -> list[CpiTarget]:
    """Read the summary of each target that the file names; raises `InputError` with its line where a value is none."""
    summaries: dict[str, dict[str, Spread]] = {}
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for count, entry in enumerate(csv.DictReader(file), 2):
            row = {(key or "").lower(): value or "" for key, value in entry.items() if isinstance(value, str)}
            metric = _first(row, METRIC_COLUMNS).removeprefix("metric_")
            if metric in METRICS:
                name, factor = METRICS[metric]
                summaries.setdefault(_name(row, path), {})[name] = _spread(row, factor, f"{path}:{count}")
    if not any("cpi" in summary for summary in summaries.values()):
        raise InputError(f"{path}: has no metric CPI", cure="Let PerfSpect write its summary with all metrics.")
    return [CpiTarget(name=name, target="recorded", summary=summary) for name, summary in summaries.items()]


def _spread(row: dict[str, str], factor: float, where: str) -> Spread:
    def scaled(cell: str) -> float | None:
        return float(cell) * factor if cell else None

    try:
        mean = float(_first(row, MEAN_COLUMNS)) * factor
        cells = (_first(row, SD_COLUMNS), row.get("min", ""), row.get("p95", ""), row.get("max", ""))
        sd, low, p95, high = map(scaled, cells)
    except ValueError:
        raise InputError(f"{where}: a metric's value is no number", cure="The file may be cut off.") from None
    return Spread(mean=mean, sd=sd, low=low, p95=p95, high=high)


def _name(row: dict[str, str], path: Path) -> str:
    return "/".join(row[key] for key in ("uarch", "benchmark") if row.get(key)) or path.stem


def _first(row: dict[str, str], names: tuple[str, ...]) -> str:
    return next((row[name] for name in names if row.get(name)), "")
