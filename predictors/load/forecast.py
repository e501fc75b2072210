"""From a series of load to its quantile forecast over a horizon, with the backtest that chose and calibrated it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from predictors.load.backtest import BASELINE, BLEND, LEVELS, Lead, More, Score, backtest, score
from predictors.load.seasons import REAL, Seasons, filled, launches, seasons, shifts
from specs.base import Metadata
from specs.errors import InputError
from specs.load import (
    ForecastPoint,
    LoadForecast,
    LoadForecastSpec,
    MethodScore,
    PointScore,
    SeriesFound,
)
from specs.plan import Evidence

FloatArray = npt.NDArray[np.float64]
OnProgress = Callable[[float, float, str], None]
LEAST_PLACES = 48
MOST_LEADS = 8
CHOSEN = "calibrated blend"
NAMES = ("p50", "p80", "p90", "p95", "p97.5", "p99", "p99.5")
SHOWN = 6
"""Methods in the table, best first, beside the baseline and what is given out."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """``values`` [n] at ``start_s`` + i · ``step_s`` (seconds since 1970); NaN where nothing was measured."""

    name: str
    start_s: float
    step_s: float
    values: FloatArray
    unit: str | None = None


def forecast(
    series: Series, *, horizon_s: float, level: float = 0.95, more: More | None = None,
    metadata: Metadata | None = None, on_progress: OnProgress | None = None,
) -> LoadForecast:  # fmt: skip
    """Forecast ``series`` over ``horizon_s`` by quantile; ``level`` (one of LEVELS) is calibrated and chosen by.

    Raises `InputError` for a series that is too short, constant, negative or all gaps, and a horizon of no place.
    """
    check(series, horizon_s, level)
    progress = on_progress or (lambda done, total, what: None)
    values = filled(series.values)
    found = seasons(values, series.step_s)
    places = math.ceil(horizon_s / series.step_s - 1e-9)
    leads: list[Lead] = []
    chosen_leads = lead_places(places)
    for number, lead in enumerate(chosen_leads):
        progress(number, len(chosen_leads), f"{lead} steps ahead")
        leads.append(backtest(values, lead, found, target=level, more=more))
    at = int(np.argmin(np.abs(LEVELS - level)))
    scores = [one for lead in (leads[0], leads[-1]) for one in _scores(series, lead, at)]
    return LoadForecast(
        metadata=metadata or Metadata(name=series.name),
        spec=LoadForecastSpec(
            series=_found(series, found), level=level, horizon_s=places * series.step_s, chosen=_chosen(leads),
            reason=_reason(leads, scores), points=_points(series, leads, places), scores=tuple(scores),
            point=tuple(_point_score(series, lead) for lead in (leads[0], leads[-1])),
            recent=_recent(series, found), notes=_notes(series, found, leads),
        ),
        evidence=(Evidence(quantity="load", basis="measured", source=f"{series.name}, {len(values)} places"),),
    )  # fmt: skip


def check(series: Series, horizon_s: float, level: float) -> None:
    """Raise `InputError` where ``series`` cannot be forecast."""
    known = series.values[np.isfinite(series.values)]
    name = series.name
    if len(known) < LEAST_PLACES:
        cure = f"Give at least {LEAST_PLACES} values, better two weeks."
        raise InputError(f"{name}: {len(known)} values: too few to forecast from", cure=cure)
    if (known < 0).any():
        raise InputError(f"{name}: a load below zero: {known.min():g}", cure="Give rates or counts, zero or more.")
    if np.ptp(known) == 0.0:
        raise InputError(f"{name}: constant at {known[0]:g}: there is nothing to forecast", cure="Size for that load.")
    if not series.step_s <= horizon_s < len(series.values) * series.step_s:
        cure = f"Choose between one step ({series.step_s:g} s) and the length of the series."
        raise InputError(f"{name}: a horizon of {horizon_s:g} s", cure=cure)
    if not np.isclose(LEVELS, level).any():
        raise InputError(f"the level {level:g} is none of {', '.join(f'{one:g}' for one in LEVELS)}")


def lead_places(places: int) -> list[int]:
    """Return the leads that are backtested: 1, the horizon, and about geometrically between them."""
    between = np.geomspace(1, places, min(MOST_LEADS, places)) if places > 1 else np.array([1.0])
    return sorted({round(float(one)) for one in between} | {places})


def _points(series: Series, leads: list[Lead], places: int) -> tuple[ForecastPoint, ...]:
    """Each time from the shortest lead that reaches it, which rests on slightly older values than it might."""
    size, found = len(series.values), []
    for ahead in range(1, places + 1):
        lead = next(one for one in leads if one.lead >= ahead)
        given = np.maximum(lead.given[size - 1 + ahead], 0.0)
        time_s = series.start_s + (size - 1 + ahead) * series.step_s
        quantiles = {name: float(f"{value:.5g}") for name, value in zip(NAMES, given, strict=True)}
        found.append(ForecastPoint(time=iso(time_s), time_s=time_s, quantiles=quantiles))
    return tuple(found)


def iso(time_s: float) -> str:
    """Return a time in seconds since 1970 as UTC, ISO 8601."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _scores(series: Series, lead: Lead, at: int) -> list[MethodScore]:
    """The baseline, what is given out, and the best of the others at one lead."""
    level = float(LEVELS[at])
    by = {name: score(series.values, said[:, at], level, lead.start) for name, said in lead.methods.items()}
    given = score(series.values, lead.given[:, at], level, lead.start)
    base = by[BASELINE]
    if base is None or given is None:
        return []
    known = {name: one for name, one in by.items() if one is not None and one.places == base.places}
    best = sorted((name for name in known if name not in (BASELINE, BLEND)), key=lambda name: known[name].pinball)
    rows: list[tuple[str, Score]] = [(CHOSEN, given), (BASELINE, base)]
    rows += [(name, known[name]) for name in [*([BLEND] if BLEND in known else []), *best[:SHOWN]]]
    unit = max(base.pinball, 1e-300)
    return [
        MethodScore(
            method=name, lead_s=lead.lead * series.step_s, places=one.places, pinball=_five(one.pinball),
            relative=_five(one.pinball / unit), covered=_five(one.covered), over=_five(one.over),
        )
        for name, one in rows
    ]  # fmt: skip


def _point_score(series: Series, lead: Lead) -> PointScore:
    said = lead.given[: len(series.values), 0]
    kept = np.isfinite(series.values) & np.isfinite(said)
    kept[: lead.start] = False
    truth, given = series.values[kept], said[kept]
    mape = float(np.mean(np.abs(given / truth - 1.0))) if len(truth) and (truth > 0).all() else None
    return PointScore(
        lead_s=lead.lead * series.step_s, mape=None if mape is None else _five(mape),
        short=_five(float((truth > given).mean())) if len(truth) else 0.0,
    )  # fmt: skip


def _chosen(leads: list[Lead]) -> str:
    return CHOSEN if leads[0].share > 0 or leads[-1].share > 0 else BASELINE


def _reason(leads: list[Lead], scores: list[MethodScore]) -> str:
    if not scores:
        return "the series is too short to backtest: the seasonal quantile, uncalibrated"
    first, last = (next(s for s in scores if s.method == CHOSEN and s.lead_s == one.lead_s) for one in
                   (scores[0], scores[-1]))  # fmt: skip
    ends = [(first, leads[0].share)] + ([(last, leads[-1].share)] if last.lead_s != first.lead_s else [])
    parts = [f"{one.relative:.2f} × the seasonal quantile's loss {_ahead(one.lead_s)} ahead" for one, _ in ends]
    weak = [
        f"{_ahead(one.lead_s)} ahead it still counts {1.0 - share:.0%}, for want of trials"
        for one, share in ends
        if share < 1.0
    ]
    return "; ".join([", ".join(parts), *weak])


def _ahead(lead_s: float) -> str:
    return f"{lead_s / 3600:.3g} h" if lead_s >= 3600 else f"{lead_s / 60:.3g} min"


def _found(series: Series, found: Seasons) -> SeriesFound:
    values = series.values
    absent = np.isnan(values)
    strength = {"day": found.day_strength, "week": found.week_strength}
    day = found.day or max(len(values) // 8, 1)
    return SeriesFound(
        unit=series.unit, step_s=series.step_s, places=len(values), start=iso(series.start_s),
        end=iso(series.start_s + (len(values) - 1) * series.step_s), days=_five(len(values) * series.step_s / 86_400),
        seasons=tuple(name for name, share in strength.items() if share >= REAL),
        seasonal_strength={name: _five(share) for name, share in strength.items()},
        missing_share=_five(float(absent.mean())), gaps=int((np.diff(absent.astype(int)) == 1).sum() + absent[0]),
        shifts=tuple(iso(series.start_s + at * series.step_s) for at in shifts(values, day)),
        launches=tuple(iso(series.start_s + at * series.step_s) for at in launches(values)),
        peak_to_mean=_five(float(np.nanmax(values) / max(float(np.nanmean(values)), 1e-300))),
    )  # fmt: skip


def _recent(series: Series, found: Seasons) -> tuple[tuple[float, float], ...]:
    count = min(len(series.values), 2 * found.day if found.day else 200)
    first = len(series.values) - count
    return tuple(
        (series.start_s + (first + i) * series.step_s, _five(float(value)))
        for i, value in enumerate(series.values[first:])
        if math.isfinite(value)
    )


def _notes(series: Series, found: Seasons, leads: list[Lead]) -> tuple[str, ...]:
    notes = []
    if found.day is None:
        notes.append("less than two days, or a step that does not divide the day: no daily season")
    elif found.week is None:
        notes.append("less than two weeks: weekends are forecast like any day")
    tested = (len(series.values) - leads[-1].start) * series.step_s / 86_400
    if tested < 7:
        notes.append(f"only {max(tested, 0.0):.1f} days could be backtested: the coverage is uncertain")
    return tuple(notes)


def _five(value: float) -> float:
    return float(f"{value:.5g}")
