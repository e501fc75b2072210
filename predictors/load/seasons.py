"""What a series is made of: its season, gaps, level shifts and launches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from solvers.seasonal import seasonal_strength

FloatArray = npt.NDArray[np.float64]
DAY_S, WEEK_S = 86_400.0, 604_800.0
REAL = 0.3
"""A season that explains less of the variance is none (ours)."""
SHIFT = 3.0
"""A level shift is a change of the median over a day by so many usual daily changes (ours)."""


@dataclass(frozen=True, kw_only=True)
class Seasons:
    """Places per day and week (None: the step does not divide it, or there are not two), and how strong each is."""

    day: int | None
    week: int | None
    day_strength: float
    week_strength: float


def seasons(values: FloatArray, step_s: float) -> Seasons:
    """Return the seasons of ``values`` [n], evenly spaced by ``step_s``, gaps filled."""
    day, week = (_places(length_s, step_s, len(values)) for length_s in (DAY_S, WEEK_S))
    return Seasons(
        day=day, week=week, day_strength=seasonal_strength(values, day) if day else 0.0,
        week_strength=seasonal_strength(values, week) if week else 0.0,
    )  # fmt: skip


def _places(length_s: float, step_s: float, count: int) -> int | None:
    places = round(length_s / step_s)
    divides = abs(places * step_s - length_s) < 1e-6 * length_s
    return places if divides and places >= 4 and count >= 2 * places else None


def filled(values: FloatArray) -> FloatArray:
    """Return ``values`` [n] with gaps filled on straight lines, and the nearest value at the ends."""
    known = np.isfinite(values)
    at = np.arange(len(values))
    return np.interp(at, at[known], values[known])


def shifts(values: FloatArray, day: int) -> list[int]:
    """Return the places where the median of the day after differs from that of the day before by three usual changes.

    Of neighbouring places the one of the largest change; a usual change is the median absolute one (ours).
    """
    days = len(values) // day
    if days < 4:
        return []
    medians = np.array([np.nanmedian(values[i * day : (i + 1) * day]) for i in range(days)])
    change = np.abs(np.diff(medians))
    usual = float(np.median(change))
    spread = float(np.nanmedian(np.abs(values - np.nanmedian(values))))
    far = (change > SHIFT * max(usual, 1e-12)) & (change > spread)
    return [(int(i) + 1) * day for i in np.flatnonzero(far)]


def launches(values: FloatArray) -> list[int]:
    """Return the places at which a load begins that was zero for at least a twentieth of the series before (ours)."""
    silent = np.nan_to_num(values) <= 0.0
    least = max(4, len(values) // 20)
    found, run = [], 0
    for at, quiet in enumerate(silent):
        if not quiet and run >= least:
            found.append(at)
        run = run + 1 if quiet else 0
    return found
