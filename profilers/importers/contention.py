"""Reads rows of contention from a table (CSV, Parquet): one per container and window, with its neighbours."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from profilers.importers.frames import read_table
from specs.contention import INTENSITIES, ContentionRows, SlowdownQuantity
from specs.errors import InputError
from specs.explaining import nearest
from specs.reading import sha256
from specs.trace import FloatArray, IntArray

VALUES: tuple[SlowdownQuantity, ...] = ("cpi", "slowdown", "latency_s", "cpu_delay", "cpu_stall")
SIGNS = ("llc_mpki", "stalled_share", "throttled_share", "steal_share", "cpu_pressure")
TEXT = ("app", "node_type", "node", "window", "qos")
KNOWN = (*TEXT, *VALUES, *SIGNS, *INTENSITIES, *(f"other_{name}" for name in INTENSITIES), "load")
MOST_LEFT_OUT = 0.5
LONGEST_GAP = 1000  # windows; a longer gap counts as one of so many
FORM = "columns app, node_type, one of " + ", ".join(VALUES) + ", and other_… or node and window"


def read_contention(path: Path) -> ContentionRows:
    """Read the rows of one table; raises `InputError` naming the column or row that is wrong.

    Rows without a value are left out, and the notes say how many. Neighbours' intensities are taken from the columns
    `other_…`, else summed over the rows of the same node and window.
    """
    frame = _read(path)
    quantity = _checked(frame, path)
    value = _numbers(frame, quantity, path, above_zero=True)
    node, node_names = _numbered(frame, "node")
    window, window_names = _windows(frame)
    own = {name: _numbers(frame, name, path) for name in INTENSITIES if name in frame.columns}
    others = _others(frame, path, own, node, window)
    kept, notes = _whole([value, *own.values(), *others.values()], path)
    figures = [name for name in frame.columns if name.startswith("node_") and name != "node_type"]
    signs = [name for name in SIGNS if name in frame.columns]
    return ContentionRows(
        quantity=quantity, app=_text(frame, "app", path)[kept], node_type=_text(frame, "node_type", path)[kept],
        value=value[kept], own={name: values[kept] for name, values in own.items()},
        others={name: values[kept] for name, values in others.items()},
        load=_numbers(frame, "load", path)[kept] if "load" in frame.columns else None,
        node_figures={name: _numbers(frame, name, path)[kept] for name in figures},
        node=node[kept], window=window[kept], node_names=node_names, window_names=window_names,
        qos=_text(frame, "qos", path)[kept] if "qos" in frame.columns else None,
        signs={name: _numbers(frame, name, path)[kept] for name in signs},
        inputs={path.name: sha256(path)}, notes=tuple(notes),
    )  # fmt: skip


def _read(path: Path) -> pl.DataFrame:
    if not path.exists():
        raise InputError(f"{path}: no such file", cure=f"Give a table with {FORM}.")
    if path.is_dir():
        raise InputError(f"{path}: is a directory, expected a table", cure=f"Give a table with {FORM}.")
    frame = read_table(path)
    if frame.is_empty():
        raise InputError(f"{path}: has no rows", cure=f"Give a table with {FORM}.")
    return frame


def _checked(frame: pl.DataFrame, path: Path) -> SlowdownQuantity:
    """Return the one quantity that the table measures, after its columns were found to be known."""
    unknown = [name for name in frame.columns if name not in KNOWN and not name.startswith("node_")]
    if unknown:
        raise InputError(
            f"{path}: unknown column {unknown[0]!r}{nearest(unknown[0], list(KNOWN))}",
            cure=f"Known: {', '.join(KNOWN)}, and numbers of the node as node_….",
        )
    for name in ("app", "node_type"):
        if name not in frame.columns:
            raise InputError(f"{path}: column {name!r} is missing", cure=f"Give a table with {FORM}.")
    found = [name for name in VALUES if name in frame.columns]
    if len(found) != 1:
        what = "none of them" if not found else " and ".join(found)
        raise InputError(f"{path}: one column of {', '.join(VALUES)} is expected, found {what}", cure="Keep one.")
    return found[0]


def _whole(columns: list[FloatArray], path: Path) -> tuple[npt.NDArray[np.bool_], list[str]]:
    """Return which rows have every figure that is needed, and say how many have not; refuse when most have not.

    Sums over neighbours are taken before: a neighbour whose own value lacks still presses.
    """
    kept = np.asarray(~np.isnan(np.column_stack(columns)).any(axis=1))
    left_out = int((~kept).sum())
    if left_out > MOST_LEFT_OUT * len(kept):
        raise InputError(
            f"{path}: {left_out} of {len(kept)} rows have gaps",
            cure="Give a stretch in which most windows were measured.",
        )
    return kept, ([f"{path.name}: {left_out} of {len(kept)} rows have gaps and are left out"] if left_out else [])


def _text(frame: pl.DataFrame, name: str, path: Path) -> npt.NDArray[np.str_]:
    if frame[name].null_count():
        at = int(frame[name].is_null().arg_max() or 0)
        raise InputError(f"{path}: row {at + 2}: {name}: found nothing, expected a name")
    return np.array([str(value) for value in frame[name].to_list()], dtype=np.str_)


def _numbers(frame: pl.DataFrame, name: str, path: Path, *, above_zero: bool = False) -> FloatArray:
    """Return a column as numbers of at least 0, NaN where empty; raises `InputError` naming a row that is not."""
    column = frame[name]
    if not column.dtype.is_numeric():
        cast = column.cast(pl.Float64, strict=False)
        bad = int((cast.is_null() & column.is_not_null()).arg_max() or 0)
        if (cast.is_null() & column.is_not_null()).any():
            raise InputError(f"{path}: row {bad + 2}: {name}: found {column[bad]!r}, expected a number")
        column = cast
    values: FloatArray = column.cast(pl.Float64).to_numpy().astype(np.float64)
    wrong = np.isinf(values) | (values < 0) | ((values <= 0) & above_zero)
    if wrong.any():
        at = int(wrong.argmax())
        expected = "a number above 0" if above_zero else "a number of at least 0"
        raise InputError(
            f"{path}: row {at + 2}: {name}: found {values[at]:g}, expected {expected}",
            cure="Counters that were reset show as negative: leave such windows out.",
        )
    return values


def _numbered(frame: pl.DataFrame, name: str) -> tuple[IntArray, tuple[str, ...]]:
    """Number the distinct values of a column in their order; −1 everywhere where the column is absent."""
    if name not in frame.columns:
        return np.full(len(frame), -1, dtype=np.int64), ()
    names, at = np.unique(frame[name].to_numpy(), return_inverse=True)
    return at.astype(np.int64), tuple(str(value) for value in names)


def _windows(frame: pl.DataFrame) -> tuple[IntArray, tuple[str, ...]]:
    """Number windows; numbers and times by their usual step, so that a window that is missing leaves a gap."""
    if "window" not in frame.columns:
        return _numbered(frame, "window")
    names = [str(value) for value in frame["window"].to_list()]
    seconds = np.array([_seconds(name) for name in names])
    return _numbered(frame, "window") if np.isnan(seconds).any() else number_times(seconds, names)


def _seconds(text: str) -> float:
    """Return a number or a time in ISO 8601 as seconds; NaN where it is neither."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        return float("nan")


def number_times(seconds: FloatArray, names: list[str]) -> tuple[IntArray, tuple[str, ...]]:
    """Return each time's place on a grid of their median step, and the name of every place, empty where none lies."""
    distinct, first, at = np.unique(seconds, return_index=True, return_inverse=True)
    if len(distinct) == 1:
        return np.zeros(len(seconds), dtype=np.int64), (names[0],)
    gaps = np.diff(distinct)
    steps = np.clip(np.rint(gaps / np.median(gaps)), 1, LONGEST_GAP).astype(np.int64)
    place = np.concatenate([[0], np.cumsum(steps)])
    labels = [""] * (int(place[-1]) + 1)
    for number, row in zip(place, first, strict=True):
        labels[number] = names[row]
    return place[at], tuple(labels)


def _others(
    frame: pl.DataFrame, path: Path, own: dict[str, FloatArray], node: IntArray, window: IntArray
) -> dict[str, FloatArray]:
    given = [name for name in INTENSITIES if f"other_{name}" in frame.columns]
    if given:
        return {name: _numbers(frame, f"other_{name}", path) for name in given}
    if not own or (node < 0).any() or (window < 0).any():
        raise InputError(
            f"{path}: nothing says what the neighbours do",
            cure="Add other_cpu_cores (and other_llc_misses_per_s, other_memory_gb_per_s), or node, window and "
            "cpu_cores, of which the sums are taken.",
        )
    return {name: neighbours(values, node, window) for name, values in own.items()}


def neighbours(values: FloatArray, node: IntArray, window: IntArray) -> FloatArray:
    """Return for each row the sum of ``values`` over the other rows of the same node and window."""
    group = node * (int(window.max(initial=0)) + 1) + window
    _, at = np.unique(group, return_inverse=True)
    known = np.nan_to_num(values)
    sums = np.asarray(np.bincount(at, weights=known)[at], dtype=np.float64)
    return np.maximum(sums - known, 0.0)
