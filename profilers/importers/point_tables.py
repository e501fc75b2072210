"""Reads a table of published closed-loop points."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from profilers.importers.cells import Cells
from profilers.importers.trace_files import TraceFile, open_trace, read_columns
from specs.errors import InputError
from specs.points import PointRow, RolePoint
from specs.reading import nearest

WIDEST = 0.5
"""A number of up to this much is the width of a spread, a larger one its lower end."""
MOST = 2.0
REQUIRED = ("model", "precision", "tp", "pp", "isl", "osl", "concurrency", "ttft_ms", "tpot_ms")
ROLES = ("prefill", "decode")
OPTIONAL = (
    "engine", "engine_version", "dp", "ep", "moe_tp", "prefill_tp", "prefill_workers", "prefill_batch", "decode_tp",
    "decode_workers", "decode_batch",
    "prompts_per_concurrency", "length_spread",
)  # fmt: skip


def read_points(path: str | Path) -> tuple[PointRow, ...]:
    """Read a CSV of `model,precision,tp,pp,isl,osl,concurrency,ttft_ms,tpot_ms` and the optional columns.

    Optional: `engine`, `engine_version`, `dp`, `ep`, `moe_tp`, `prefill_tp|_workers|_batch`, `decode_…`,
    `prompts_per_concurrency`, `length_spread`. An empty precision is bf16, an empty or zero degree 1, an empty
    measured time unknown. A ``length_spread`` is a range (`0.8-1`), a width of up to a half (`0.2`: lengths from 0.8
    to 1 of the nominal; `0`: all equal) or a lower end above that (`0.8`). Raises `InputError` naming row, column
    and value.
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
        others = [name for name in file.names if name not in REQUIRED + OPTIONAL]
        hints = ", ".join(f"{name!r}{nearest(name, others)}" for name in missing)
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
    if name == "length_spread":
        return _spreads(cells, name, text.fill_null("").to_list())
    values = cells.numbers(name)
    whole = name not in ("ttft_ms", "tpot_ms", "prompts_per_concurrency")
    degree = name in OPTIONAL and whole  # some tables write 0 for a degree that does not apply
    least = 0.0 if degree else (1.0 if whole else 1e-9)
    wrong = ~np.isfinite(values) | (values < least) | (whole & (values != np.floor(values)))
    required = name in ("isl", "osl", "concurrency")
    cells.refuse(wrong & (required | ~empty), name, "a whole number of 1 or more" if whole else "a number above zero")
    absent = empty | (degree & (values == 0))
    return [None if blank else (int(v) if whole else float(v)) for blank, v in zip(absent, values, strict=True)]


def _spreads(cells: Cells, name: str, texts: list[str]) -> list[tuple[float, float] | None]:
    found = [_spread(text) for text in texts]
    wrong = np.array([bool(text) and spread is None for text, spread in zip(texts, found, strict=True)])
    cells.refuse(wrong, name, "a range such as 0.8-1, or a width such as 0.2")
    return found


def _spread(text: str) -> tuple[float, float] | None:
    match = re.fullmatch(r"(\d*\.?\d+)(?:\s*[-–:]\s*(\d*\.?\d+))?", text)
    if not match:
        return None
    low, high = float(match[1]), float(match[2]) if match[2] else 1.0
    if not match[2] and low <= WIDEST:
        low = 1.0 - low
    return (low, high) if 0 < low <= high <= MOST else None


def _point(row: int, cells: dict[str, Any]) -> PointRow:
    given = {name: value for name, value in cells.items() if value is not None}
    plain = {name: value for name, value in given.items() if not name.startswith(ROLES) and not name.endswith("_ms")}
    plain |= {f"{name}_s": given[f"{name}_ms"] / 1e3 for name in ("ttft", "tpot") if f"{name}_ms" in given}
    shown = {name: "-".join(map(str, value)) if isinstance(value, tuple) else value for name, value in given.items()}
    roles = {role: _role(given, role) for role in ROLES}
    return PointRow(row=row, columns=shown, prefill=roles["prefill"], decode=roles["decode"], **plain)


def _role(given: dict[str, Any], role: str) -> RolePoint | None:
    parts = {part: given[f"{role}_{part}"] for part in ("tp", "workers", "batch") if f"{role}_{part}" in given}
    return RolePoint(**parts) if "tp" in parts else None
