"""Means and percentiles with their standard errors, from histograms per service and from single answers per entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from predictors.application.kernel import BUCKETS_PER_E, LOWEST_SHARE
from specs.application import Quantity

FloatArray = npt.NDArray[np.float64]
QUANTITIES: tuple[Quantity, ...] = ("mean", "p50", "p90", "p95", "p99")
SHARES = (0.5, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class Figures:
    """One row per quantity (mean, p50, p90, p95, p99), one column per service or entry; seconds, NaN where unvisited.

    ``error_s``: standard errors.
    """

    value_s: FloatArray
    error_s: FloatArray

    def of(self, quantity: Quantity, column: int = 0) -> tuple[float, float]:
        """The value and the standard error of one quantity."""
        row = QUANTITIES.index(quantity)
        return float(self.value_s[row, column]), float(self.error_s[row, column])


def histogram_figures(counts: npt.NDArray[np.integer[Any]], sums_s: FloatArray, visits: npt.NDArray[np.int64],
                      scale_s: FloatArray) -> FloatArray:  # fmt: skip
    """Quantities [5, services] from ``counts`` [services, buckets], log-linear within a bucket."""
    reached = np.cumsum(counts, axis=1, dtype=np.float64)
    rows = [np.divide(sums_s, visits, out=np.full(len(visits), np.nan), where=visits > 0)]
    each = np.arange(len(counts))
    for share in SHARES:
        wanted = share * reached[:, -1]
        at = np.minimum((reached < wanted[:, None]).sum(axis=1), counts.shape[1] - 1)
        inside = counts[each, at]
        before = reached[each, at] - inside
        part = np.divide(wanted - before, inside, out=np.zeros(len(counts)), where=inside > 0)
        value = scale_s * LOWEST_SHARE * np.exp((at + part) / BUCKETS_PER_E)
        rows.append(np.where(visits > 0, value, np.nan))
    return np.asarray(rows, dtype=np.float64)


def batch_figures(whole: FloatArray, batches: list[FloatArray]) -> Figures:
    """The figures of the whole run, with the standard error that the spread over batches gives (batch means, std)."""
    stacked = np.asarray(batches)
    seen = np.isfinite(stacked).sum(axis=0)
    middle = np.divide(np.nansum(stacked, axis=0), seen, out=np.full(whole.shape, np.nan), where=seen > 0)
    squares = np.nansum((stacked - middle) ** 2, axis=0)
    error = np.full(whole.shape, np.nan)
    np.divide(squares, (seen - 1.0) * seen, out=error, where=seen > 1)
    return Figures(whole, np.sqrt(error))


def exact_figures(values_s: FloatArray, batch: npt.NDArray[np.int64], batches: int) -> Figures:
    """Figures [5, 1] of single values and the batch that each belongs to.

    Standard errors are those of batch means. A quantile's is at least what the spread over batches of the share beyond
    it says, read on the quantiles themselves (Bahadur 1966, std): of short batches their own quantiles say too little.
    """
    if len(values_s) == 0:
        return Figures(np.full((5, 1), np.nan), np.full((5, 1), np.nan))
    each = [_quantities(values_s[batch == b]) for b in range(batches)]
    figures = batch_figures(_quantities(values_s), each)
    for row, share in enumerate(SHARES, start=1):
        beyond = values_s > figures.value_s[row, 0]
        read = _quantile_error(values_s, beyond, batch, batches, share)
        figures.error_s[row, 0] = np.fmax(figures.error_s[row, 0], read)
    return figures


def _quantile_error(
    values_s: FloatArray, beyond: npt.NDArray[np.bool_], batch: npt.NDArray[np.int64], batches: int, share: float
) -> float:
    """Half the distance of the quantiles one standard error of the share below and above ``share``."""
    count = np.bincount(batch, minlength=batches)
    kept = count > 0
    if kept.sum() < 2:
        return float("nan")
    over = np.bincount(batch, beyond, minlength=batches) - beyond.mean() * count
    spread = float(np.sqrt((over[kept] ** 2).sum() * kept.sum() / (kept.sum() - 1.0)) / len(values_s))
    low, high = np.quantile(values_s, [max(share - spread, 0.0), min(share + spread, 1.0)])
    return float(high - low) / 2.0


def _quantities(values_s: FloatArray) -> FloatArray:
    if len(values_s) == 0:
        return np.full((5, 1), np.nan)
    return np.asarray([values_s.mean(), *np.quantile(values_s, SHARES)], dtype=np.float64)[:, None]
