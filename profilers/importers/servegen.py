"""Reads ServeGen's per-client tables: rates and burstiness per window, and histograms of lengths."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from profilers.importers.trace_files import open_trace, read_columns
from specs.errors import InputError
from specs.reading import nearest
from specs.trace import Client, Histogram
from specs.workload import ClientArrivals

if TYPE_CHECKING:
    import polars as pl

RATES = ("client", "window_start_s", "rate_rps", "cv")
LENGTHS = ("client", "window_start_s", "field", "value", "prob")


def read_clients(arrivals: ClientArrivals, base: Path = Path()) -> tuple[Client, ...]:
    """Return each client's windows that begin in the asked span; times count from its start.

    A window whose client has no histogram of its own takes the client's latest earlier one, else its first.
    Raises `InputError` where columns are missing, the span holds no window, or a client has no histogram.
    """
    import polars as pl

    rates = _table(base / arrivals.clients, RATES)
    lengths = _table(base / arrivals.histograms, LENGTHS)
    ends = arrivals.start_s + arrivals.duration_s
    inside = rates.filter((pl.col("window_start_s") >= arrivals.start_s) & (pl.col("window_start_s") < ends))
    if inside.height == 0:
        first, last = rates["window_start_s"].min(), rates["window_start_s"].max()
        raise InputError(
            f"{arrivals.clients}: no window begins between {arrivals.start_s:g} and {ends:g} s",
            cure=f"Its windows begin from {first!r} to {last!r} s: set start_s and duration_s.",
        )
    known = _histograms(lengths.filter(pl.col("client").is_in(inside["client"].unique().to_list())))
    rows = inside.select(RATES).sort("window_start_s", "client").iter_rows()
    return tuple(_client(row, known, arrivals) for row in rows)


def _client(row: tuple[Any, ...], known: dict[tuple[Any, str], Any], arrivals: ClientArrivals) -> Client:
    client, start_s, rate, cv = row
    if not (np.isfinite(rate) and rate >= 0 and np.isfinite(cv) and cv > 0):
        raise InputError(f"{arrivals.clients}: client {client}, window {start_s}: rate {rate}, cv {cv}")
    return Client(
        start_s=float(start_s) - arrivals.start_s, duration_s=arrivals.window_s, rate_per_s=float(rate), cv=float(cv),
        prompt=_at(known, client, "input_tokens", start_s, arrivals),
        output=_at(known, client, "output_tokens", start_s, arrivals),
    )  # fmt: skip


def _at(
    known: dict[tuple[Any, str], Any], client: object, field: str, start_s: float, arrivals: ClientArrivals
) -> Histogram:
    windows = known.get((client, field))
    if not windows:
        raise InputError(
            f"{arrivals.histograms}: client {client} has no {field}", cure="Use the tables of one workload."
        )
    earlier = [at for at in windows if at <= start_s]
    histogram: Histogram = windows[max(earlier) if earlier else min(windows)]
    return histogram


def _histograms(lengths: pl.DataFrame) -> dict[tuple[Any, str], Any]:
    known: dict[tuple[Any, str], Any] = {}
    for (client, field, start_s), group in lengths.group_by(["client", "field", "window_start_s"], maintain_order=True):
        tokens = np.maximum(group["value"].to_numpy().round().astype(np.int64), 1)
        weight = group["prob"].to_numpy().astype(np.float64)
        known.setdefault((client, str(field)), {})[start_s] = Histogram(tokens=tokens, weight=weight)
    return known


def _table(path: Path, names: tuple[str, ...]) -> pl.DataFrame:
    file = open_trace(path)
    for name in names:
        if name not in file.names:
            hint = nearest(name, list(file.names))
            raise InputError(f"{path}: missing column {name!r}{hint}; found {', '.join(file.names)}")
    if file.layout != "parquet":
        raise InputError(f"{path}: client tables are read from Parquet", cure="Write them as Parquet.")
    return read_columns(file, names)
