"""An additive law of interference: slowdown is 1 plus a sum over pressures of rising lines, per application."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from predictors.interference.features import Known, Table
from predictors.interference.law import cores_of, own_of, relative, sizes_of
from predictors.interference.pooled import best_pooling, solve
from specs.trace import FloatArray, IntArray

POOLING = (0.03, 0.3, 3.0, 30.0)
"""How strongly an application's slopes are drawn to those of all, tried as those of the law are."""
LEAST = 0.2
"""Of the value with least pressure: below it no prediction goes. [ours]"""


@dataclass(frozen=True)
class Columns:
    """Where lines bend [K], what pressures are divided by, and the scale of each column [F].

    ``cores`` is the pressure that is CPU over the node's CPUs, ``cpu`` the one that is CPU at all, −1 where there is
    none. ``usual`` [B]: shares of the neighbours' CPU by application, for rows that do not name them; empty where no
    row did.
    """

    bends: FloatArray
    sizes: IntArray
    cores: int
    cpu: int
    usual: FloatArray
    scale: FloatArray

    def of(
        self, own: FloatArray, pressure: FloatArray, figures: FloatArray, beside: FloatArray | None
    ) -> FloatArray:  # fmt: skip
        """Return the columns [N, F] of rows, at most about 1; ``beside`` [N, B]: the neighbours' CPU by application."""
        alone, others = relative(self.sizes, own, figures), relative(self.sizes, pressure, figures)
        found = columns_of(self.bends, alone, others, self.cores)
        if len(self.usual):
            named = beside if beside is not None else pressure[:, [self.cpu]] * self.usual
            size = self.sizes[self.cpu]
            found = np.hstack([found, named if size < 0 else named / figures[:, [size]]])
        return found / self.scale


@dataclass(frozen=True)
class Additive:
    """``slopes`` [A, F] ≥ 0, the mean of all where an application was never trained on; ``level`` [A, T] added to 1."""

    columns: Columns
    slopes: FloatArray
    level: FloatArray

    def log_ratio(
        self, app: IntArray, node_type: IntArray, own: FloatArray, pressure: FloatArray, figures: FloatArray,
        beside: FloatArray | None = None,
    ) -> FloatArray:  # fmt: skip
        """Return log(value / value with least pressure) [N]; ``own`` [N, K] is what the application itself puts on."""
        rise = (self.columns.of(own, pressure, figures, beside) * self.slopes[app]).sum(axis=1)
        return np.asarray(np.log(np.maximum(1.0 + self.level[app, node_type] + rise, LEAST)))


def columns_of(bends: FloatArray, own: FloatArray, others: FloatArray, cores: int) -> FloatArray:
    """Return three columns per pressure, per pair of pressures their product, and the time share.

    Of each pressure, what the neighbours add to one's own: all of it, what lies below the bend, and what lies above.
    Where CPUs are wanted by more than there are, time per unit of work is wanted / there. What both slow down, each
    slows what the other left: the product. [ours]
    """
    found = []
    for k, bend in enumerate(bends):
        alone, total = own[:, k], own[:, k] + others[:, k]
        below = np.minimum(total, bend) - np.minimum(alone, bend)
        found += [others[:, k], below, others[:, k] - below]
    found += [others[:, k] * others[:, m] for k, m in combinations(range(len(bends)), 2)]
    if cores >= 0:
        wanted = own[:, cores] + others[:, cores]
        found.append(np.maximum(wanted, 1.0) / np.maximum(own[:, cores], 1.0) - 1.0)
    return np.column_stack(found)


def bends_of(values: FloatArray) -> FloatArray:
    """Return the median of each pressure [N, K] where it is not 0."""
    found = [float(np.median(column[column > 0])) if (column > 0).any() else 0.0 for column in values.T]
    return np.array(found)


def fit_additive(table: Table, known: Known, rows: IntArray, target: FloatArray) -> Additive:
    """Fit exp(``target``) [n], value / base of ``rows``, by least squares of the relative error with pooling. [ours]

    Everything is divided by the measured ratio, so that a tenth off counts the same of a small and a large slowdown.
    """
    sizes, figures = sizes_of(table), table.figures[rows]
    own, others = own_of(table, known.habits, table.app[rows], table.load[rows]), table.pressure[rows]
    alone, around = relative(sizes, own, figures), relative(sizes, others, figures)
    bends, cores = bends_of(alone + around), cores_of(table, sizes)
    beside = table.beside[rows]
    cpu = table.pressures.index("cpu_cores") if "cpu_cores" in table.pressures else -1
    named = beside.sum(axis=0) if cpu >= 0 and beside.any() else np.empty(0)
    plain = Columns(bends=bends, sizes=sizes, cores=cores, cpu=cpu, usual=named / named.sum(), scale=np.ones(1))
    largest = plain.of(own, others, figures, beside).max(axis=0)
    columns = replace(plain, scale=np.where(largest > 0, largest, 1.0))
    weight = np.exp(-target)
    design, wanted = columns.of(own, others, figures, beside) * weight[:, None], 1.0 - weight
    pooling = best_pooling(table, rows, design, weight, wanted, POOLING)
    slopes, level = solve(table, table.app[rows], table.node_type[rows], design, weight, wanted, pooling)
    return Additive(columns=columns, slopes=slopes, level=level)
