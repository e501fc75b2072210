"""Reads samples saved from Prometheus: answers of range queries, or VictoriaMetrics' export, of raw metrics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from profilers.importers.json_files import json_lines, parse_json, read_bytes
from profilers.prometheus.discovery import Selection
from profilers.prometheus.families import FAMILIES, Family, workload_of
from specs.errors import InputError
from specs.history import HistoryQuantity, Recorded, Samples
from specs.trace import FloatArray

MOST_POINTS = 1_000_000  # of time; beyond it a stray sample has stretched the grid
LONGEST_STEP = 2.5  # a pause longer than so many usual ones is a gap
Series = tuple[dict[str, str], FloatArray, FloatArray]
Key = tuple[tuple[str | None, str], HistoryQuantity, str]


def read_export(paths: list[Path], selection: Selection) -> Recorded:
    """Return the history in the files at ``paths``: counters as rates, with resets as Prometheus counts them.

    The step is the usual pause between samples. Series with the same labels fill each other's gaps. Raises
    `InputError` for another form, a file that is cut off, or samples of no known metric.
    """
    notes: list[str] = []
    series = _joined([one for path in paths for one in _series(path, notes)], notes)
    known = [(found, one) for one in series if (found := _known(one[0], selection))]
    if not known:
        names = sorted({labels.get("__name__", "(no name)") for labels, _, _ in series})[:5]
        cure = "Save raw metrics such as container_cpu_usage_seconds_total or http_request_duration_seconds_bucket."
        raise InputError(f"{paths[0]}: holds no metric that is read, only {', '.join(names)}", cure=cure)
    step_s = _usual_pause([times for _, (_, times, _) in known])
    start_s = min(float(times[0]) for _, (_, times, _) in known)
    count = round((max(float(times[-1]) for _, (_, times, _) in known) - start_s) / step_s) + 1
    if count > MOST_POINTS:
        raise InputError(f"{paths[0]}: spans {count:,} steps of {step_s:g} s", cure="Export a shorter range.")
    values = _values(known, start_s, step_s, count)
    time_s = start_s + step_s * np.arange(count, dtype=np.float64)
    return Recorded(
        source=", ".join(path.name for path in paths), time_s=time_s, step_s=step_s,
        notes=tuple(notes),
        series=tuple(
            Samples(
                workload=named[1], namespace=named[0], quantity=quantity, values=row, labels={"le": le} if le else {}
            )
            for (named, quantity, le), row in sorted(values.items(), key=str)
            if np.isfinite(row).any()
        ),
    )  # fmt: skip


def increments(times: FloatArray, values: FloatArray, longest_s: float) -> FloatArray:
    """Rate per second of a counter at each time but the first: NaN across a gap longer than ``longest_s``.

    A counter that falls was reset, and has grown by what it shows (std: Prometheus' `increase`).
    """
    grown = np.diff(values)
    grown = np.where(grown < 0.0, values[1:], grown)
    pauses = np.diff(times)
    rates: FloatArray = np.where(pauses <= longest_s, grown / pauses, np.nan)
    return rates


def _usual_pause(times: list[FloatArray]) -> float:
    pauses = np.concatenate([np.diff(one) for one in times])
    return float(np.median(pauses)) if pauses.size else 60.0


def _series(path: Path, notes: list[str]) -> list[Series]:
    data = read_bytes(path)
    first = data.lstrip().split(b"\n", 1)[0]
    try:
        if b'"timestamps"' in first:
            lines = list(json_lines(data, path, notes))
            return [_columns(one["metric"], np.array(one["timestamps"]) / 1e3, one["values"]) for one in lines]
        answer = parse_json(data, path)
        answer = answer.get("data", answer) if isinstance(answer, dict) else answer
        return [_columns(one["metric"], [v[0] for v in one["values"]], [v[1] for v in one["values"]])
                for one in answer["result"]]  # fmt: skip
    except (KeyError, TypeError, ValueError, IndexError) as error:
        cure = "Give answers of /api/v1/query_range, or VictoriaMetrics' /api/v1/export."
        raise InputError(f"{path}: not samples of Prometheus ({type(error).__name__})", cure=cure) from None


def _columns(labels: Mapping[str, Any], times: Any, values: Any) -> Series:
    at, row = np.array(times, dtype=np.float64), np.array(values, dtype=np.float64)
    if at.shape != row.shape:
        raise ValueError("times and values differ in number")
    sound = np.isfinite(at) & np.isfinite(row)
    at, row = at[sound], row[sound]
    distinct, first = np.unique(at, return_index=True)
    return {str(key): str(value) for key, value in labels.items()}, distinct, row[first]


def _joined(series: list[Series], notes: list[str]) -> list[Series]:
    """One series per set of labels: files of successive ranges, or duplicates whose samples fill each other's gaps."""
    together: dict[tuple[tuple[str, str], ...], list[Series]] = {}
    for one in series:
        if one[1].size:
            together.setdefault(tuple(sorted(one[0].items())), []).append(one)
    found = []
    for parts in together.values():
        times, first = np.unique(np.concatenate([part[1] for part in parts]), return_index=True)
        found.append((parts[0][0], times, np.concatenate([part[2] for part in parts])[first]))
    twice = sum(len(parts) > 1 for parts in together.values())
    if twice:
        notes.append(f"{twice} series came more than once: where they overlap, the first was taken")
    return found


def _known(labels: dict[str, str], selection: Selection) -> tuple[Family, str, tuple[str | None, str]] | None:
    """The family, the part of it (`_count`, …) and the workload of a series, where all three are known and wanted."""
    name = labels.get("__name__", "")
    for family in FAMILIES:
        parts = ("_count", "_sum", "_bucket") if family.kind == "histogram" else ("",)
        part = next((part for part in parts if name == family.metric + part), None)
        named = workload_of(labels) if part is not None and _counts(family, labels) else None
        if part is not None and named and _wanted(labels, named, selection):
            return family, part, named
    return None


def _counts(family: Family, labels: dict[str, str]) -> bool:
    if family.metric.startswith("container_"):
        return labels.get("container", "") not in ("", "POD")
    return not family.metric.startswith("istio_") or labels.get("reporter") == "destination"


def _wanted(labels: dict[str, str], named: tuple[str | None, str], selection: Selection) -> bool:
    if selection.namespaces and named[0] not in selection.namespaces:
        return False
    for text in selection.labels:
        name, equals, value = text.partition("=")
        if not equals or name[-1:] in ("!", "") or value[:1] == "~":
            raise InputError(f"--label {text!r}: with --export only NAME=VALUE is read", cure="Leave other forms out.")
        if labels.get(name, "") != value:
            return False
    return selection.wants(named[1])


def _values(known: Any, start_s: float, step_s: float, count: int) -> dict[Key, FloatArray]:
    rows: dict[Key, FloatArray] = {}
    replicas: dict[tuple[str | None, str], FloatArray] = {}
    for (family, part, named), (labels, times, values) in known:
        key = (named, _quantity(family, part), _bound(labels, family) if part == "_bucket" else "")
        if family.kind != "memory":
            values, times = increments(times, values, LONGEST_STEP * step_s), times[1:]
        scale = family.scale if part == "_sum" else 1.0
        at = np.rint((times - start_s) / step_s).astype(np.int64)
        row = np.full(count, np.nan)
        row[at] = values * scale
        seen = rows.get(key)
        rows[key] = row if seen is None else np.where(np.isnan(seen), row, seen + np.nan_to_num(row))
        if family.kind == "cpu":
            replicas.setdefault(named, np.zeros(count))
            replicas[named] += np.isfinite(row)
    rows |= {(named, "replicas", ""): np.where(n > 0, n, np.nan) for named, n in replicas.items()}
    return rows


def _quantity(family: Family, part: str) -> HistoryQuantity:
    if family.kind == "cpu":
        return "cpu_cores"
    if family.kind == "memory":
        return "memory_bytes"
    quantities: dict[str, HistoryQuantity] = {
        "_count": "requests_per_s", "_sum": "latency_sum_s_per_s", "_bucket": "latency_bucket_per_s",
    }  # fmt: skip
    return quantities[part]


def _bound(labels: dict[str, str], family: Family) -> str:
    bound = labels.get("le", "+Inf")
    return bound if bound == "+Inf" else f"{float(bound) * family.scale:g}"
