"""Exponential smoothing with a season and STL with ARIMA, by statsmodels, as methods of the backtest."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from predictors.load.backtest import LEAST_RESIDUALS, LEVELS, WINDOW_DAYS
from predictors.load.seasons import Seasons
from solvers.conformal import residual_quantiles
from specs.errors import MissingHardwareError

FloatArray = npt.NDArray[np.float64]
FIRST_DAYS = 7
"""Days before the first fit; each day is then forecast by a fit on the four weeks that ended with the day before."""


def holt_winters(values: FloatArray, lead: int, found: Seasons) -> FloatArray:
    """Return quantiles around ETS(A, N, A) with a daily season (Holt-Winters without trend, std)."""
    return _quantiles(values, lead, found, _ets)


def stl_arima(values: FloatArray, lead: int, found: Seasons) -> FloatArray:
    """Return quantiles around STL with ARIMA(1, 0, 1) on what is left after the daily season (std)."""
    return _quantiles(values, lead, found, _stl)


Fit = Callable[[FloatArray, int, int], FloatArray]


def _quantiles(values: FloatArray, lead: int, found: Seasons, fit: Fit) -> FloatArray:
    if found.day is None or lead > found.day:
        return np.full((len(values) + lead, len(LEVELS)), np.nan)
    point = np.full(len(values) + lead, np.nan)
    day, first = found.day, FIRST_DAYS * found.day
    for origin in range(first, len(values) + 1, day):
        recent = values[max(0, origin - 4 * FIRST_DAYS * day) : origin]
        said = fit(recent, day, day + lead)
        last = min(origin + lead - 1 + day, len(point))
        point[origin + lead - 1 : last] = said[lead - 1 : lead - 1 + last - (origin + lead - 1)]
    window = WINDOW_DAYS * day
    return residual_quantiles(values, point, lead, LEVELS, window=window, scale="same", least=LEAST_RESIDUALS)


def _ets(values: FloatArray, day: int, places: int) -> FloatArray:
    module = _module("statsmodels.tsa.holtwinters")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = module.ExponentialSmoothing(
            values, seasonal="add", seasonal_periods=day, initialization_method="heuristic"
        )
        return np.asarray(model.fit(optimized=True).forecast(places), dtype=np.float64)


def _stl(values: FloatArray, day: int, places: int) -> FloatArray:
    forecasting, arima = _module("statsmodels.tsa.forecasting.stl"), _module("statsmodels.tsa.arima.model")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        order = {"order": (1, 0, 1), "trend": "c"}
        model = forecasting.STLForecast(values, arima.ARIMA, model_kwargs=order, period=day)
        return np.asarray(model.fit().forecast(places), dtype=np.float64)


def _module(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingHardwareError(
            "statsmodels is not installed", cure="`pip install tonnage[forecast]`, or leave those methods out."
        ) from None
