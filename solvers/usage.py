"""Estimates of how much a container needs from samples of what it used: quantiles, busy hours, warm-up, resampling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
HOURS = 24
DAY_S = 86_400.0
LEAST_DAYS = 3.0
"""Days below which no daily season is looked for (ours)."""
SEASONAL_SHARE = 0.3
"""A season is taken as real where hours of the day explain this much of the variance (ours)."""


def hour_of_day(time_s: FloatArray) -> npt.NDArray[np.int64]:
    """Return the hour (UTC) of each time in seconds since 1970."""
    return (np.floor(time_s / 3600.0) % HOURS).astype(np.int64)


def seasonal_share(values: FloatArray, time_s: FloatArray) -> float:
    """Return the share of the variance of ``values`` [n] that the hour of day explains; 0 below three days. (std)"""
    known = np.isfinite(values)
    if not known.any() or np.ptp(time_s[known]) < LEAST_DAYS * DAY_S:
        return 0.0
    value, hour = values[known], hour_of_day(time_s[known])
    spread = float(value.var())
    count = np.bincount(hour, minlength=HOURS)
    mean = np.bincount(hour, weights=value, minlength=HOURS) / np.maximum(count, 1)
    between = float((count * (mean - value.mean()) ** 2).sum() / count.sum())
    return between / spread if spread > 0 else 0.0


def busiest(values: FloatArray, time_s: FloatArray, share: float) -> float:
    """Return the quantile ``share`` of the hour of the day in which it is highest. (ours)

    A plain quantile over the whole day lets the quiet hours vote on what the busy one needs.
    """
    known = np.isfinite(values)
    value, hour = values[known], hour_of_day(time_s[known])
    return max(float(np.quantile(value[hour == one], share)) for one in np.unique(hour))


def after_starts(time_s: FloatArray, starts_s: FloatArray, window_s: float) -> BoolArray:
    """Return which of ``time_s`` [n] lie less than ``window_s`` after one of ``starts_s`` [k]."""
    if not len(starts_s):
        return np.zeros(len(time_s), dtype=np.bool_)
    starts = np.sort(starts_s)
    before = np.searchsorted(starts, time_s, side="right") - 1
    age = time_s - starts[np.maximum(before, 0)]
    return (before >= 0) & (age < window_s)


def day_spread(
    values: FloatArray, time_s: FloatArray, estimate: Callable[[FloatArray, FloatArray], float], *, seed: int,
    draws: int = 40, level: float = 0.9,
) -> tuple[float, float]:  # fmt: skip
    """Return the ``level`` interval of ``estimate(values, time_s)`` with whole days drawn again (block bootstrap, std).

    Days stay whole because samples within one hang together. One day alone gives no interval: both ends are NaN.
    """
    day = np.floor(time_s / DAY_S).astype(np.int64)
    days = np.unique(day)
    if len(days) < 2:
        return float("nan"), float("nan")
    rows = [np.flatnonzero(day == one) for one in days]
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        taken = np.concatenate([rows[i] for i in rng.integers(0, len(rows), len(rows))])
        if np.isfinite(values[taken]).any():
            found.append(estimate(values[taken], time_s[taken]))
    low, high = np.quantile(found, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)
