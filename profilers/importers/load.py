"""Reads the files that a Workload document refers to: its trace, rate series, histograms and client tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from profilers.importers.cells import Cells
from profilers.importers.servegen import read_clients
from profilers.importers.trace_files import TraceFile, open_trace, read_columns
from profilers.importers.traces import read_trace
from specs.errors import InputError
from specs.reading import nearest, sha256
from specs.trace import FloatArray, Histogram, Load, RateSeries
from specs.workload import ClientArrivals, DrawnLengths, SeriesArrivals, TraceArrivals, WorkloadSpec


def read_load(workload: WorkloadSpec, base: Path = Path()) -> Load:
    """Read every file that ``workload`` names, relative to the folder ``base``; raises `InputError`."""
    arrivals = workload.arrivals
    load = Load()
    if isinstance(arrivals, TraceArrivals):
        trace = read_trace(
            base / arrivals.trace, columns=arrivals.columns, block_tokens=arrivals.block_tokens, sort=arrivals.sort
        )
        load = Load(trace=trace, inputs={arrivals.trace: trace.sha256}, notes=trace.notes)
    elif isinstance(arrivals, SeriesArrivals):
        path = base / arrivals.series
        load = Load(series=read_series(path), inputs={arrivals.series: sha256(path)})
    elif isinstance(arrivals, ClientArrivals):
        clients, notes = read_clients(arrivals, base)
        inputs = {name: sha256(base / name) for name in (arrivals.clients, arrivals.histograms)}
        load = Load(clients=clients, inputs=inputs, notes=notes)
    return _with_histograms(workload, base, load)


def read_series(path: Path) -> RateSeries:
    """Read a CSV of `t_s,rate_per_s`: times ascend, rates are zero or more and not all zero."""
    file = open_trace(path)
    t_s, rate = _columns(file, ("t_s", "rate_per_s"))
    if len(t_s) < 2 or (np.diff(t_s) <= 0).any():
        at = int(np.argmax(np.diff(t_s) <= 0)) + 2 if len(t_s) > 1 else 1
        raise InputError(f"{path}: row {at}, t_s: times must ascend over two rows or more", cure="Sort the series.")
    if (rate < 0).any() or not rate.any():
        at = int(np.argmin(rate)) + 1
        raise InputError(f"{path}: row {at}, rate_per_s: found {rate[at - 1]:g}", cure="Give rates of zero or more.")
    return RateSeries(t_s=t_s, rate_per_s=rate)


def read_histogram(path: Path) -> Histogram:
    """Read a CSV of `tokens,count`: whole tokens of 1 or more, counts of zero or more and not all zero."""
    tokens, weight = _columns(open_trace(path), ("tokens", "count"))
    bad = (tokens < 1) | (tokens != np.floor(tokens)) | (weight < 0)
    if bad.any() or not weight.any():
        at = int(np.argmax(bad))
        shown = f"{tokens[at]:g},{weight[at]:g}"
        raise InputError(
            f"{path}: row {at + 1}: found {shown}", cure="Give whole tokens of 1 or more, counts of 0 or more."
        )
    return Histogram(tokens=tokens.astype(np.int64), weight=weight)


def _with_histograms(workload: WorkloadSpec, base: Path, load: Load) -> Load:
    if not isinstance(workload.lengths, DrawnLengths):
        return load
    names = (workload.lengths.prompt_tokens.histogram, workload.lengths.output_tokens.histogram)
    prompt, output = (read_histogram(base / name) if name else None for name in names)
    inputs = load.inputs | {name: sha256(base / name) for name in names if name}
    return replace(load, prompt=prompt, output=output, inputs=inputs)


def _columns(file: TraceFile, names: tuple[str, str]) -> tuple[FloatArray, FloatArray]:
    for name in names:
        if name not in file.names:
            hint = nearest(name, list(file.names))
            raise InputError(f"{file.path}: missing column {name!r}{hint}; found {', '.join(file.names)}")
    cells = Cells(file=file, frame=read_columns(file, names))
    first, second = (cells.numbers(name) for name in names)
    for name, values in zip(names, (first, second), strict=True):
        cells.refuse(~np.isfinite(values), name, "a number")
    return first, second
