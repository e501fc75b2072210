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


Known = dict[tuple[Any, str], dict[float, Histogram]]
FIELDS = ("input_tokens", "output_tokens")


def read_clients(arrivals: ClientArrivals, base: Path = Path()) -> tuple[tuple[Client, ...], tuple[str, ...]]:
    """Return each client's windows that begin in the asked span, and notes; times count from the span's start.

    A window without a histogram of its own takes the client's latest earlier one, else its first; a client without
    any takes the equal mixture of the others', and a note says which. Raises `InputError` where columns are missing
    or the span holds no window.
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
    known = _histograms(lengths)
    rows = inside.select(RATES).sort("window_start_s", "client").rows()
    strangers = sorted({row[0] for row in rows} - {client for client, _ in known}, key=str)
    for field in FIELDS:
        pooled = _pooled(known, field, arrivals)
        known |= {(client, field): {0.0: pooled} for client in {row[0] for row in rows} if (client, field) not in known}
    note = f"clients without histograms send lengths of the others: {', '.join(map(str, strangers))}"
    return tuple(_client(row, known, arrivals) for row in rows), (note,) if strangers else ()


def _client(row: tuple[Any, ...], known: Known, arrivals: ClientArrivals) -> Client:
    client, start_s, rate, cv = row
    if not (np.isfinite(rate) and rate >= 0 and np.isfinite(cv) and cv > 0):
        raise InputError(
            f"{arrivals.clients}: client {client}, window {start_s}: rate_rps {rate}, cv {cv}",
            cure="Rates are zero or more, cv is above zero.",
        )
    prompt, output = (_at(known[client, field], start_s) for field in FIELDS)
    return Client(
        start_s=float(start_s) - arrivals.start_s,
        duration_s=arrivals.window_s,
        rate_per_s=float(rate),
        cv=float(cv),
        prompt=prompt,
        output=output,
    )


def _at(windows: dict[float, Histogram], start_s: float) -> Histogram:
    earlier = [at for at in windows if at <= start_s]
    return windows[max(earlier) if earlier else min(windows)]


def _pooled(known: Known, field: str, arrivals: ClientArrivals) -> Histogram:
    parts = [_at(windows, arrivals.start_s) for (_, name), windows in known.items() if name == field]
    if not parts:
        raise InputError(f"{arrivals.histograms}: no rows whose field is {field}", cure="Use ServeGen's length table.")
    weight = np.concatenate([part.weight / part.weight.sum() for part in parts])
    return Histogram(tokens=np.concatenate([part.tokens for part in parts]), weight=weight)


def _histograms(lengths: pl.DataFrame) -> Known:
    known: Known = {}
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
