"""One series or thousands: the same forecasts, in one process, in several, or on a dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from predictors.load.backtest import More
from predictors.load.forecast import Series, forecast
from specs.base import Metadata
from specs.errors import InputError, MissingHardwareError
from specs.explaining import nearest
from specs.load import LoadForecast, LoadForecasts, SeriesSummary

FloatArray = npt.NDArray[np.float64]
Gridded = tuple[float, float, FloatArray]
OnProgress = Callable[[float, float, str], None]
Method = Literal["boosted", "holt-winters", "stl-arima", "lstm"]
BATCH = 16  # series per job: enough that sending one is cheap beside doing it


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked of each series."""

    horizon_s: float
    level: float
    methods: tuple[Method, ...] = ("boosted",)
    seed: int = 0
    inputs: dict[str, str] = field(default_factory=dict)


def known_methods(names: Sequence[str]) -> tuple[Method, ...]:
    """Return ``names`` as methods; raises `InputError` for one that is none."""
    known = get_args(Method)
    for name in names:
        if name not in known:
            raise InputError(f"--method {name!r}{nearest(name, list(known))}", cure=f"Known: {', '.join(known)}.")
    return tuple(one for one in known if one in names)


def forecast_all(
    found: Mapping[str, Gridded], wanted: Wanted, *, jobs: int = 1, backend: str = "local",
    scheduler: str | None = None, on_progress: OnProgress | None = None,
) -> LoadForecast | LoadForecasts:  # fmt: skip
    """Return the forecast of one series, or one line for each of many: a series that is refused does not stop others.

    The answer does not depend on ``jobs`` and ``backend``. Raises `InputError`; without dask `MissingHardwareError`.
    """
    progress = on_progress or (lambda done, total, what: None)
    if len(found) == 1:
        name, gridded = next(iter(found.items()))
        return one_forecast(name, gridded, wanted, progress)
    items = list(found.items())
    batches = [items[at : at + BATCH] for at in range(0, len(items), BATCH)]
    summaries: list[SeriesSummary] = []
    for done in _run(batches, wanted, jobs, backend, scheduler):
        summaries += done
        progress(len(summaries), len(items), f"series of {len(items)}")
    return LoadForecasts(
        metadata=Metadata(name="forecasts", inputs=wanted.inputs), level=wanted.level, horizon_s=wanted.horizon_s,
        series=tuple(summaries),
    )  # fmt: skip


def one_forecast(name: str, gridded: Gridded, wanted: Wanted, progress: OnProgress | None = None) -> LoadForecast:
    """Return the forecast of one series with the methods that were asked for."""
    start_s, step_s, values = gridded
    series = Series(name=name, start_s=start_s, step_s=step_s, values=values)
    return forecast(
        series, horizon_s=wanted.horizon_s, level=wanted.level, more=_methods(series, wanted),
        metadata=Metadata(name=name, inputs=wanted.inputs), on_progress=progress,
    )  # fmt: skip


def _methods(series: Series, wanted: Wanted) -> More:
    found: dict[str, Any] = {}
    for name in wanted.methods:
        if name == "boosted":
            from predictors.load.boosted import boosted

            found[name] = boosted(series.step_s, series.start_s, seed=wanted.seed)
        elif name == "lstm":
            from predictors.load.recurrent import recurrent

            found[name] = recurrent(seed=wanted.seed)
        else:
            from predictors.load import smoothing

            found[name] = smoothing.holt_winters if name == "holt-winters" else smoothing.stl_arima
    return found


def _run(
    batches: list[list[tuple[str, Gridded]]], wanted: Wanted, jobs: int, backend: str, scheduler: str | None
) -> Any:
    if backend == "dask":
        client = _client(scheduler)
        return (future.result() for future in client.map(_batch, batches, wanted=wanted, pure=False))
    if jobs == 1:
        return (_batch(batch, wanted) for batch in batches)
    from joblib import Parallel, delayed

    return Parallel(n_jobs=jobs, return_as="generator")(delayed(_batch)(batch, wanted) for batch in batches)


def _client(scheduler: str | None) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise MissingHardwareError("dask is not installed", cure="`pip install tonnage[dask]`.") from None
    if scheduler is None:
        raise InputError("--backend dask needs the address of a scheduler", cure="Give --scheduler tcp://host:8786.")
    try:
        return Client(scheduler, timeout="10s")
    except OSError as error:
        raise MissingHardwareError(f"{scheduler}: no scheduler answers: {error}", cure="Start one.") from None


def _batch(batch: list[tuple[str, Gridded]], wanted: Wanted) -> list[SeriesSummary]:
    return [_summary(name, gridded, wanted) for name, gridded in batch]


def _summary(name: str, gridded: Gridded, wanted: Wanted) -> SeriesSummary:
    try:
        spec = one_forecast(name, gridded, wanted).spec
    except InputError as error:
        return SeriesSummary(name=name, chosen="none", highest=0.0, refused=error.message.removeprefix(f"{name}: "))
    last = [one for one in spec.scores if one.lead_s == spec.horizon_s and one.method == "calibrated blend"]
    key = f"p{100 * wanted.level:g}"
    return SeriesSummary(
        name=name, chosen=spec.chosen, highest=max(point.quantiles[key] for point in spec.points),
        relative=last[0].relative if last else None, covered=last[0].covered if last else None,
    )  # fmt: skip
