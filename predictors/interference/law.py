"""A smooth law of interference: log slowdown is a sum over pressures of rising piecewise lines, per application."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from predictors.interference.features import SIZES, Known, Table
from predictors.interference.pooled import best_pooling, solve
from specs.trace import FloatArray, IntArray

KNOTS = (0.2, 0.4, 0.6, 0.8, 0.9, 0.97, 1.0)
"""Quantiles of a pressure at which a line may bend; flat beyond the largest seen."""
POOLING = (3.0, 30.0, 300.0)
"""How strongly an application's slopes are drawn to those of all, tried by cross-validation within what is trained on.

In rows: noise over variance between applications."""


@dataclass(frozen=True)
class Law:
    """``slopes`` [A, F] non-negative per ramp, the mean of all where an application was never trained on.

    ``level`` [A, T]: what an application's base is off by; ``knots`` K arrays from 0 up, ``sizes`` [K] columns of the
    node's figures that a pressure is divided by, −1 for none.
    """

    knots: tuple[FloatArray, ...]
    sizes: IntArray
    cores: int
    slopes: FloatArray
    level: FloatArray
    pooling: float

    def log_ratio(
        self, app: IntArray, node_type: IntArray, own: FloatArray, pressure: FloatArray, figures: FloatArray,
        beside: FloatArray | None = None,
    ) -> FloatArray:  # fmt: skip
        """Return log(value / value with least pressure) [N]; ``own`` [N, K] is what the application itself puts on.

        Who the neighbours are (``beside``) this law does not ask.
        """
        ramps = ramps_of(
            self.knots, relative(self.sizes, own, figures), relative(self.sizes, pressure, figures), self.cores
        )
        return np.asarray((ramps * self.slopes[app]).sum(axis=1) + self.level[app, node_type])


def sizes_of(table: Table) -> IntArray:
    """Return for each pressure the column of the node's figures that it is divided by, −1 for none."""
    at = [SIZES[name] for name in table.pressures]
    return np.array([table.figure_names.index(one) if one in table.figure_names else -1 for one in at], dtype=np.int64)


def cores_of(table: Table, sizes: IntArray) -> int:
    """Return the pressure that is CPU over the node's CPUs, −1 where the rows do not tell."""
    at = table.pressures.index("cpu_cores") if "cpu_cores" in table.pressures else -1
    return at if at >= 0 and sizes[at] >= 0 else -1


def relative(sizes: IntArray, pressure: FloatArray, figures: FloatArray) -> FloatArray:
    """Return the pressure [N, K] over the size of the node, where that is known."""
    found = pressure.copy()
    for k in np.flatnonzero(sizes >= 0):
        found[:, k] /= figures[:, sizes[k]]
    return found


def knots_of(values: FloatArray) -> tuple[FloatArray, ...]:
    """Return 0 and the quantiles of each pressure [N, K] where it is not 0."""
    found = []
    for column in values.T:
        some = column[column > 0]
        found.append(np.unique(np.concatenate([[0.0], np.quantile(some, KNOTS) if len(some) else [1.0]])))
    return tuple(found)


def ramps_of(knots: tuple[FloatArray, ...], own: FloatArray, others: FloatArray, cores: int) -> FloatArray:
    """Return one column per piece: how much of it the neighbours fill on top of one's own; and the log time share.

    ``cores``: the column that is CPU over the CPUs there are, −1 for none. CPUs that are wanted by more than they are
    go round, so log(wanted / there) is what waiting adds where everybody is always ready. [ours; I-splines are std]
    """
    columns = []
    for k, at in enumerate(knots):
        alone, total = own[:, k], own[:, k] + others[:, k]
        for low, high in pairwise(at):
            columns.append(np.clip((total - low) / (high - low), 0, 1) - np.clip((alone - low) / (high - low), 0, 1))
    if cores >= 0:
        wanted = own[:, cores] + others[:, cores]
        columns.append(np.log(np.maximum(wanted, 1.0)) - np.log(np.maximum(own[:, cores], 1.0)))
    return np.column_stack(columns)


def own_of(table: Table, habits: FloatArray, app: IntArray, load: FloatArray) -> FloatArray:
    """Return what applications put on each resource [N, K]: as usual times load over usual, 0 if unknown."""
    share = np.nan_to_num(load / habits[app, 0], nan=1.0, posinf=1.0)
    found = np.zeros((len(app), len(table.pressures)))
    for k, name in enumerate(table.pressures):
        if name in table.own_names:
            found[:, k] = np.nan_to_num(habits[app, 1 + table.own_names.index(name)]) * share
    return found


def fit_law(
    table: Table, known: Known, rows: IntArray, target: FloatArray, pooling: float | None = None
) -> Law:  # fmt: skip
    """Fit ``target`` [n], log(value / base) of ``rows``, by non-negative least squares with pooling. [ours]

    ``pooling``: that of POOLING which predicts windows left out best where None.
    """
    sizes, figures = sizes_of(table), table.figures[rows]
    own = relative(sizes, own_of(table, known.habits, table.app[rows], table.load[rows]), figures)
    others = relative(sizes, table.pressure[rows], figures)
    knots = knots_of(own + others)
    cores = cores_of(table, sizes)
    ramps = ramps_of(knots, own, others, cores)
    app, node_type = table.app[rows], table.node_type[rows]
    unit = np.ones(len(rows))
    chosen = pooling if pooling is not None else best_pooling(table, rows, ramps, unit, target, POOLING)
    slopes, level = solve(table, app, node_type, ramps, unit, target, chosen)
    return Law(knots=knots, sizes=sizes, cores=cores, slopes=slopes, level=level, pooling=chosen)
