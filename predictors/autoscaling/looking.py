"""What a policy knows of the time to come: schedules by the clock and seasonal quantiles, never the future itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from predictors.autoscaling.capacity import Capacity, replicas_needed
from predictors.autoscaling.simulation import Scaled
from predictors.autoscaling.state import FloatArray
from solvers.seasonal import pinball, seasonal_quantile, seasonal_strength
from specs.errors import InputError
from specs.policies import PolicySpec, ScheduleWindow

DAY_S, WEEK_S = 86400.0, 604800.0
FORECAST_S = 60.0
"""Forecasts are made for steps of a minute, or of a tick where that is longer."""
SPREAD_STEPS = 3
WEAK = 0.2
"""Share of the variance below which a season is not believed."""
TRAILING_S = 600.0
VPA_QUANTILE, VPA_MARGIN, VPA_HALF_LIFE_S, VPA_HISTORY_S = 0.9, 1.15, 86400.0, 8 * 86400.0
"""What the recommender of the vertical pod autoscaler takes by default: the 90th percentile of use over eight days that
fade with a half-life of one, and 15 % on top [code]."""


@dataclass(frozen=True, kw_only=True)
class View:
    """One service's load as the simulator reads it: requests per second [ticks], and the clock at its first tick."""

    rate_per_s: FloatArray
    start_s: float
    tick_s: float
    season_s: float | None
    cache: dict[tuple[float, ...], FloatArray] = field(default_factory=dict, repr=False, compare=False)

    def quantile(self, quantile: float, seasons: int = 7) -> FloatArray:
        """The rate that the same time of earlier seasons stays below with this chance; the recent mean before that."""
        key = (quantile, float(seasons))
        if key not in self.cache:
            self.cache[key] = self._quantile(quantile, seasons)
        return self.cache[key]

    def _quantile(self, quantile: float, seasons: int) -> FloatArray:
        recent = trailing(self.rate_per_s, self.tick_s)
        if self.season_s is None:
            return recent
        every = max(round(FORECAST_S / self.tick_s), 1)
        steps = coarse(self.rate_per_s, every)
        season = round(self.season_s / (every * self.tick_s))
        found = seasonal_quantile(steps, season, quantile, seasons=seasons, spread=SPREAD_STEPS)
        fine = np.repeat(found, every)[: len(recent)]
        fine = np.concatenate([fine, np.full(len(recent) - len(fine), fine[-1])])
        return np.where(np.isnan(fine), recent, fine)


def coarse(values: FloatArray, every: int) -> FloatArray:
    """Means of every so many values; a rest at the end is left out."""
    count = len(values) // every
    return np.asarray(values[: count * every].reshape(count, every).mean(axis=1))


def trailing(rate: FloatArray, tick_s: float) -> FloatArray:
    """Mean of the last ten minutes before each tick; the first rate where there is nothing before."""
    ticks = max(round(TRAILING_S / tick_s), 1)
    sums = np.concatenate([[0.0], np.cumsum(rate)])
    last = np.arange(len(rate))
    first = np.maximum(last - ticks, 0)
    found = (sums[last] - sums[first]) / np.maximum(last - first, 1)
    found[0] = rate[0]
    return np.asarray(found)


def find_season(rate: FloatArray, tick_s: float) -> float | None:
    """The season of a load in seconds, a day or a week, or None: whichever forecasts its 90 % quantile better."""
    every = max(round(FORECAST_S / tick_s), 1)
    steps = coarse(rate, every)
    losses = {}
    for season_s in (DAY_S, WEEK_S):
        season = round(season_s / (every * tick_s))
        if len(steps) >= 2 * season and seasonal_strength(steps, season) >= WEAK:
            forecast = seasonal_quantile(steps, season, 0.9, spread=min(SPREAD_STEPS, season - 1))
            losses[season_s] = pinball(steps[2 * season :], forecast[2 * season :], 0.9)
    known = {season: loss for season, loss in losses.items() if not np.isnan(loss)} or losses
    return min(known, key=known.__getitem__) if known else None


def scaled(
    policy: PolicySpec, capacity: Capacity, view: View, *, first: int = 0, last: int | None = None, lost: int = 0,
    zones: int = 0, losses_per_hour: float = 0.0,
) -> Scaled:  # fmt: skip
    """The service under ``policy`` between two ticks of its load, with what the policy knows of the time to come."""
    part = slice(first, last)
    planned, ahead, base = planned_replicas(policy, capacity, view), None, None
    if policy.kind in ("mpc", "td3", "ga-rl"):
        quantile = policy.forecast.quantile if policy.forecast else 0.5
        ahead, base = view.quantile(quantile), view.quantile(0.5)
    return Scaled(
        capacity=capacity, policy=policy, arrivals=view.rate_per_s[part] * view.tick_s,
        planned=None if planned is None else planned[part], ahead=None if ahead is None else ahead[part],
        base=None if base is None else base[part], lost=lost, zones=zones, losses_per_hour=losses_per_hour,
    )  # fmt: skip


def planned_replicas(policy: PolicySpec, capacity: Capacity, view: View) -> FloatArray | None:
    """Replicas that the schedule and the forecast ask for at each tick; None where the policy has neither."""
    planned = np.zeros(len(view.rate_per_s))
    if policy.kind == "vpa":
        return np.minimum(np.ceil(vertical_size(view) / capacity.per_s), policy.max_replicas)
    for window in policy.schedule:
        planned = np.maximum(planned, np.where(inside(window, view), window.replicas, 0))
    if policy.forecast is not None and policy.kind == "predictive":
        looked = policy.forecast
        rates = view.quantile(looked.quantile, looked.seasons)
        needed = replicas_needed(capacity, rates, looked.late_share, policy.max_replicas).astype(np.float64)
        needed = np.ceil(needed * looked.head_room) + np.where(needed > 0, looked.spare_replicas, 0)
        ticks = max(round(looked.lead_s / view.tick_s), 1)
        planned = np.maximum(planned, np.minimum(highest_ahead(needed, ticks), policy.max_replicas))
    return planned if policy.schedule or (policy.forecast is not None and policy.kind == "predictive") else None


def vertical_size(view: View) -> FloatArray:
    """Capacity that the vertical pod autoscaler would ask for at each tick, requests per second, renewed once a day.

    From the load before that day alone; over the first day, from its first ten minutes.
    """
    every = max(round(FORECAST_S / view.tick_s), 1)
    steps, step_s = coarse(view.rate_per_s, every), every * view.tick_s
    day = round(DAY_S / step_s)
    size = np.empty(len(view.rate_per_s))
    for first in range(0, len(size), day * every):
        known = steps[: first // every][-round(VPA_HISTORY_S / step_s) :]
        known = known if len(known) else steps[: max(round(TRAILING_S / step_s), 1)]
        weights = np.asarray(0.5 ** (np.arange(len(known))[::-1] * step_s / VPA_HALF_LIFE_S), dtype=np.float64)
        size[first : first + day * every] = VPA_MARGIN * weighted_quantile(known, weights, VPA_QUANTILE)
    return size


def weighted_quantile(values: FloatArray, weights: FloatArray, quantile: float) -> float:
    """The least value at or below which that share of the weight lies."""
    order = np.argsort(values)
    shares = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(shares, quantile - 1e-12)), len(values) - 1)])


def highest_ahead(values: FloatArray, ticks: int) -> FloatArray:
    """The largest of each value and the ``ticks`` after it, which are forecasts, not observations."""
    from numpy.lib.stride_tricks import sliding_window_view

    padded = np.concatenate([values, np.full(ticks, values[-1])])
    return np.asarray(sliding_window_view(padded, ticks + 1).max(axis=1))


def inside(window: ScheduleWindow, view: View) -> FloatArray:
    """Whether each tick lies in the window, by the clock of its time zone, changes of daylight saving included.

    A load whose times are no dates (before 2001) begins on a Monday at midnight of that zone.
    """
    zone = zone_of(window.timezone)
    begin, end = minute_of(window.start), minute_of(window.end)
    at = view.start_s + np.arange(len(view.rate_per_s)) * view.tick_s
    if view.start_s < 1e9:
        minute, day = (at / 60.0) % 1440.0, (at // DAY_S) % 7
    else:
        hours = at // 900.0
        local = {h: datetime.fromtimestamp(float(h) * 900.0, UTC).astimezone(zone) for h in np.unique(hours)}
        base = np.array([local[h].hour * 60 + local[h].minute for h in hours], dtype=np.float64)
        minute = base + (at - hours * 900.0) / 60.0
        day = np.array([local[h].weekday() for h in hours])
    within = (minute >= begin) & (minute < end) if begin < end else (minute >= begin) | (minute < end)
    return np.asarray(within & np.isin(day, window.days))


def zone_of(name: str) -> ZoneInfo:
    """The time zone of that name; raises `InputError` for one that is not known."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        cure = "Give a name such as UTC or Europe/Berlin."
        raise InputError(f"timezone: {name!r} is not known", cure=cure) from None


def minute_of(text: str) -> int:
    """Minute of the day of ``HH:MM``; raises `InputError` for anything else."""
    hour, _, minute = text.partition(":")
    if not (hour.isdigit() and minute.isdigit() and int(hour) <= 24 and int(minute) < 60):
        raise InputError(f"schedule: found {text!r}, expected a time of day", cure="Say 08:00 or 17:30.")
    return int(hour) * 60 + int(minute)
