"""Reads tables of published closed-loop points in their neutral CSV form."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

from specs.errors import InputError
from specs.reading import nearest

REQUIRED = ("model", "precision", "tp", "pp", "isl", "osl", "concurrency", "ttft_ms", "tpot_ms")
OPTIONAL = (
    "engine", "engine_version", "dp", "ep", "moe_tp", "prefill_tp", "prefill_workers", "prefill_batch", "decode_tp",
    "decode_workers", "decode_batch", "prompts_per_concurrency", "length_spread",
)  # fmt: skip
TEXTS = ("model", "precision", "engine", "engine_version")


def read_points(path: Path) -> list[dict[str, str | float]]:
    """Rows of the table: texts as they are, numbers as floats (NaN where empty), an empty precision as bf16.

    Raises InputError naming file, line and column for a missing column, a text where a number belongs, or a value
    that is not positive.
    """
    rows: list[dict[str, str | float]] = []
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            reader = csv.DictReader(file)
            _check_header(path, list(reader.fieldnames or []))
            for line, row in enumerate(reader, start=2):
                rows.append(_row(path, line, row))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}", cure="Give a UTF-8 CSV file of points.") from None
    if not rows:
        raise InputError(f"{path}: holds no point", cure=f"Its columns are {', '.join(REQUIRED)}.")
    return rows


def _check_header(path: Path, names: list[str]) -> None:
    for wanted in REQUIRED:
        if wanted not in names:
            raise InputError(f"{path}:1: column {wanted!r} is missing{nearest(wanted, names)}")
    for name in names:
        if name not in REQUIRED + OPTIONAL:
            known = [*REQUIRED, *OPTIONAL]
            raise InputError(f"{path}:1: unknown column {name!r}{nearest(name, known)}; known: {', '.join(known)}")


def _row(path: Path, line: int, row: dict[str, str | None]) -> dict[str, str | float]:
    found: dict[str, str | float] = {}
    for name, text in row.items():
        value = (text or "").strip()
        if name in TEXTS:
            found[name] = value or ("bf16" if name == "precision" else "")
        else:
            found[name] = _number(path, line, name, value)
    return found


def _number(path: Path, line: int, name: str, text: str) -> float:
    if not text:
        if name in REQUIRED:
            raise InputError(f"{path}:{line}: {name}: empty", cure="Fill it in, or leave the row out.")
        return float("nan")
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"{path}:{line}: {name}: expected a number, found {text!r}") from None
    if not 0 < value < float("inf"):
        raise InputError(f"{path}:{line}: {name}: must be positive, found {text}")
    return value
