"""Reads a table of published closed-loop points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from profilers.importers.cells import Cells
from profilers.importers.trace_files import TraceFile, open_trace, read_columns
from specs.errors import InputError
from specs.points import Point, RolePoint
from specs.reading import nearest

REQUIRED = ("model", "precision", "tp", "pp", "isl", "osl", "concurrency", "ttft_ms", "tpot_ms")
COUNTS = ("tp", "pp", "dp", "ep", "moe_tp")
ROLES = ("prefill", "decode")
OPTIONAL = (
    "engine", "engine_version", "dp", "ep", "moe_tp", *(f"{role}_{part}" for role in ROLES for part in ("tp", "workers", "batch")),
    "prompts_per_concurrency", "length_spread",
)  # fmt: skip


def read_points(path: str | Path) -> tuple[Point, ...]:
    """Read a CSV of `model,precision,tp,pp,isl,osl,concurrency,ttft_ms,tpot_ms` and the optional columns.

    Optional: `engine`, `engine_version`, `dp`, `ep`, `moe_tp`, `prefill_tp|_workers|_batch`, `decode_…`,
    `prompts_per_concurrency`, `length_spread`. An empty precision is bf16, an empty degree 1, an empty measured time
    unknown. Raises `InputError` naming row, column and value.
    """
    file = open_trace(path)
    _check_columns(file)
    known = [name for name in (*REQUIRED, *OPTIONAL) if name in file.names]
    cells = Cells(file=file, frame=read_columns(file, known))
    columns = {name: _column(cells, name) for name in known}
    rows = cells.frame["row"].to_list()
    return tuple(_point(row, {name: columns[name][n] for name in known}) for n, row in enumerate(rows))


def _check_columns(file: TraceFile) -> None:
    missing = [name for name in REQUIRED if name not in file.names]
    if missing:
        hints = ", ".join(f"{name!r}{nearest(name, list(file.names))}" for name in missing)
        raise InputError(
            f"{file.path}: missing column {hints}; found {', '.join(file.names[:12])}",
            cure=f"A table of points has {','.join(REQUIRED)}.",
        )


def _column(cells: Cells, name: str) -> list[Any]:
    """Text, or numbers with None where a cell is empty; refuses a number that cannot be."""
    import polars as pl

    text = cells.frame[name].cast(pl.String).str.strip_chars()
    empty = (text.is_null() | (text == "")).fill_null(True).to_numpy()
    if name in ("model", "precision", "engine", "engine_version"):
        if name == "model":
            cells.refuse(empty, name, "a model")
        return [None if blank else str(value) for blank, value in zip(empty, text, strict=True)]
    values = cells.numbers(name)
    whole = name not in ("ttft_ms", "tpot_ms", "length_spread", "prompts_per_concurrency")
    least = 0.0 if name.endswith("_batch") else (1.0 if whole else 1e-9)
    wrong = ~np.isfinite(values) | (values < least) | (whole & (values != np.floor(values)))
    if name == "length_spread":
        wrong |= values > 1
    required = name in ("isl", "osl", "concurrency")
    cells.refuse(wrong & (required | ~empty), name, "a whole number of 1 or more" if whole else "a number above zero")
    return [None if blank else (int(v) if whole else float(v)) for blank, v in zip(empty, values, strict=True)]


def _point(row: int, cells: dict[str, Any]) -> Point:
    given = {name: value for name, value in cells.items() if value is not None}
    plain = {name: value for name, value in given.items() if not name.startswith(ROLES) and not name.endswith("_ms")}
    times = {f"{name}_s": given[f"{name}_ms"] / 1e3 for name in ("ttft", "tpot") if f"{name}_ms" in given}
    return Point(row=row, prefill=_role(given, "prefill"), decode=_role(given, "decode"), **plain, **times)


def _role(given: dict[str, Any], role: str) -> RolePoint | None:
    parts = {part: given[f"{role}_{part}"] for part in ("tp", "workers", "batch") if f"{role}_{part}" in given}
    return RolePoint(**parts) if "tp" in parts else None
