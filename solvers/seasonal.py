"""Seasonal quantiles: what the same time of earlier seasons says of the time to come, without looking ahead."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
CHUNK = 4096


def seasonal_quantile(
    values: npt.ArrayLike, season: int, quantile: float, *, seasons: int = 7, spread: int = 2
) -> FloatArray:
    """Quantile of the values at the same place of up to ``seasons`` earlier seasons, and ``spread`` places around it.

    ``values`` [n], equally spaced, ``season`` places long. Place i uses i − k·season − spread … i − k·season + spread
    for k = 1 … seasons, so nothing later than i − season + spread. NaN in the first season. By linear interpolation
    between order statistics (std). ValueError for a season that is not longer than the spread, or no such quantile.
    """
    found = np.asarray(values, dtype=np.float64)
    if season <= spread or not 0.0 <= quantile <= 1.0 or seasons < 1:
        raise ValueError(f"season {season} must exceed the spread {spread}, and quantile {quantile} lie in 0 … 1")
    out = np.full(len(found), np.nan)
    steps = np.concatenate([np.arange(-spread, spread + 1) - k * season for k in range(1, seasons + 1)])
    for first in range(season, len(found), CHUNK):
        at = np.arange(first, min(first + CHUNK, len(found)))[:, None] + steps[None, :]
        known = np.where((at >= 0) & (at < len(found)), found[np.clip(at, 0, len(found) - 1)], np.nan)
        out[first : first + len(at)] = _quantile(known, quantile)
    return out


def _quantile(rows: FloatArray, quantile: float) -> FloatArray:
    """Quantile of each row over its values that are not NaN (at least one each)."""
    ordered = np.sort(rows, axis=1)  # NaN last
    count = np.sum(~np.isnan(ordered), axis=1)
    at = quantile * (count - 1)
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, count - 1)
    row = np.arange(len(ordered))
    return np.asarray(ordered[row, low] + (at - low) * (ordered[row, high] - ordered[row, low]))


def seasonal_strength(values: npt.ArrayLike, season: int) -> float:
    """Share of the variance that the same place of the season before explains, 0 … 1 (ours): 1 − MSE / (2 · variance).

    Twice the variance is what two unrelated values differ by on average. 0 where there are not two seasons.
    """
    found = np.asarray(values, dtype=np.float64)
    if len(found) < 2 * season or season < 1:
        return 0.0
    later, earlier = found[season:], found[:-season]
    spread = 2.0 * float(np.var(found))
    return max(0.0, 1.0 - float(np.mean((later - earlier) ** 2)) / spread) if spread > 0.0 else 0.0


def pinball(actual: npt.ArrayLike, forecast: npt.ArrayLike, quantile: float) -> float:
    """Mean pinball loss of a quantile forecast (Koenker and Bassett 1978, std), over places where both are known."""
    missed = np.asarray(actual, dtype=np.float64) - np.asarray(forecast, dtype=np.float64)
    return float(np.nanmean(np.maximum(quantile * missed, (quantile - 1.0) * missed)))
