"""A forecast covers what it promises on synthetic loads, beats the baseline, and refuses what it cannot do."""

from __future__ import annotations

import numpy as np
import pytest

from predictors.load.backtest import BASELINE, LEVELS, backtest, score
from predictors.load.boosted import boosted
from predictors.load.candidates import points
from predictors.load.forecast import Series, forecast, lead_places
from predictors.load.many import Wanted, forecast_all
from predictors.load.seasons import filled, launches, seasons, shifts
from specs.errors import InputError
from specs.load import LoadForecast, LoadForecasts

DAY = 48
STEP_S = 1800.0


def daily(days: int, *, seed: int = 1, noise: float = 0.1) -> np.ndarray:
    """A wave of the day with a weekend, lognormal noise that hangs together (synthetic)."""
    rng = np.random.default_rng(seed)
    at = np.arange(days * DAY)
    wave = 100.0 * (1.2 + np.sin(2 * np.pi * at / DAY)) * np.where(at // DAY % 7 >= 5, 0.6, 1.0)
    drift = np.zeros(len(at))
    for i in range(1, len(at)):
        drift[i] = 0.9 * drift[i - 1] + noise * rng.normal()
    return wave * np.exp(drift)


def series(values: np.ndarray) -> Series:
    return Series(name="load", start_s=1.7e9, step_s=STEP_S, values=values)


@pytest.mark.parametrize("lead", [1, 2, 48])
def test_candidates_look_no_later_than_the_lead(lead: int) -> None:
    values = daily(20)
    changed = values.copy()
    changed[700:] *= 3.0
    for (name, one), (_, other) in zip(points(values, lead, DAY, 336), points(changed, lead, DAY, 336), strict=True):
        assert len(one) == len(values) + lead
        assert one[: 700 + lead] == pytest.approx(other[: 700 + lead], nan_ok=True), name


@pytest.mark.parametrize("method", ["given", "boosted"])
def test_no_forecast_looks_ahead(method: str) -> None:
    values = daily(16)
    changed = values.copy()
    changed[600:] *= 2.0
    more = {"boosted": boosted(STEP_S, 1.7e9)}
    one, other = (backtest(v, 4, seasons(values, STEP_S), target=0.95, more=more) for v in (values, changed))
    said = [x.given if method == "given" else x.methods["boosted"] for x in (one, other)]
    assert said[0][:604] == pytest.approx(said[1][:604], nan_ok=True)


@pytest.mark.parametrize(("lead", "most"), [(2, 0.8), (48, 1.05)])
def test_a_wave_is_covered_and_the_baseline_beaten(lead: int, most: float) -> None:
    values = daily(60)
    said = backtest(values, lead, seasons(values, STEP_S), target=0.95)
    given = score(values, said.given[:, 3], 0.95, said.start)
    base = score(values, said.methods[BASELINE][:, 3], 0.95, said.start)
    assert given is not None
    assert base is not None
    assert given.covered == pytest.approx(0.95, abs=0.02)
    assert given.pinball <= most * base.pinball


def test_a_burst_is_not_paid_for_a_fortnight_long() -> None:
    """Residuals of the burst stay in every window for fourteen days; weights and the moved level must not follow."""
    values = daily(40)
    values[12 * DAY : 12 * DAY + 6] *= 30.0
    said = backtest(values, DAY, seasons(values, STEP_S), target=0.95)
    after = 13 * DAY + 6
    given, base = (score(values, one[:, 3], 0.95, after) for one in (said.given, said.methods[BASELINE]))
    assert given is not None
    assert base is not None
    assert given.pinball <= 1.25 * base.pinball  # the seasonal quantile pays at these six places of the day alone


def test_levels_are_in_order_and_quantiles_reach_the_horizon() -> None:
    found = forecast(series(daily(21)), horizon_s=24 * 3600.0)
    assert len(found.spec.points) == DAY
    for point in found.spec.points:
        assert list(point.quantiles.values()) == sorted(point.quantiles.values())
        assert min(point.quantiles.values()) >= 0.0
    assert {one.method for one in found.spec.scores} >= {"calibrated blend", "seasonal quantile", "blend"}


def test_a_short_series_leans_on_the_seasonal_quantile_a_day_ahead_and_says_so() -> None:
    found = forecast(series(daily(8)), horizon_s=24 * 3600.0)
    assert "24 h ahead it still counts 75%, for want of trials" in found.spec.reason
    assert any("backtested" in note for note in found.spec.notes)


def test_the_same_series_gives_the_same_forecast() -> None:
    one, other = (forecast(series(daily(15)), horizon_s=3600.0).model_dump() for _ in range(2))
    assert one == other


def test_gaps_shifts_and_launches_are_found() -> None:
    values = daily(20, noise=0.02)
    values[10 * DAY :] *= 4.0
    values[: 3 * DAY] = 0.0
    values[500:510] = np.nan
    found = forecast(series(values), horizon_s=3600.0).spec.series
    assert found.gaps == 1
    assert len(found.launches) == 1
    assert shifts(filled(values), DAY)
    assert launches(values)[0] == pytest.approx(3 * DAY, abs=1)


def test_a_series_without_a_day_has_no_season() -> None:
    rng = np.random.default_rng(5)
    minute = Series(name="load", start_s=0.0, step_s=1.0, values=rng.poisson(50, 3600).astype(float))
    found = forecast(minute, horizon_s=60.0)
    assert found.spec.series.seasons == ()
    assert any("no daily season" in note for note in found.spec.notes)


@pytest.mark.parametrize(
    ("values", "horizon_s", "words"),
    [
        (np.array([1.0, 2.0]), 3600.0, "2 values: too few"),
        (np.full(500, 7.0), 3600.0, "constant at 7"),
        (np.where(np.arange(500) == 3, -1.0, np.arange(500.0)), 3600.0, "below zero"),
        (daily(10), 60.0, "horizon of 60 s"),
        (daily(10), 1e9, "horizon of 1e"),
    ],
)
def test_what_cannot_be_forecast_is_refused(values: np.ndarray, horizon_s: float, words: str) -> None:
    with pytest.raises(InputError, match=words):
        forecast(series(values), horizon_s=horizon_s)


def test_leads_reach_from_one_step_to_the_horizon() -> None:
    assert lead_places(1) == [1]
    assert lead_places(48)[0] == 1
    assert lead_places(48)[-1] == 48


def test_many_series_give_the_same_in_several_processes() -> None:
    wanted = Wanted(horizon_s=3600.0, level=0.95, methods=())
    found = {f"s{i}": (0.0, STEP_S, daily(9, seed=i)) for i in range(20)} | {"short": (0.0, STEP_S, np.ones(3))}
    alone, together = (forecast_all(found, wanted, jobs=jobs) for jobs in (1, 2))
    assert alone == together
    assert isinstance(alone, LoadForecasts)
    assert [one.refused for one in alone.series if one.refused] == ["3 values: too few to forecast from"]
    assert isinstance(forecast_all({"s0": found["s0"]}, wanted), LoadForecast)


@pytest.mark.extras
def test_dask_gives_the_same() -> None:
    distributed = pytest.importorskip("distributed")
    wanted = Wanted(horizon_s=3600.0, level=0.95, methods=())
    found = {f"s{i}": (0.0, STEP_S, daily(9, seed=i)) for i in range(4)}
    with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
        there = forecast_all(found, wanted, backend="dask", scheduler=cluster.scheduler_address)
    assert there == forecast_all(found, wanted)


@pytest.mark.extras
@pytest.mark.parametrize("method", ["holt-winters", "stl-arima", "lstm"])
def test_heavy_methods_are_candidates_like_any_other(method: str) -> None:
    pytest.importorskip("torch" if method == "lstm" else "statsmodels")
    wanted = Wanted(horizon_s=3600.0, level=0.95, methods=(method,))  # type: ignore[arg-type]
    found = forecast_all({"load": (0.0, STEP_S, daily(12))}, wanted)
    assert isinstance(found, LoadForecast)
    assert LEVELS[3] == found.spec.level
