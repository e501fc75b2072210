"""Latency curves: monotone fits and interpolation over one and two axes, their left-out errors, and soft maxima."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def soft_maximum(first: npt.ArrayLike, second: npt.ArrayLike, sharpness: float) -> FloatArray:
    """``(first^p + second^p)^(1/p)`` with p = ``sharpness`` ≥ 1, for non-negative arrays that broadcast [std: p-norm].

    Between the maximum (p → ∞: two resources that overlap fully) and the sum (p = 1: none of it overlaps).
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    larger = np.maximum(a, b)
    ratio = np.divide(np.minimum(a, b), larger, out=np.zeros(larger.shape), where=larger > 0)
    result: FloatArray = larger * (1.0 + ratio**sharpness) ** (1.0 / sharpness)
    return result


def isotonic(values: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> FloatArray:
    """Least-squares non-decreasing fit of ``values`` by pooling adjacent violators [std: Barlow et al. 1972].

    ``weights`` are positive, of the same length (default: all one). O(n).
    """
    given = np.asarray(values, dtype=np.float64)
    masses = np.ones(given.size) if weights is None else np.asarray(weights, dtype=np.float64)
    levels: list[float] = []
    pooled: list[float] = []
    counts: list[int] = []
    for value, mass in zip(given, masses, strict=True):
        levels.append(float(value))
        pooled.append(float(mass))
        counts.append(1)
        while len(levels) > 1 and levels[-2] > levels[-1]:
            total = pooled[-2] + pooled[-1]
            levels[-2:] = [(levels[-2] * pooled[-2] + levels[-1] * pooled[-1]) / total]
            pooled[-2:], counts[-2:] = [total], [counts[-2] + counts[-1]]
    return np.repeat(np.asarray(levels), counts)


@dataclass(frozen=True)
class Curve:
    """A non-decreasing curve through points: constant below the first, linear between, along the last slope beyond.

    ``x`` strictly increasing, ``y`` non-decreasing, of the same length ≥ 1. See `monotone_curve`.
    """

    x: FloatArray
    y: FloatArray

    def __call__(self, at: npt.ArrayLike) -> FloatArray:
        """Values at ``at`` (any shape)."""
        points = np.asarray(at, dtype=np.float64)
        value: FloatArray = np.interp(points, self.x, self.y) + np.maximum(points - self.x[-1], 0.0) * self._last_slope
        return value

    @cached_property
    def _last_slope(self) -> float:
        """Slope over the last half of the axis, so that noise of the last point does not decide it."""
        if self.x.size < 2:
            return 0.0
        middle = min(int(np.searchsorted(self.x, self.x[-1] / 2)), self.x.size - 2)
        return float((self.y[-1] - self.y[middle]) / (self.x[-1] - self.x[middle]))


@dataclass(frozen=True)
class Grid:
    """A surface that does not decrease along either axis: one curve per row, rows blended linearly.

    ``rows`` strictly increasing. Below the first row its curve holds. Beyond the last, its curve is scaled by the mean
    trend of the last two rows: one factor for all columns, so that the surface stays monotone.
    """

    rows: FloatArray
    curves: tuple[Curve, ...]

    def __call__(self, rows: FloatArray, columns: FloatArray) -> FloatArray:
        """Values [len(rows), len(columns)]; ``rows`` sorted."""
        known = np.maximum.accumulate(np.stack([curve(columns) for curve in self.curves]), axis=0)
        if self.rows.size == 1:
            return np.repeat(known, len(rows), axis=0)
        lower = np.clip(np.searchsorted(self.rows, rows, side="right") - 1, 0, self.rows.size - 2)
        share = np.clip((rows - self.rows[lower]) / (self.rows[lower + 1] - self.rows[lower]), 0.0, 1.0)[:, None]
        inside: FloatArray = known[lower] + share * (known[lower + 1] - known[lower])
        inside *= (1.0 + self._last_growth * np.maximum(rows - self.rows[-1], 0.0))[:, None]
        return inside

    @cached_property
    def _last_growth(self) -> float:
        """Relative growth per unit of row at the last row, mean over the last row's points, at least 0."""
        before, last = self.curves[-2], self.curves[-1]
        growth = np.divide(last.y - before(last.x), last.y, out=np.zeros(last.y.size), where=last.y > 0)
        return float(max(growth.mean(), 0.0) / (self.rows[-1] - self.rows[-2]))


def monotone_curve(x: npt.ArrayLike, y: npt.ArrayLike) -> Curve:
    """The curve through measured points in any order: means of repeated x, then the isotonic fit of those means."""
    at, inverse, counts = np.unique(np.asarray(x, dtype=np.float64), return_inverse=True, return_counts=True)
    means = np.bincount(inverse, weights=np.asarray(y, dtype=np.float64)) / counts
    return Curve(at, isotonic(means, counts))


def monotone_grid(rows: npt.ArrayLike, columns: npt.ArrayLike, y: npt.ArrayLike) -> Grid:
    """The surface through measured points ``(row, column, y)`` in any order; rows need not share their columns."""
    row, column, value = (np.asarray(a, dtype=np.float64) for a in (rows, columns, y))
    at = np.unique(row)
    return Grid(at, tuple(monotone_curve(column[row == r], value[row == r]) for r in at))


def left_out_errors(x: npt.ArrayLike, y: npt.ArrayLike) -> FloatArray:
    """Relative error of the curve at each inner x when the points of that x are left out: ``predicted / mean − 1``.

    The first and last x are never left out: that would measure extrapolation. Needs three distinct x, else empty.
    """
    at, value = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    inner = np.unique(at)[1:-1]
    errors = [float(monotone_curve(at[at != p], value[at != p])(p)) / float(value[at == p].mean()) - 1.0 for p in inner]
    return np.asarray(errors, dtype=np.float64)
