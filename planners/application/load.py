"""The rate that is planned for: the document's, times a factor, or the highest forecast quantile of a series."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from specs.application_plan import LoadPlanned
from specs.errors import InputError
from specs.load import LoadForecast

OnProgress = Callable[[float, float, str], None]


@dataclass(frozen=True, kw_only=True)
class LoadAsked:
    """``series``: requests per second of all entries over time; ``confidence``: the quantile of its forecast."""

    series: Path | None = None
    confidence: float = 0.95
    horizon_s: float = 86400.0
    scale: float = 1.0
    seed: int = 0


def planned_load(rate_per_s: float, asked: LoadAsked, inputs: dict[str, str], on_progress: OnProgress) -> LoadPlanned:
    """Return the rate to plan for; ``rate_per_s`` is that of the document, whose mix of entries is kept.

    The file of a series is added to ``inputs``. Raises `InputError` for a series that cannot be forecast.
    """
    if asked.series is None:
        basis = "the document's rates" + (f" times {asked.scale:g}" if asked.scale != 1.0 else "")
        return LoadPlanned(rate_per_s=rate_per_s * asked.scale, scale=asked.scale, basis=basis)
    from predictors.load.backtest import LEVELS
    from predictors.load.many import Wanted, forecast_all, known_methods
    from profilers.importers.load_series import read_series

    if asked.confidence not in LEVELS.tolist():
        known = ", ".join(f"{one:g}" for one in LEVELS.tolist())
        raise InputError(f"--confidence {asked.confidence:g}: forecasts have the levels {known}", cure="Take one.")
    found, digest = read_series(asked.series)
    inputs[asked.series.name] = digest
    wanted = Wanted(
        horizon_s=asked.horizon_s, level=asked.confidence, methods=known_methods(["boosted"]), seed=asked.seed,
        inputs={asked.series.name: digest},
    )  # fmt: skip
    forecast = forecast_all(found, wanted, on_progress=on_progress)
    if not isinstance(forecast, LoadForecast):
        cure = "Give the one series of requests per second that enter the application."
        raise InputError(f"{asked.series}: holds {len(found)} series", cure=cure)
    return _of(forecast, asked, rate_per_s)


def _of(forecast: LoadForecast, asked: LoadAsked, rate_per_s: float) -> LoadPlanned:
    level = f"p{100.0 * asked.confidence:g}"
    points = forecast.spec.points
    high = max(points, key=lambda one: one.quantiles[level])
    wanted = high.quantiles[level] * asked.scale
    if not wanted > 0.0:
        raise InputError(f"{asked.series}: the forecast is 0 over the whole horizon: zero traffic", cure="Look again.")
    middle = [one.quantiles["p50"] for one in points if "p50" in one.quantiles]
    hours = forecast.spec.horizon_s / 3600.0
    times = f" times {asked.scale:g}" if asked.scale != 1.0 else ""
    return LoadPlanned(
        rate_per_s=wanted, scale=wanted / rate_per_s, level=level, at=high.time,
        basis=f"highest {level} of the forecast of {forecast.metadata.name} over {hours:g} h{times}",
        mean_per_s=sum(middle) * asked.scale / len(middle) if middle else None,
        lowest_per_s=min(one.quantiles[level] for one in points) * asked.scale,
    )  # fmt: skip
