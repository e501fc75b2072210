"""Seasonal quantiles: what the same time of earlier seasons says of the time to come, without looking ahead."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
CHUNK = 4096


def seasonal_quantile(
    values: npt.ArrayLike, season: int, quantile: float, *, seasons: int = 7, spread: int = 2
) -> FloatArray:
    """One quantile of the values at the same place of earlier seasons, as `seasonal_quantiles` with a lead of one."""
    return seasonal_quantiles(values, season, (quantile,), seasons=seasons, spread=spread)[:, 0]


def seasonal_quantiles(
    values: npt.ArrayLike, season: int, quantiles: npt.ArrayLike, *, seasons: int = 7, spread: int = 2, lead: int = 1
) -> FloatArray:
    """Quantiles [n, k] of the values at the same place of up to ``seasons`` earlier seasons, and ``spread`` around it.

    ``values`` [n], equally spaced, ``season`` places long. Place i uses j·season − spread … j·season + spread places
    before it, j = 1 … seasons, as far as they lie at least ``lead`` places back. NaN where there is none. By linear
    interpolation between order statistics (std). ValueError for a season that is not longer than the spread, or no
    such quantile.
    """
    found, levels = np.asarray(values, dtype=np.float64), np.asarray(quantiles, dtype=np.float64)
    if season <= spread or seasons < 1 or not ((levels >= 0.0) & (levels <= 1.0)).all():
        raise ValueError(f"season {season} must exceed the spread {spread}, and quantiles {levels} lie in 0 … 1")
    out = np.full((len(found), len(levels)), np.nan)
    steps = np.concatenate([np.arange(-spread, spread + 1) - k * season for k in range(1, seasons + 1)])
    steps = steps[steps <= -lead]
    for first in range(season, len(found), CHUNK):
        at = np.arange(first, min(first + CHUNK, len(found)))[:, None] + steps[None, :]
        known = np.where(at >= 0, found[np.maximum(at, 0)], np.nan)
        out[first : first + len(at)] = _quantiles(known, levels)
    return out


def _quantiles(rows: FloatArray, levels: FloatArray) -> FloatArray:
    """Quantiles of each row over its values that are not NaN; NaN for a row without any."""
    ordered = np.sort(rows, axis=1)  # NaN last
    count = np.sum(~np.isnan(ordered), axis=1)[:, None]
    at = levels[None, :] * np.maximum(count - 1, 0)
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, np.maximum(count - 1, 0))
    under, over = np.take_along_axis(ordered, low, axis=1), np.take_along_axis(ordered, high, axis=1)
    return np.asarray(under + (at - low) * (over - under))


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
