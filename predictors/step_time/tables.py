"""Turns the operator tables of a layer profile into monotone interpolators."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from specs.errors import InputError
from specs.profile import LayerProfileSpec, Operator, OperatorTable

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Seconds over one axis: linear between points, constant below the first, along the last slope beyond the last."""

    x: FloatArray
    seconds: FloatArray

    def __call__(self, x: npt.ArrayLike) -> FloatArray:
        """Seconds at ``x`` (any shape)."""
        at = np.asarray(x, dtype=np.float64)
        inside = np.interp(at, self.x, self.seconds)
        beyond = np.maximum(at - self.x[-1], 0.0)
        value: FloatArray = inside + beyond * self._last_slope
        return value

    @cached_property
    def _last_slope(self) -> float:
        """Slope over the last half of the axis, which noise of the last point cannot turn negative."""
        middle = min(int(np.searchsorted(self.x, self.x[-1] / 2)), len(self.x) - 2)
        if len(self.x) < 2:
            return 0.0
        run = self.x[-1] - self.x[middle]
        return float(max(self.seconds[-1] - self.seconds[middle], 0.0) / run)


@dataclass(frozen=True)
class Grid:
    """Seconds over two axes; each row is a curve, rows are blended linearly, and beyond the last row scaled by it."""

    rows: FloatArray
    curves: tuple[Curve, ...]

    def __call__(self, rows: FloatArray, columns: FloatArray) -> FloatArray:
        """Seconds [len(rows), len(columns)]."""
        known = np.stack([curve(columns) for curve in self.curves])
        lower = np.clip(np.searchsorted(self.rows, rows, side="right") - 1, 0, max(len(self.rows) - 2, 0))
        if len(self.rows) == 1:
            return np.repeat(known, len(rows), axis=0)
        left, right = self.rows[lower], self.rows[lower + 1]
        weight = np.maximum((rows - left) / (right - left), 0.0)[:, None]
        value: FloatArray = known[lower] + weight * (known[lower + 1] - known[lower])
        return np.maximum.accumulate(value, axis=0)


class ProfileTables:
    """The tables of one profile by operator, TP, EP and layer kind; raises InputError for tables with holes."""

    def __init__(self, profile: LayerProfileSpec) -> None:
        self.profile = profile
        self._by_key: dict[tuple[str, int, int, int], OperatorTable] = {}
        for table in profile.tables:
            self._by_key[(table.operator, table.tp, table.ep, table.layer_kind)] = table
        self._curves: dict[tuple[str, int, int], Curve] = {}
        self._grids: dict[tuple[str, int, int], Grid] = {}

    @property
    def degrees(self) -> tuple[int, ...]:
        """Tensor-parallel degrees that any table covers."""
        return tuple(sorted({table.tp for table in self.profile.tables}))

    def extent(self, operator: Operator, tp: int) -> float | None:
        """Largest first-axis value measured for ``operator`` at ``tp``."""
        table = self._by_key.get((operator, tp, 1, 0))
        return None if table is None else max(point[0] for point in table.points)

    def curve(self, operator: str, tp: int, ep: int = 1) -> Curve | None:
        """Interpolator of an operator with one axis, or None where it was not measured."""
        key = (operator, tp, ep)
        if key not in self._curves:
            table = self._by_key.get((operator, tp, ep, 0))
            if table is None:
                return None
            self._curves[key] = curve_of(table)
        return self._curves[key]

    def grid(self, operator: str, tp: int, kind: int = 0) -> Grid | None:
        """Interpolator of an operator with two axes, or None where it was not measured."""
        key = (operator, tp, kind)
        if key not in self._grids:
            table = self._by_key.get((operator, tp, 1, kind))
            if table is None:
                return None
            self._grids[key] = grid_of(table)
        return self._grids[key]


def curve_of(table: OperatorTable) -> Curve:
    """Median latency at each point, made monotone; raises InputError where the table has another number of axes."""
    _expect_axes(table, 1)
    points = np.asarray(table.points, dtype=np.float64)[:, 0]
    return _monotone_curve(points, np.asarray(table.latency_us, dtype=np.float64) * 1e-6)


def grid_of(table: OperatorTable) -> Grid:
    """One monotone curve for each value of the first axis; rows need not share their columns."""
    _expect_axes(table, 2)
    points = np.asarray(table.points, dtype=np.float64)
    seconds = np.asarray(table.latency_us, dtype=np.float64) * 1e-6
    rows = np.unique(points[:, 0])
    curves = [_monotone_curve(points[points[:, 0] == row, 1], seconds[points[:, 0] == row]) for row in rows]
    widest = max(len(curve.x) for curve in curves)
    kept = [i for i, curve in enumerate(curves) if len(curve.x) >= min(2, widest)]
    return Grid(rows[kept], tuple(curves[i] for i in kept))


def _expect_axes(table: OperatorTable, count: int) -> None:
    if len(table.axes) != count:
        raise InputError(
            f"layer profile: {table.operator} has axes {', '.join(table.axes)}, {count} expected",
            cure="Import or measure the profile again.",
        )


def _monotone_curve(x: FloatArray, seconds: FloatArray) -> Curve:
    at, inverse = np.unique(x, return_inverse=True)
    mean = np.bincount(inverse, weights=seconds) / np.bincount(inverse)
    return Curve(at, isotonic(mean))


def isotonic(values: FloatArray) -> FloatArray:
    """Least-squares non-decreasing fit by pooling adjacent violators [std: Barlow et al. 1972]."""
    levels: list[float] = []
    counts: list[int] = []
    for value in values:
        levels.append(float(value))
        counts.append(1)
        while len(levels) > 1 and levels[-2] > levels[-1]:
            total = counts[-2] + counts[-1]
            pooled = (levels[-2] * counts[-2] + levels[-1] * counts[-1]) / total
            levels[-2:], counts[-2:] = [pooled], [total]
    return np.repeat(np.asarray(levels), counts)
