"""The load as it would have been forecast: quantiles for each time, from what was known a start-up before it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from predictors.autoscaling.looking import coarse
from predictors.autoscaling.state import FloatArray, IntArray
from predictors.load.backtest import BASELINE, LEVELS, backtest
from predictors.load.forecast import CHOSEN, LEAST_PLACES
from predictors.load.seasons import seasons

STEPS_S = (300.0, 600.0, 900.0, 1800.0, 3600.0)
MOST_PLACES = 2016
"""Steps of the forecast divide the day; the shortest that makes no more places of the load than these (two weeks of ten
minutes)."""
KEPT = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
TARGET = 0.95


@dataclass(frozen=True, kw_only=True)
class Band:
    """Means of the load per step and their quantiles [places], each forecast ``ahead_s`` before by ``method``."""

    step_s: float
    load: FloatArray
    quantiles: dict[str, FloatArray]
    ahead_s: float
    method: str

    def at(self, seconds: FloatArray) -> IntArray:
        """The place of each time."""
        return np.asarray(np.minimum((seconds // self.step_s).astype(int), len(self.load) - 1))


def forecast_band(rate: FloatArray, tick_s: float, start_up_s: float) -> Band | None:
    """Forecast every place of ``rate`` [ticks] as `predict load` does, its level of 95 % calibrated.

    None for a load that is constant or has fewer than 48 places. As far ahead as a replica takes to start, rounded up
    to steps.
    """
    step_s = _step_s(len(rate) * tick_s, tick_s)
    load = coarse(rate, max(round(step_s / tick_s), 1))
    if len(load) < LEAST_PLACES or np.ptp(load) == 0.0:
        return None
    lead = max(math.ceil(start_up_s / step_s - 1e-9), 1)
    found = backtest(load, lead, seasons(load, step_s), target=TARGET)
    quantiles = {
        name: np.maximum(found.given[: len(load), int(np.argmin(np.abs(LEVELS - level)))], 0.0)
        for name, level in KEPT.items()
    }
    method = CHOSEN if found.share > 0 else BASELINE
    return Band(step_s=step_s, load=load, quantiles=quantiles, ahead_s=lead * step_s, method=method)


def _step_s(duration_s: float, tick_s: float) -> float:
    """A step of whole ticks that divides the day."""
    fitting = [step for step in STEPS_S if step % tick_s == 0.0]
    short = [step for step in fitting if duration_s / step <= MOST_PLACES]
    return short[0] if short else (fitting[-1] if fitting else max(tick_s, STEPS_S[0] // tick_s * tick_s))
