"""The forecast of `tonnage predict load`: quantiles over a horizon, methods tried, what the series is made of."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from specs.base import Document, NonNegative, Positive, Share, Spec
from specs.plan import Evidence


class SeriesFound(Spec):
    """What was seen in the series: its step, seasons, gaps, level shifts and launches (UTC, ISO 8601)."""

    unit: str | None = None
    step_s: Positive
    places: int
    start: str
    end: str
    days: NonNegative
    seasons: tuple[str, ...] = ()
    seasonal_strength: dict[str, Share] = Field(default_factory=dict)
    missing_share: Share = 0.0
    gaps: int = 0
    shifts: tuple[str, ...] = ()
    launches: tuple[str, ...] = ()
    peak_to_mean: NonNegative = 0.0


class MethodScore(Spec):
    """One method over the rolling origin at one lead; ``relative``: its pinball loss over that of the baseline."""

    method: str
    lead_s: Positive
    places: int
    pinball: NonNegative
    relative: NonNegative
    covered: Share  # share of the time that the load stayed at or below the quantile
    over: float  # mean of what was allocated above the load, over the mean load


class PointScore(Spec):
    """The median as a point forecast, and why it is none to size for: it is short about half of the time."""

    lead_s: Positive
    mape: NonNegative | None = None  # None where the load is zero at times
    short: Share


class ForecastPoint(Spec):
    """One time to come: quantiles of the load by their level, such as `p95`."""

    time: str
    time_s: float
    quantiles: dict[str, float]


class LoadForecastSpec(Spec):
    """Quantiles over the horizon; ``level`` is the one that was chosen by and is calibrated."""

    series: SeriesFound
    level: Share
    horizon_s: Positive
    chosen: str
    reason: str
    points: tuple[ForecastPoint, ...]
    scores: tuple[MethodScore, ...] = ()
    point: tuple[PointScore, ...] = ()
    recent: tuple[tuple[float, float], ...] = ()  # the last two seasons, for a plot: seconds since 1970, load
    notes: tuple[str, ...] = ()


class LoadForecast(Document):
    """A load forecast document."""

    kind: Literal["LoadForecast"] = "LoadForecast"
    spec: LoadForecastSpec
    evidence: tuple[Evidence, ...] = ()


class SeriesSummary(Spec):
    """One series of many: what was chosen, how it did, and the highest quantile of the horizon."""

    name: str
    chosen: str
    relative: NonNegative | None = None
    covered: Share | None = None
    highest: float
    refused: str | None = None


class LoadForecasts(Document):
    """Forecasts of many series, one line each."""

    kind: Literal["LoadForecasts"] = "LoadForecasts"
    level: Share
    horizon_s: Positive
    series: tuple[SeriesSummary, ...]
