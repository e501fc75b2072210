"""Quantile forecasts from point forecasts by the residuals seen so far, and a level that is moved until it covers."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from solvers.compiled import compiled

FloatArray = npt.NDArray[np.float64]
Scale = Literal["same", "recent", "relative"]
MOST_HELD = 2016
"""Residuals that a window keeps, evenly thinned where it spans more places: enough for the 99.5th percentile (ours)."""
BEYOND = 0.5
"""A quantile may exceed what was ever seen by half of the range seen (ours)."""
FLOOR = 0.05
"""A forecast below so much of the mean forecast counts as that much where residuals are relative to it (ours)."""


def residual_quantiles(
    actual: FloatArray, point: FloatArray, lead: int, levels: FloatArray, *, window: int, scale: Scale, least: int
) -> FloatArray:
    """Return quantiles [n, levels] of ``actual`` [n] around ``point`` [n], a forecast made ``lead`` places before.

    The level's order statistic of the last ``window`` residuals known when the forecast was made, ⌈(k + 1)·level⌉ of
    k, is added (split conformal prediction, std). ``scale``: residuals as they are (`same`), over their mean size when
    they were forecast (`recent`), or over the forecast itself (`relative`); the scale of the new forecast multiplies
    them again. NaN with fewer than ``least`` residuals. ``actual`` may be NaN, and shorter than ``point``.
    """
    size = len(point)
    known = np.full(size, np.nan)
    known[: len(actual)] = actual
    out = np.full((size, len(levels)), np.nan)
    units = _units(known, point, lead, scale)
    every = -(-window // MOST_HELD)
    held, scaled = np.empty(-(-window // every)), np.full(size, np.nan)
    _fill(known - point, point, units, lead, levels, least, every, held, scaled, out)
    return out


def _units(actual: FloatArray, point: FloatArray, lead: int, scale: Scale) -> FloatArray:
    """At each place what a residual there is divided by; known ``lead`` places before. NaN or 0: it does not count."""
    if scale == "same":
        return np.ones(len(point))
    if scale == "recent":
        sizes = np.empty(len(point))
        _smooth(actual - point, sizes)
        return np.concatenate([np.full(lead, np.nan), sizes[: len(point) - lead]])
    there = np.isfinite(point)
    usual = np.cumsum(np.where(there, np.abs(point), 0.0)) / np.maximum(np.cumsum(there), 1)
    return np.asarray(np.where(there, np.maximum(np.abs(point), FLOOR * usual), np.nan))


@compiled
def _smooth(residual: FloatArray, out: FloatArray) -> None:
    """The size of residuals so far: 0.7 of an exponential mean (0.1), 0.3 of the mean of all (ours)."""
    recent, total, count = np.nan, 0.0, 0
    for i in range(len(residual)):
        if not np.isnan(residual[i]):
            size = abs(residual[i])
            count += 1
            total += size
            recent = size if np.isnan(recent) else recent + 0.1 * (size - recent)
        out[i] = 0.7 * recent + 0.3 * total / count if count > 0 else np.nan


@compiled
def _fill(
    residual: FloatArray, point: FloatArray, units: FloatArray, lead: int, levels: FloatArray, least: int,
    every: int, held: FloatArray, scaled: FloatArray, out: FloatArray,
) -> None:  # fmt: skip
    """Keep each ``every``-th of the last residuals sorted in ``held``; ``scaled`` [n] has each as it was added."""
    count = 0
    window = len(held) * every
    for t in range(lead, len(point)):
        new = t - lead
        if new % every == 0 and not np.isnan(residual[new]) and units[new] > 0.0:
            scaled[new] = residual[new] / units[new]
        if new - window >= 0 and not np.isnan(scaled[new - window]):
            at = np.searchsorted(held[:count], scaled[new - window])
            for i in range(at, count - 1):
                held[i] = held[i + 1]
            count -= 1
        if not np.isnan(scaled[new]):
            at = np.searchsorted(held[:count], scaled[new])
            for i in range(count, at, -1):
                held[i] = held[i - 1]
            held[at] = scaled[new]
            count += 1
        if count >= least and not np.isnan(point[t]) and units[t] > 0.0:
            for j in range(len(levels)):
                rank = min(count - 1, int(np.ceil((count + 1) * levels[j])) - 1)
                out[t, j] = point[t] + units[t] * held[rank]


def bound(actual: FloatArray, forecasts: FloatArray, lead: int) -> None:
    """Lower ``forecasts`` [methods, n, levels], in place, to the highest value known ``lead`` places before and BEYOND.

    ``actual`` without NaN, at least n − lead long. A residual that is scaled anew has no bound of its own (ours).
    """
    highest, lowest = np.maximum.accumulate(actual), np.minimum.accumulate(actual)
    most = np.concatenate([np.full(lead, np.inf), highest + BEYOND * (highest - lowest)])
    np.minimum(forecasts, most[: forecasts.shape[1], None], out=forecasts)


def tracked(
    actual: FloatArray, quantiles: FloatArray, levels: FloatArray, lead: int, target: float, *, rate: float, start: int,
    highest: float,
) -> tuple[FloatArray, float]:  # fmt: skip
    """Return forecasts [n] at a level that moves until ``target`` of the actual values lie below, and the last level.

    After each miss the level rises by ``rate`` · target, after each hit it falls by ``rate`` · (1 − target): adaptive
    conformal inference (Gibbs and Candès 2021, std), here on the level and with feedback ``lead`` places late. It
    counts from place ``start`` on and stays within ``levels`` and ``highest``; between levels it is linear.
    """
    known = np.full(len(quantiles), np.nan)
    known[: len(actual)] = actual
    out = np.full(len(quantiles), np.nan)
    level = _track(known, quantiles, levels, lead, target, rate, start, highest, out)
    return out, float(level)


@compiled
def _track(
    actual: FloatArray, quantiles: FloatArray, levels: FloatArray, lead: int, target: float, rate: float, start: int,
    highest: float, out: FloatArray,
) -> float:  # fmt: skip
    level = target
    lowest = 2.0 * target - highest - 0.1
    for t in range(len(out)):
        i = t - lead
        if i >= start and not np.isnan(out[i]) and not np.isnan(actual[i]):
            level += rate * ((1.0 if actual[i] > out[i] else 0.0) - (1.0 - target))
            level = min(max(level, lowest), highest)
        if not np.isnan(quantiles[t, 0]):
            wanted = min(max(level, levels[0]), levels[-1])
            j = 0
            while j < len(levels) - 2 and levels[j + 1] < wanted:
                j += 1
            share = (wanted - levels[j]) / (levels[j + 1] - levels[j])
            out[t] = quantiles[t, j] + share * (quantiles[t, j + 1] - quantiles[t, j])
    return level
