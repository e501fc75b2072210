"""A history as files: Parquet with one column per series, and the document beside it that says what each is."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from specs.base import Metadata
from specs.errors import InputError
from specs.history import Gap, History, HistorySpec, Recorded, Samples, SeriesInfo
from specs.reading import read_document, sha256
from specs.trace import FloatArray
from specs.writing import to_yaml, write_atomically

TIME = "time_s"


def write_history(recorded: Recorded, path: Path, *, force: bool = False) -> History:
    """Write ``recorded`` to ``path`` (YAML) and the Parquet file of its name beside it, each whole or not at all.

    The document is written last. Raises `InputError` where a file exists already, without ``force``, or cannot be
    written.
    """
    import polars as pl

    data = path.with_suffix(".parquet")
    for file in (path, data):
        if file.exists() and not force:
            raise InputError(f"{file}: exists already", cure="Choose another name, or add --force to replace it.")
    columns: dict[str, Any] = {TIME: recorded.time_s}
    columns |= {f"s{number}": one.values for number, one in enumerate(recorded.series)}
    frame = pl.DataFrame(columns).fill_nan(None)
    try:
        _write_parquet(frame, data)
    except OSError as error:
        raise InputError(f"{data}: cannot be written: {error.strerror}", cure="Check the folder and space.") from None
    document = History(metadata=Metadata(name=path.stem), spec=_spec(recorded, data))
    write_atomically(path, to_yaml(document), force=force)
    return document


def read_history_file(path: Path) -> Recorded:
    """Read the history that ``path`` describes; raises `InputError` where its samples are not those it names."""
    import polars as pl

    spec = read_document(path, History).spec
    data = path.parent / spec.data
    try:
        if spec.sha256 and sha256(data) != spec.sha256:
            raise InputError(f"{data}: is not the file that {path} names: its sha256 differs", cure="Read it again.")
        frame = pl.read_parquet(data).fill_null(float("nan"))
        values = {name: frame[name].to_numpy() for name in (TIME, *(one.column for one in spec.series))}
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{data}: cannot be read: {error}", cure="It lies beside the document; copy both.") from None
    series = tuple(
        Samples(
            workload=one.workload,
            namespace=one.namespace,
            quantity=one.quantity,
            labels=one.labels,
            values=values[one.column],
        )
        for one in spec.series
    )
    return Recorded(
        source=spec.source, time_s=values[TIME], step_s=spec.step_s, window_s=spec.window_s, series=series,
        queries=spec.queries, queries_put=spec.queries_put, missing=spec.missing, notes=spec.notes,
    )  # fmt: skip


def gaps(values: FloatArray, time_s: FloatArray) -> tuple[Gap, ...]:
    """Return each stretch of NaN in ``values``, by the times of its first and last."""
    absent = np.concatenate([[False], np.isnan(values), [False]])
    edges = np.flatnonzero(absent[1:] != absent[:-1])
    return tuple(
        Gap(from_s=float(time_s[first]), to_s=float(time_s[after - 1]))
        for first, after in zip(edges[::2], edges[1::2], strict=True)
    )


def _spec(recorded: Recorded, data: Path) -> HistorySpec:
    series = tuple(
        SeriesInfo(
            column=f"s{number}",
            workload=one.workload,
            namespace=one.namespace,
            quantity=one.quantity,
            labels=one.labels,
            samples=int(np.isfinite(one.values).sum()),
            gaps=gaps(one.values, recorded.time_s),
        )
        for number, one in enumerate(recorded.series)
    )
    return HistorySpec(
        data=data.name, sha256=sha256(data), source=recorded.source, start_s=float(recorded.time_s[0]),
        end_s=float(recorded.time_s[-1]), step_s=recorded.step_s, window_s=recorded.window_s,
        samples=sum(one.samples for one in series),
        queries_put=recorded.queries_put, series=series, queries=recorded.queries, missing=recorded.missing,
        notes=recorded.notes,
    )  # fmt: skip


def _write_parquet(frame: Any, path: Path) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.resolve().parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            frame.write_parquet(file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
