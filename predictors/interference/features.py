"""Rows of contention as a matrix: what is known of an application, its node and its neighbours before it runs there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from specs.contention import INTENSITIES, ContentionRows
from specs.trace import FloatArray, IntArray

LOW_SHARE = 0.2
"""The share of an application's rows with least pressure that tell how it runs alone. [ours]"""
LOW_ROWS = 3
MOST_NAMED = 30  # applications that are told apart as neighbours; each is a slope of every application
SAME = 0.01  # how far a sum over neighbours may lie off the rows of its window, relative to the largest
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Table:
    """N rows in numbers: ``app`` and ``node_type`` index the names; ``log_value`` is what is predicted.

    ``pressure`` [N, K]: neighbours' sums, one column per name in ``pressures``. ``figures`` [N, M] of the node.
    ``low`` marks the rows with least pressure of each application and node type.
    """

    apps: tuple[str, ...]
    node_types: tuple[str, ...]
    pressures: tuple[str, ...]
    figure_names: tuple[str, ...]
    own_names: tuple[str, ...]
    app: IntArray
    node_type: IntArray
    log_value: FloatArray
    load: FloatArray  # the column `load`, else the CPU used; NaN where neither is known
    own: FloatArray  # [N, D]
    pressure: FloatArray
    figures: FloatArray
    low: BoolArray
    group: IntArray  # rows of one window lie in one group
    beside: FloatArray  # [N, A] neighbours' CPU by application; [N, 0] where not known, or too many to tell apart

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.log_value)


def table_of(rows: ContentionRows) -> Table:
    """Return ``rows`` as numbers."""
    apps, app = np.unique(rows.app, return_inverse=True)
    types, node_type = np.unique(rows.node_type, return_inverse=True)
    pressures = tuple(name for name in INTENSITIES if name in rows.others)
    pressure = np.column_stack([rows.others[name] for name in pressures])
    unknown = np.full(len(rows), np.nan)
    load = rows.load if rows.load is not None else rows.own.get("cpu_cores", unknown)
    own_names = tuple(name for name in INTENSITIES if name in rows.own)
    alone = (rows.node < 0) | (rows.window < 0)
    group = np.where(alone, -1 - np.arange(len(rows)), rows.node * (rows.window.max(initial=0) + 1) + rows.window)
    figure_names = tuple(sorted(rows.node_figures))
    return Table(
        apps=tuple(map(str, apps)), node_types=tuple(map(str, types)), pressures=pressures, figure_names=figure_names,
        own_names=own_names, app=app.astype(np.int64), node_type=node_type.astype(np.int64),
        log_value=np.log(rows.value), load=load, own=_stack([rows.own[name] for name in own_names], len(rows)),
        pressure=pressure, figures=_stack([rows.node_figures[name] for name in figure_names], len(rows)),
        low=low_pressure(app, node_type, pressure), group=group,
        beside=_beside(rows, tuple(map(str, apps)), app.astype(np.int64), group),
    )  # fmt: skip


def unnamed(table: Table) -> Table:
    """Return the table without the neighbours' names: what is learnt then depends on their sums alone."""
    return replace(table, beside=np.empty((len(table), 0)))


def around(group: IntArray, own: FloatArray) -> FloatArray:
    """Return the sum over the other rows of each row's group."""
    _, at = np.unique(group, return_inverse=True)
    return np.asarray(np.maximum(np.bincount(at, own)[at] - own, 0.0))


def is_sum(group: IntArray, own: FloatArray, others: FloatArray) -> bool:
    """Whether ``others`` are the sums of ``own`` over the other rows of each group, so that neighbours have names."""
    return bool(np.abs(around(group, own) - others).max(initial=0.0) <= SAME * others.max(initial=0.0))


def _beside(rows: ContentionRows, apps: tuple[str, ...], app: IntArray, group: IntArray) -> FloatArray:
    if len(apps) > MOST_NAMED:
        return np.empty((len(rows), 0))
    if rows.beside is not None:
        return _stack([rows.beside.get(name, np.zeros(len(rows))) for name in apps], len(rows))
    own, others = rows.own.get("cpu_cores"), rows.others.get("cpu_cores")
    if own is None or others is None or not is_sum(group, own, others):
        return np.empty((len(rows), 0))
    return np.column_stack([around(group, np.where(app == a, own, 0.0)) for a in range(len(apps))])


def _stack(columns: list[FloatArray], rows: int) -> FloatArray:
    return np.column_stack(columns) if columns else np.empty((rows, 0))


def low_pressure(app: IntArray, node_type: IntArray, pressure: FloatArray) -> BoolArray:
    """Mark the fifth of the rows of each application and node type that has least pressure, at least three of them.

    Pressures are put on one scale by their 95th percentile over all rows. [ours]
    """
    scale = np.quantile(pressure, 0.95, axis=0)
    total = (pressure / np.where(scale > 0, scale, 1.0)).mean(axis=1)
    low = np.zeros(len(total), dtype=np.bool_)
    for key in np.unique(np.column_stack([app, node_type]), axis=0):
        at = np.flatnonzero((app == key[0]) & (node_type == key[1]))
        kept = max(round(LOW_SHARE * len(at)), min(LOW_ROWS, len(at)))
        low[at[np.argsort(total[at], kind="stable")[:kept]]] = True
    return low


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of applications when nothing is predicted yet.

    ``base`` [A, T]: log of the value with least pressure, NaN where never measured. ``habits`` [A, 1 + D]: median load
    and own intensities.
    """

    base: FloatArray
    habits: FloatArray


def known_of(table: Table, rows: IntArray) -> Known:
    """Return what ``rows`` (indices) tell; the base is the median over those of them with least pressure."""
    shape = (len(table.apps), len(table.node_types))
    base, habits = np.full(shape, np.nan), np.full((shape[0], 1 + table.own.shape[1]), np.nan)
    low = rows[table.low[rows]]
    for app in np.unique(table.app[rows]):
        mine = rows[table.app[rows] == app]
        habits[app] = np.median(np.column_stack([table.load, table.own])[mine], axis=0)
        for node_type in np.unique(table.node_type[mine]):
            at = low[(table.app[low] == app) & (table.node_type[low] == node_type)]
            at = at if len(at) else mine[table.node_type[mine] == node_type]
            base[app, node_type] = np.median(table.log_value[at])
    return Known(base=base, habits=habits)


def feature_names(table: Table) -> tuple[str, ...]:
    """Names of the columns of `matrix`."""
    habits = ("usual load", *(f"usual {name}" for name in table.own_names))
    pressures = tuple(f"neighbours' {name}" for name in table.pressures)
    per_size = tuple(f"{name} / {figure}" for name, figure in _shares(table))
    return ("application", "node type", "value alone", "load", *habits, *pressures, *per_size, *table.figure_names)


def monotone(table: Table) -> list[int]:
    """1 for features of which more never speeds an application up: pressures; 0 for the others."""
    return [1 if name.startswith("neighbours'") or " / " in name else 0 for name in feature_names(table)]


def matrix(
    table: Table, known: Known, app: IntArray, node_type: IntArray, load: FloatArray, pressure: FloatArray,
    figures: FloatArray, *, seen: IntArray | None = None,
) -> FloatArray:  # fmt: skip
    """Return the features [N, F] of rows given by their columns; applications and types not in ``seen`` are NaN."""
    name = app.astype(np.float64)
    if seen is not None:
        name[~np.isin(app, seen)] = np.nan
    base = known.base[app, node_type]
    shares = [
        pressure[:, table.pressures.index(one)] / figures[:, table.figure_names.index(figure)]
        for one, figure in _shares(table)
    ]
    return np.column_stack(
        [name, node_type.astype(np.float64), base, load, known.habits[app], pressure, *shares, figures]
    )


SIZES = {"cpu_cores": "node_cores", "llc_misses_per_s": "node_llc_mib", "memory_gb_per_s": "node_gb_per_s"}
"""The figure of the node that a pressure is divided by, where the rows have it. [ours]"""


def _shares(table: Table) -> list[tuple[str, str]]:
    return [(name, SIZES[name]) for name in table.pressures if SIZES[name] in table.figure_names]
