"""Reads tables of other tools (CSV, CSV.GZ, Parquet) and finds the rows of one model on one device."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from specs.device import DeviceSpec
from specs.errors import InputError
from specs.model import ModelSpec
from specs.profile import Axis, Operator, OperatorTable

TUNED = re.compile(r"(instruct|chat|hf|base|it)(\d{4})?$")  # endings that do not change the architecture
SCORING_CASES = ("silicon_sample.csv",)  # measurements that predictions are scored on: never read, even by mistake
TABLE_SUFFIXES = (".parquet", ".csv", ".csv.gz")


def table_files(paths: Iterable[Path]) -> list[Path]:
    """Every table below the paths, sorted."""
    found: set[Path] = set()
    for path in paths:
        inside = path.rglob("*") if path.is_dir() else [path]
        found.update(p for p in inside if p.name.endswith(TABLE_SUFFIXES) and p.name not in SCORING_CASES)
    return sorted(found)


def read_table(path: Path) -> pl.DataFrame:
    """Read one table; raises InputError naming the file where it is none."""
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        return pl.read_csv(path, infer_schema_length=None)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{path}: not a readable table: {str(error).splitlines()[0]}") from None


def require_columns(frame: pl.DataFrame, path: Path, columns: Iterable[str]) -> None:
    """Raise InputError naming the first column that ``path`` lacks."""
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        cure = "Check --form, and that the file is of that tool."
        raise InputError(f"{path}: column {missing[0]!r} is missing; it has {', '.join(frame.columns[:8])}", cure=cure)


def plain(name: str) -> str:
    """A name reduced to lower-case letters and digits, for comparison."""
    return "".join(character for character in name.lower() if character.isalnum())


def names_model(text: str, model: ModelSpec) -> bool:
    """Whether ``text`` is the model's name or one of its published ids, without organisation and tuning."""
    known = {plain(name.split("/")[-1]) for name in (model.name, *model.aliases)}
    return TUNED.sub("", plain(text.split("/")[-1])) in {TUNED.sub("", name) for name in known}


def names_device(text: str, device: DeviceSpec) -> bool:
    """Whether ``text`` is the device's name, one of its aliases, or begins one of them (`a100` for `a100-80gb`)."""
    wanted = plain(text)
    return any(plain(name).startswith(wanted) for name in (device.name, *device.aliases))


def device_of(path: Path, device: DeviceSpec) -> bool:
    """Whether the file's name or a folder above it names the device."""
    words = re.split(r"[_\-.]", path.name) + [part for part in path.parts[:-1] for part in (part, *part.split("_"))]
    return any(len(word) > 1 and names_device(word, device) for word in words)


def model_of(path: Path, model: ModelSpec) -> bool:
    """Whether a folder above the file names the model."""
    return any(names_model(part, model) for part in path.parts[:-1])


def pick(frame: pl.DataFrame, column: str, wanted: object, match: object, path: Path) -> pl.DataFrame:
    """Rows whose ``column`` matches; all rows where the column is absent. Raises InputError where none match."""
    if column not in frame.columns:
        return frame
    values = frame[column].unique().sort().to_list()
    kept = [value for value in values if match(str(value), wanted)]  # type: ignore[operator]
    if not kept:
        name = getattr(wanted, "name", wanted)
        raise InputError(
            f"{path}: no row has {column} {name}; it has {', '.join(map(str, values[:8]))}",
            cure=f"Choose another --{'device' if column == 'gpu' else column}, or other files.",
        )
    return frame.filter(pl.col(column).is_in(kept))


def table(
    operator: Operator, frame: pl.DataFrame, axes: dict[Axis, str], latency_us: str, *, tp: int = 1, ep: int = 1,
    calls_per_layer: float = 1.0, layer_kind: int = 0,
) -> OperatorTable:  # fmt: skip
    """An operator table from a frame: ``axes`` maps each axis to its column; repeated points become their median."""
    columns = list(axes.values())
    merged = frame.group_by(columns).agg(pl.col(latency_us).median()).sort(columns)
    return OperatorTable(
        operator=operator, tp=tp, ep=ep, axes=tuple(axes), points=tuple(merged.select(columns).rows()),
        latency_us=tuple(round(float(value), 3) for value in merged[latency_us]),
        calls_per_layer=calls_per_layer, layer_kind=layer_kind,
    )  # fmt: skip
