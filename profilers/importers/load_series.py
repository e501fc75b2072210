"""Reads series of load: CSV, JSON lines or Parquet with a time and a value, one series or many, on an even grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from profilers.importers.trace_files import open_trace, read_columns
from specs.errors import InputError
from specs.trace import FloatArray

if TYPE_CHECKING:
    import polars as pl

TIMES = ("time_s", "timestamp", "time", "period", "window_start_s", "second", "t_s", "t", "date", "ts")
VALUES = ("value", "rate_per_s", "rps", "requests_per_s", "total_rate_rps", "count", "load", "requests", "trades", "y")
GROUPS = ("series", "workload", "service", "model", "name")
MOST_PLACES = 5_000_000


def read_series(
    path: Path, *, time: str | None = None, value: str | None = None, step_s: float | None = None,
    timezone: str | None = None,
) -> tuple[dict[str, tuple[float, float, FloatArray]], str]:  # fmt: skip
    """Return by name the start (seconds since 1970), the step and the values of each series, and the file's sha256.

    ``time`` and ``value`` name the columns where they are not recognised. Values within a step are averaged, steps
    without any are NaN. ``step_s``: None takes the usual pause. ``timezone``: times of day are those of that zone's
    wall clock, so that a daily season keeps its hour over daylight saving. Raises `InputError`.
    """
    file = open_trace(path)
    at, amount = _column(path, file.names, time, TIMES, "--time"), _column(path, file.names, value, VALUES, "--value")
    group = next((name for name in GROUPS if name in file.names and name not in (at, amount)), None)
    frame = read_columns(file, [name for name in (at, amount, group) if name])
    seconds = _seconds(path, frame, at, timezone)
    values = _numbers(path, frame, amount)
    labels = frame[group].cast(str).to_list() if group else [path.name.split(".")[0]] * frame.height
    names = np.array(labels, dtype=object)
    found = {name: _gridded(path, name, seconds[names == name], values[names == name], step_s)
             for name in dict.fromkeys(labels)}  # fmt: skip
    return found, file.sha256


def _column(path: Path, names: tuple[str, ...], given: str | None, known: tuple[str, ...], option: str) -> str:
    if given is not None and given in names:
        return given
    found = next((name for name in known if name in names), None) if given is None else None
    if found is None:
        cure = f"It has {', '.join(names[:12])}: name one by {option}."
        raise InputError(f"{path}: no column {given or ' or '.join(known[:3])}", cure=cure)
    return found


def _numbers(path: Path, frame: pl.DataFrame, name: str) -> FloatArray:
    import polars as pl

    column = frame[name]
    cast = column.cast(pl.Float64, strict=False)
    wrong = cast.is_null() & column.is_not_null() & (column.cast(pl.String).str.strip_chars() != "")
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        raise InputError(f"{path}: row {frame['row'][row]}: {name}: {column[row]!r} is no number")
    return cast.fill_null(float("nan")).to_numpy().astype(np.float64)


def _seconds(path: Path, frame: pl.DataFrame, name: str, timezone: str | None) -> FloatArray:
    """Times as seconds since 1970: numbers as they are, else dates and times, UTC where they do not say."""
    import polars as pl

    column = frame[name]
    numbers = column.cast(pl.Float64, strict=False) if not column.dtype.is_temporal() else None
    if numbers is not None and numbers.null_count() == column.null_count():
        seconds = numbers.fill_null(float("nan")).to_numpy().astype(np.float64)
    else:
        text = column if column.dtype == pl.String else column.cast(pl.String)
        stamps = text.str.to_datetime(strict=False, time_unit="us", time_zone="UTC")
        if stamps.null_count() > column.null_count():
            row = int((stamps.is_null() & column.is_not_null()).arg_max() or 0)
            cure = "Write times as seconds since 1970 or as 2026-11-23 06:00:00."
            raise InputError(f"{path}: row {frame['row'][row]}: {name}: {column[row]!r} is no time", cure=cure)
        seconds = stamps.dt.epoch("us").to_numpy() / 1e6
    if np.isnan(seconds).any():
        raise InputError(f"{path}: a row has no {name}", cure="Leave the row out.")
    return seconds if timezone is None else seconds + _offsets(seconds, timezone)


def _offsets(seconds: FloatArray, timezone: str) -> FloatArray:
    """Seconds by which the wall clock of ``timezone`` is ahead of UTC, looked up once an hour."""
    from datetime import UTC, datetime

    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError):
        raise InputError(f"--timezone {timezone!r}: not known", cure="Write it as Europe/Berlin.") from None
    hours, back = np.unique(np.floor(seconds / 3600.0), return_inverse=True)
    ahead = [datetime.fromtimestamp(3600.0 * hour, UTC).astimezone(zone).utcoffset() for hour in hours]
    return np.array([one.total_seconds() if one else 0.0 for one in ahead])[back]


def _gridded(
    path: Path, name: str, seconds: FloatArray, values: FloatArray, step_s: float | None
) -> tuple[float, float, FloatArray]:
    distinct = np.unique(seconds)
    usual = float(np.median(np.diff(distinct))) if len(distinct) > 1 else 60.0
    step = step_s or usual
    first = np.floor(distinct[0] / step)
    place = (np.floor(seconds / step) - first).astype(np.int64)
    size = int(place.max()) + 1
    if size > MOST_PLACES:
        cure = "Check the times, or give a longer --step."
        raise InputError(f"{path}: {name}: {size:,} steps of {step:g} s between the first and the last time", cure=cure)
    known = np.isfinite(values)
    total = np.bincount(place[known], weights=values[known], minlength=size)
    count = np.bincount(place[known], minlength=size)
    return float(first * step), step, np.where(count > 0, total / np.maximum(count, 1), np.nan)
