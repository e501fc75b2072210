"""Point forecasts made a number of places ahead: persistence, smoothing, and profiles of the day and week with a level.

Each returns one forecast per place of the series and of the ``lead`` places after it; place t rests on values up to
t − lead alone. NaN where there is not enough before.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

FloatArray = npt.NDArray[np.float64]
FAST, SLOW = 0.3, 0.05
"""Weights of the newest value in exponential smoothing."""
DAYS, WEEKS = 7, 3
"""Earlier days and weeks that a profile is the mean of."""
LEAST_RATIO, MOST_RATIO = 0.2, 5.0
"""Between these a profile is stretched to the present level."""


def points(values: FloatArray, lead: int, day: int | None, week: int | None) -> Iterator[tuple[str, FloatArray]]:
    """Yield name and forecast [n + lead] of every method that the seasons allow. [std: Holt-Winters' parts; ours]"""
    yield "last value", _ahead(values, lead)
    yield "smoothed", _ahead(_smooth(values, FAST), lead)
    for name, season, count in (("day", day, 1), ("days", day, DAYS), ("week", week, 1), ("weeks", week, WEEKS)):
        if season is not None and lead <= season and len(values) >= 2 * season:
            yield from _seasonal(name, values, lead, season, count)


def _seasonal(name: str, values: FloatArray, lead: int, season: int, count: int) -> Iterator[tuple[str, FloatArray]]:
    profile = _profile(values, lead, season, count)
    yield name, profile
    own = profile[: len(values)]
    there = np.isfinite(own)
    gap = np.where(there, values - own, 0.0)
    seen, usual = np.where(there, values, 0.0), np.where(there, own, 0.0)
    for speed, weight in (("fast", FAST), ("slow", SLOW)):
        yield f"{name} + {speed} level", profile + _ahead(_smooth(gap, weight), lead)
        ratio = _smooth(seen, weight) / np.maximum(_smooth(usual, weight), 1e-12)
        yield f"{name} × {speed} level", profile * _ahead(np.clip(ratio, LEAST_RATIO, MOST_RATIO), lead)


def _ahead(values: FloatArray, lead: int) -> FloatArray:
    return np.concatenate([np.full(lead, np.nan), values])


def _smooth(values: FloatArray, weight: float) -> FloatArray:
    """Exponential smoothing that begins at the first value."""
    smoothed, _ = lfilter([weight], [1.0, weight - 1.0], values, zi=[(1.0 - weight) * values[0]])
    return np.asarray(smoothed, dtype=np.float64)


def _profile(values: FloatArray, lead: int, season: int, count: int) -> FloatArray:
    """Mean of up to ``count`` values that are whole seasons before each place."""
    total, known = np.zeros(len(values) + lead), np.zeros(len(values) + lead)
    for k in range(1, count + 1):
        back = k * season
        size = min(len(values), len(total) - back)
        if size > 0:
            total[back : back + size] += values[:size]
            known[back : back + size] += 1.0
    return np.where(known > 0, total / np.maximum(known, 1.0), np.nan)
