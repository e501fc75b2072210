"""GEMM latencies of a kernel table on a full lattice of m, n and k, for shapes that lie between its points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

FloatArray = npt.NDArray[np.float64]

SPIKE = 1.4  # a tile or wave more raises a latency by at most a third over its neighbours' line (ours)


@dataclass(frozen=True)
class Lattice:
    """GEMM latencies in ms on a full grid of m, n, k; holes are filled by scaling the nearest neighbour with n·k."""

    m: FloatArray
    n: FloatArray
    k: FloatArray
    latency: FloatArray  # [m, n, k]

    def at(self, n: int, k: int, counts: FloatArray) -> FloatArray:
        """Latency in ms at ``counts`` rows: bilinear in n and k (weights are read once), linear in m."""
        plane = _along(self.latency, self.n, float(n), 1)
        line = _along(plane, self.k, float(k), 1)
        return np.interp(counts, self.m, np.maximum.accumulate(line))


def lattice_of(frame: pl.DataFrame, dtype: str) -> Lattice | None:
    """The lattice of the rows of ``dtype`` (columns gemm_dtype, m, n, k, latency in ms); None where there are none."""
    rows = frame.filter((pl.col("gemm_dtype") == dtype) & (pl.col("m") > 0))
    if rows.is_empty():
        return None
    rows = rows.group_by("m", "n", "k").agg(pl.col("latency").median())
    axes = [np.unique(rows[name].to_numpy()) for name in ("m", "n", "k")]
    grid = np.full([len(axis) for axis in axes], np.nan)
    at = [np.searchsorted(axis, rows[name].to_numpy()) for axis, name in zip(axes, ("m", "n", "k"), strict=True)]
    grid[at[0], at[1], at[2]] = rows["latency"].to_numpy()
    whole = np.isfinite(grid).mean(axis=(1, 2)) > 0.9 * np.isfinite(grid).mean(axis=(1, 2)).max()
    m, n, k = (axis.astype(np.float64) for axis in axes)
    return Lattice(m[whole], n, k, _without_spikes(_fill(grid[whole], n, k), m[whole]))


def _without_spikes(grid: FloatArray, m: FloatArray) -> FloatArray:
    """Replace a latency far above the line between its neighbours in m: a hiccup of measuring, not of the kernel."""
    smooth = grid.copy()
    for i in range(1, len(m) - 1):
        weight = (m[i] - m[i - 1]) / (m[i + 1] - m[i - 1])
        between = smooth[i - 1] + weight * (grid[i + 1] - smooth[i - 1])
        smooth[i] = np.where(grid[i] > SPIKE * between, between, grid[i])
    return smooth


def _fill(grid: FloatArray, n: FloatArray, k: FloatArray) -> FloatArray:
    """Fill holes along n, then k, then m, from the next smaller size, in proportion."""
    filled = grid.copy()
    for i in range(1, len(n)):
        hole = ~np.isfinite(filled[:, i, :])
        filled[:, i, :][hole] = (filled[:, i - 1, :] * n[i] / n[i - 1])[hole]
    for j in range(1, len(k)):
        hole = ~np.isfinite(filled[:, :, j])
        filled[:, :, j][hole] = (filled[:, :, j - 1] * k[j] / k[j - 1])[hole]
    for row in range(1, len(filled)):
        hole = ~np.isfinite(filled[row])
        filled[row][hole] = filled[row - 1][hole]
    return filled


def _along(values: FloatArray, axis: FloatArray, x: float, dimension: int) -> FloatArray:
    """Linear interpolation along one dimension; beyond the last point in proportion to its slope from zero."""
    if x > axis[-1]:
        beyond: FloatArray = np.take(values, -1, axis=dimension) * (x / axis[-1])
        return beyond
    upper = int(np.clip(np.searchsorted(axis, x), 1, len(axis) - 1))
    weight = max((x - axis[upper - 1]) / (axis[upper] - axis[upper - 1]), 0.0)
    low, high = np.take(values, upper - 1, axis=dimension), np.take(values, upper, axis=dimension)
    blended: FloatArray = low + weight * (high - low)
    return blended
