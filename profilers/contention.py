"""Rows of contention from CPI profiles and tables, by path or by id in the store; what they may be joined to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from profilers.importers.contention import SIGNS, neighbours, number_times, read_contention
from profilers.importers.frames import TABLE_SUFFIXES
from profilers.store import find, listing, open_store
from specs.contention import INTENSITIES, ContentionRows, SlowdownQuantity
from specs.cpi import CpiProfile, CpiWindow
from specs.errors import InputError
from specs.reading import sha256
from specs.trace import FloatArray

POD_ENDING = re.compile(r"-[0-9a-f]{6,10}-[0-9a-z]{5}$")  # what Kubernetes adds to a Deployment's name
LEAST_CORES = 0.01  # below it, waiting over CPU time says nothing
MEASURE = "Measure with `tonnage profile cpi --container …`, or give a table."
QUANTITIES: tuple[SlowdownQuantity, ...] = ("cpi", "cpu_delay", "cpu_stall")


@dataclass(frozen=True)
class _Row:
    app: str
    node_type: str
    node: str
    window_s: float  # seconds since 1970, of the period in which it lies
    figures: dict[str, float]


def contention_rows(measured: Sequence[Path], *, store: str | None = None) -> ContentionRows:
    """Return the rows of ``measured`` (tables, CPI profiles or their ids), or of every CPI profile in the store.

    Raises `InputError` where nothing was measured, or where the sources measure different quantities.
    """
    tables = [path for path in measured if path.name.endswith(TABLE_SUFFIXES)]
    profiles = [path for path in measured if path not in tables]
    parts = [read_contention(path) for path in tables]
    if profiles or not measured:
        parts.append(rows_of_profiles(_profiles(profiles, store)))
    return parts[0] if len(parts) == 1 else _joined(parts)


def _profiles(paths: Sequence[Path], store: str | None) -> dict[str, CpiProfile]:
    """Return profiles by the name under which they are an input of the plan."""
    if paths:
        return {str(path): find(str(path), CpiProfile, store=store) for path in paths}
    opened = open_store(store, create=False)
    ids = [one.id for one in listing(opened, "CpiProfile").profiles]
    if not ids:
        raise InputError(f"store {opened.name}: holds no CpiProfile", cure=MEASURE)
    return {identity: find(identity, CpiProfile, store=store) for identity in ids}


def rows_of_profiles(profiles: dict[str, CpiProfile]) -> ContentionRows:
    """Return one row per container and window; the best quantity that any profile has, others are left out."""
    found = {name: list(_rows(profile)) for name, profile in profiles.items()}
    every = [row for rows in found.values() for row in rows]
    quantity = next((name for name in QUANTITIES if any(name in row.figures for row in every)), None)
    if quantity is None:
        raise InputError(
            f"{', '.join(profiles)}: no window has cycles and instructions, waiting, or pressure", cure=MEASURE
        )
    kept = [row for row in every if quantity in row.figures]
    without = [name for name, rows in found.items() if not any(quantity in row.figures for row in rows)]
    notes = [f"{name} has no {quantity} and is left out" for name in without]
    if quantity != "cpi":
        notes.insert(0, f"no hardware counters: {quantity} stands in for CPI, which it is not")
    inputs = {Path(name).name: sha256(name) if Path(name).exists() else name for name in profiles}
    return _columns(kept, quantity, inputs, notes)


def _columns(rows: list[_Row], quantity: SlowdownQuantity, inputs: dict[str, str], notes: list[str]) -> ContentionRows:
    def column(name: str) -> FloatArray:
        return np.array([row.figures.get(name, np.nan) for row in rows])

    node_names, node = np.unique([row.node for row in rows], return_inverse=True)
    times = np.array([row.window_s for row in rows])
    window, window_names = number_times(times, [_clock(at) for at in times])
    own = {name: column(name) for name in INTENSITIES}
    own = {name: np.nan_to_num(values) for name, values in own.items() if not np.isnan(values).all()}
    return ContentionRows(
        quantity=quantity, app=np.array([row.app for row in rows]), node_type=np.array([row.node_type for row in rows]),
        value=column(quantity), own=own,
        others={name: neighbours(values, node.astype(np.int64), window) for name, values in own.items()},
        node=node.astype(np.int64), window=window, node_names=tuple(map(str, node_names)),
        window_names=window_names, inputs=inputs, notes=tuple(notes),
        signs={name: column(name) for name in SIGNS if not np.isnan(column(name)).all()},
    )  # fmt: skip


def _clock(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _rows(profile: CpiProfile) -> Iterable[_Row]:
    spec = profile.spec
    node_type = spec.cpu or spec.fingerprint or "unknown CPU"
    node = spec.machine.hostname_sha or spec.fingerprint or profile.metadata.name
    starts = [_seconds(w.started) for target in spec.targets for w in target.windows if w.started]
    for target in spec.targets:
        app = POD_ENDING.sub("", target.name)
        for number, window in enumerate(target.windows):
            yield _Row(
                app, node_type, node, _period(window, min(starts, default=0.0), spec.every_s, number), _figures(window)
            )


def _seconds(started: str) -> float:
    return datetime.fromisoformat(started).timestamp()


def _period(window: CpiWindow, first_s: float, every_s: float | None, number: int) -> float:
    """Return when the period began in which a window lies: targets are neighbours within one."""
    length = every_s or 60.0
    if window.started is None:
        return first_s + number * length
    return first_s + length * ((_seconds(window.started) - first_s) // length)


def _figures(window: CpiWindow) -> dict[str, float]:
    found = {name: getattr(window, name) for name in (*SIGNS, "cpi", "cpu_cores")}
    if window.llc_misses is not None and window.window_s:
        found["llc_misses_per_s"] = window.llc_misses / window.window_s
    cores, length = window.cpu_cores, window.window_s
    if window.run_delay_s is not None and length and cores is not None and cores >= LEAST_CORES:
        found["cpu_delay"] = 1.0 + window.run_delay_s / (cores * length)
    if window.cpu_pressure is not None and window.cpu_pressure < 1:
        found["cpu_stall"] = 1.0 / (1.0 - window.cpu_pressure)
    return {name: value for name, value in found.items() if value is not None}


def _joined(parts: list[ContentionRows]) -> ContentionRows:
    """Return the rows of several sources; raises `InputError` where their quantity or columns differ."""
    first = parts[0]
    for part in parts[1:]:
        if part.quantity != first.quantity or set(part.others) != set(first.others):
            names = " and ".join(", ".join(one.inputs) for one in (first, part))
            raise InputError(
                f"{names}: measure {first.quantity} with {', '.join(first.others)}, and {part.quantity} with "
                f"{', '.join(part.others)}",
                cure="Give sources that measure the same.",
            )
    nodes = [f"{name}" for part in parts for name in part.node_names]
    starts = np.cumsum([0, *(len(part.node_names) for part in parts)])
    windows = np.cumsum([0, *(len(part.window_names) for part in parts)])
    return ContentionRows(
        quantity=first.quantity, app=np.concatenate([p.app for p in parts]),
        node_type=np.concatenate([p.node_type for p in parts]), value=np.concatenate([p.value for p in parts]),
        own=_stacked([p.own for p in parts]), others=_stacked([p.others for p in parts]),
        load=np.concatenate([p.load for p in parts if p.load is not None])
        if all(p.load is not None for p in parts) else None,
        node_figures=_stacked([p.node_figures for p in parts]), signs=_stacked([p.signs for p in parts]),
        node=np.concatenate([np.where(p.node < 0, -1, p.node + at) for p, at in zip(parts, starts[:-1], strict=True)]),
        window=np.concatenate(
            [np.where(p.window < 0, -1, p.window + at) for p, at in zip(parts, windows[:-1], strict=True)]
        ),
        node_names=tuple(nodes), window_names=tuple(name for p in parts for name in p.window_names),
        qos=np.concatenate([p.qos for p in parts if p.qos is not None])
        if all(p.qos is not None for p in parts) else None,
        inputs={name: digest for p in parts for name, digest in p.inputs.items()},
        notes=tuple(note for p in parts for note in p.notes),
    )  # fmt: skip


def _stacked(parts: list[dict[str, FloatArray]]) -> dict[str, FloatArray]:
    """Join columns that every part has."""
    shared = [name for name in parts[0] if all(name in part for part in parts)]
    return {name: np.concatenate([part[name] for part in parts]) for name in shared}
