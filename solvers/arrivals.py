"""Arrival processes: gamma renewal times at a constant rate, and carried over to a rate that varies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def gamma_times(total: float, cv: float, rng: np.random.Generator) -> FloatArray:
    """Times of a renewal process of unit rate on [0, total): gamma gaps of mean 1 and this coefficient of variation.

    The shape is 1/cv², the scale cv²; cv 1 is Poisson. [std]
    """
    shape, scale = 1 / cv**2, cv**2
    chunk = int(total + 6 * cv * np.sqrt(total) + 16)
    times = np.cumsum(rng.gamma(shape, scale, chunk))
    while times[-1] < total:
        times = np.concatenate([times, times[-1] + np.cumsum(rng.gamma(shape, scale, chunk))])
    return times[times < total]


def rate_times(t: FloatArray, rate: FloatArray, cv: float, rng: np.random.Generator) -> FloatArray:
    """Times on [t₀, t_end) of gamma arrivals whose rate is linear between the points (t, rate).

    The unit-rate process is carried over by the inverse of the cumulative rate (time change). Times count from t₀.
    [std]
    """
    step = np.diff(t)
    area = np.concatenate([[0.0], np.cumsum(step * (rate[:-1] + rate[1:]) / 2)])
    unit = gamma_times(float(area[-1]), cv, rng)
    cell = np.clip(np.searchsorted(area, unit, side="right") - 1, 0, len(step) - 1)
    rest, start = unit - area[cell], rate[cell]
    slope = (rate[cell + 1] - start) / step[cell]
    root = np.sqrt(np.maximum(start**2 + 2 * slope * rest, 0.0))
    into = np.where(start + root > 0, 2 * rest / np.maximum(start + root, 1e-300), 0.0)
    times: FloatArray = t[cell] - t[0] + np.minimum(into, step[cell])
    return times
