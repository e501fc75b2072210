"""Tables of what containers used: CSV, CSV.GZ, JSON lines or Parquet with one row per time, container and replica."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from profilers.importers.trace_files import open_trace, read_columns
from specs.errors import InputError
from specs.explaining import nearest
from specs.trace import FloatArray
from specs.usage import Autoscaler, ContainerUsage, Given, Usage

if TYPE_CHECKING:
    import polars as pl

NEEDED = ("time_s", "workload", "memory_bytes")
CPU, COUNTER = "cpu_cores", "cpu_seconds_total"
NAMES = ("namespace", "workload", "container", "pod")
GIVEN = ("cpu_request_cores", "cpu_limit_cores", "memory_request_bytes", "memory_limit_bytes")
SCALER = ("hpa_target", "hpa_min", "hpa_max")
OTHERS = ("replicas", "out_of_memory", "throttled_share", "max_surge_pods", "max_unavailable_pods")
KNOWN = (*NEEDED, CPU, COUNTER, *NAMES, *GIVEN, *SCALER, *OTHERS)
MOST_POINTS = 2_000_000  # of one container's grid
Numbers = dict[str, FloatArray]


def read_usage_table(path: Path) -> Usage:
    """Read the containers of a table; raises `InputError` naming file, row and column of what is wrong.

    Columns: `time_s` (seconds since 1970), `workload`, `memory_bytes`, and `cpu_cores` or the counter
    `cpu_seconds_total`; optional `namespace`, `container`, `pod`, `replicas`, what is set now (`cpu_request_cores`,
    `cpu_limit_cores`, `memory_request_bytes`, `memory_limit_bytes`), `hpa_target` (share of the request), `hpa_min`,
    `hpa_max`, `out_of_memory` (kills since the row before), `throttled_share`, `max_surge_pods` (of a rollout) and
    `max_unavailable_pods` (of the disruption budget).
    """
    file = open_trace(path)
    _check_columns(path, file.names)
    frame = read_columns(file, [name for name in file.names if name in KNOWN])
    numbers = {name: _numbers(frame, name, path) for name in frame.columns if name not in (*NAMES, "row")}
    groups = _groups(frame)
    found = [_container(path, key, rows, frame, numbers) for key, rows in groups.items()]
    return Usage(source=path.name, containers=tuple(found), inputs={path.name: file.sha256})


def _check_columns(path: Path, names: tuple[str, ...]) -> None:
    missing = [name for name in NEEDED if name not in names]
    if not missing and CPU not in names and COUNTER not in names:
        missing = [CPU]
    if missing:
        cure = f"It has {', '.join(names[:12])}{nearest(missing[0], list(names))}. Known: {', '.join(KNOWN)}."
        raise InputError(f"{path}: column {missing[0]!r} is missing", cure=cure)


def _numbers(frame: pl.DataFrame, name: str, path: Path) -> FloatArray:
    """The column as numbers; an empty cell is NaN, anything else that is no number an error with its row."""
    import polars as pl

    column = frame[name]
    cast = column.cast(pl.Float64, strict=False)
    wrong = cast.is_null() & column.is_not_null()
    if column.dtype == pl.String:
        wrong &= column.str.strip_chars() != ""
    if wrong.any():
        row = int(frame["row"][int(wrong.arg_max() or 0)])
        shown = column[int(wrong.arg_max() or 0)]
        raise InputError(f"{path}: row {row}: {name}: {shown!r} is no number", cure="Leave it empty where unknown.")
    values = cast.fill_null(float("nan")).to_numpy().astype(np.float64)
    negative = values < 0.0
    if negative.any() or np.isinf(values).any():
        bad = int(np.flatnonzero(negative | np.isinf(values))[0])
        cure = "Times and amounts are zero or more, and finite."
        raise InputError(f"{path}: row {int(frame['row'][bad])}: {name}: found {values[bad]:g}", cure=cure)
    return values


def _groups(frame: pl.DataFrame) -> dict[tuple[str, ...], np.ndarray[Any, Any]]:
    keys = list(zip(*(_text(frame, name) for name in NAMES[:3]), strict=True))
    found: dict[tuple[str, ...], list[int]] = {}
    for row, key in enumerate(keys):
        found.setdefault(key, []).append(row)
    return {key: np.asarray(rows) for key, rows in found.items()}


def _text(frame: pl.DataFrame, name: str) -> list[str]:
    return [str(one or "") for one in frame[name].to_list()] if name in frame.columns else [""] * frame.height


def _container(
    path: Path, key: tuple[str, ...], rows: np.ndarray[Any, Any], frame: pl.DataFrame, numbers: Numbers
) -> ContainerUsage:
    namespace, workload, container = key
    mine = {name: values[rows] for name, values in numbers.items()}
    pods = np.asarray(_text(frame, "pod"))[rows]
    time_s, step_s = _grid(path, mine["time_s"], workload)
    at = np.rint((mine["time_s"] - time_s[0]) / step_s).astype(np.int64)
    names, replica = np.unique(pods, return_inverse=True)
    shape = (len(names), len(time_s))
    cpu = _rates(mine, replica) if CPU not in mine else mine[CPU]
    memory = _laid(shape, replica, at, mine["memory_bytes"])
    laid = _laid(shape, replica, at, cpu)
    counted = _laid((1, len(time_s)), np.zeros_like(replica), at, mine["replicas"])[0] if "replicas" in mine else None
    return ContainerUsage(
        namespace=namespace or None, workload=workload, container=container or workload, time_s=time_s, step_s=step_s,
        cpu_cores=laid, memory_bytes=memory, largest=False,
        replicas=counted,
        given=Given(**{name: _last(mine.get(name)) for name in GIVEN}), autoscaler=_scaler(mine),
        killed_s=mine["time_s"][np.nan_to_num(mine["out_of_memory"]) > 0] if "out_of_memory" in mine else np.empty(0),
        started_s=_starts(laid, time_s), throttled_share=_mean(mine.get("throttled_share")),
        surge_pods=_last(mine.get("max_surge_pods")), away_pods=_last(mine.get("max_unavailable_pods")),
        notes=_notes(laid, time_s),
    )  # fmt: skip


def _grid(path: Path, time_s: FloatArray, workload: str) -> tuple[FloatArray, float]:
    """The common grid: from the first to the last time by the usual pause, so that a gap is a gap."""
    if np.isnan(time_s).any():
        raise InputError(f"{path}: {workload}: a row has no time_s", cure="Give seconds since 1970 in every row.")
    distinct = np.unique(time_s)
    step_s = float(np.median(np.diff(distinct))) if len(distinct) > 1 else 60.0
    count = round((distinct[-1] - distinct[0]) / step_s) + 1
    if count > MOST_POINTS:
        cure = "Give times with an even pause between them."
        raise InputError(f"{path}: {workload}: {count:,} steps of {step_s:g} s between first and last time", cure=cure)
    return distinct[0] + step_s * np.arange(count), step_s


def _laid(
    shape: tuple[int, int], replica: np.ndarray[Any, Any], at: np.ndarray[Any, Any], values: FloatArray
) -> FloatArray:
    laid = np.full(shape, np.nan)
    laid[replica, at] = values
    return laid


def _rates(mine: Numbers, replica: np.ndarray[Any, Any]) -> FloatArray:
    """Cores from a counter of CPU seconds: its rise since the row before; from a reset on it began again at zero."""
    rates = np.full(len(replica), np.nan)
    for one in np.unique(replica):
        rows = np.flatnonzero(replica == one)
        rows = rows[np.argsort(mine["time_s"][rows], kind="stable")]
        counter, pause = mine[COUNTER][rows], np.diff(mine["time_s"][rows])
        rise = np.diff(counter)
        rates[rows[1:]] = np.where(rise < 0.0, counter[1:], rise) / np.where(pause > 0.0, pause, np.nan)
    return rates


def _starts(cpu: FloatArray, time_s: FloatArray) -> FloatArray:
    """When a replica's samples begin after none, the first moment of the history apart."""
    there = np.isfinite(cpu)
    begins = there[:, 1:] & ~there[:, :-1]
    return np.unique(time_s[1:][begins.any(axis=0)])


def _last(values: FloatArray | None) -> float | None:
    known = values[np.isfinite(values)] if values is not None else np.empty(0)
    return float(known[-1]) if len(known) else None


def _mean(values: FloatArray | None) -> float | None:
    known = values[np.isfinite(values)] if values is not None else np.empty(0)
    return float(known.mean()) if len(known) else None


def _scaler(mine: Numbers) -> Autoscaler | None:
    target, least, most = (_last(mine.get(name)) for name in SCALER)
    if target is None and least is None and most is None:
        return None
    return Autoscaler(
        target=target, least=None if least is None else int(least), most=None if most is None else int(most)
    )


def _notes(cpu: FloatArray, time_s: FloatArray) -> tuple[str, ...]:
    absent = 1.0 - float(np.isfinite(cpu).any(axis=0).mean())
    return (f"{100 * absent:.1f} % of the times have no sample",) if absent > 0.01 else ()
