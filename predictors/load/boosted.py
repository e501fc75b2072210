"""Gradient-boosted quantiles with lags, profiles and the calendar, fitted anew as the series grows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from predictors.load.backtest import LEVELS
from predictors.load.candidates import points
from predictors.load.seasons import Seasons
from predictors.threads import one_thread

FloatArray = npt.NDArray[np.float64]
FITTED = (0.5, 0.8, 0.95, 0.99)
"""Levels that are fitted; the others lie linearly between them in −log(1 − level)."""
FIRST_DAYS, GROWTH = 7, 1.35
"""The first fit uses so many days; each next one is made when the series has grown by a third."""


def boosted(step_s: float, start_s: float, *, seed: int = 0) -> Callable[[FloatArray, int, Seasons], FloatArray]:
    """Return a method for `backtest` (scikit-learn's HistGradientBoostingRegressor with quantile loss)."""

    def method(values: FloatArray, lead: int, found: Seasons) -> FloatArray:
        out = np.full((len(values) + lead, len(LEVELS)), np.nan)
        if found.day is None or lead > found.day:
            return out
        features = _features(values, lead, found, step_s, start_s)
        first = FIRST_DAYS * found.day + lead
        while first < len(out):
            last = min(int(first * GROWTH) + 1, len(out))
            known = slice(found.day, first - lead + 1)
            for place, quantiles in _fit_and_say(features, values, known, slice(first, last), seed):
                out[first:last, place] = quantiles
            first = last
        return np.maximum.accumulate(_between(out), axis=1)

    return method


def _features(values: FloatArray, lead: int, found: Seasons, step_s: float, start_s: float) -> FloatArray:
    said = [forecast for _, forecast in points(values, lead, found.day, found.week)]
    time_s = start_s + step_s * np.arange(len(values) + lead)
    hour, weekday = (time_s % 86_400) / 3600, np.floor(time_s / 86_400) % 7
    return np.stack([*said, hour, weekday], axis=1)


def _fit_and_say(features: FloatArray, values: FloatArray, known: slice, asked: slice, seed: int):  # type: ignore[no-untyped-def]
    from sklearn.ensemble import HistGradientBoostingRegressor

    for level in FITTED:
        model = HistGradientBoostingRegressor(
            loss="quantile", quantile=level, max_iter=80, learning_rate=0.08, max_leaf_nodes=8, min_samples_leaf=20,
            l2_regularization=1.0, early_stopping=False, random_state=seed,
        )  # fmt: skip
        with one_thread():
            said = model.fit(features[known], values[known]).predict(features[asked])
        yield int(np.argmin(np.abs(LEVELS - level))), said


def _between(out: FloatArray) -> FloatArray:
    """Fill the levels that were not fitted, linearly in −log(1 − level); beyond the last one, on the same line."""
    at = -np.log1p(-LEVELS)
    fitted = [int(np.argmin(np.abs(LEVELS - level))) for level in FITTED]
    for place in range(len(LEVELS)):
        if place not in fitted:
            right = min(max(int(np.searchsorted(fitted, place)), 1), len(fitted) - 1)
            low, high = fitted[right - 1], fitted[right]
            share = (at[place] - at[low]) / (at[high] - at[low])
            out[:, place] = out[:, low] + share * (out[:, high] - out[:, low])
    return out
