"""`tonnage predict load`: quantiles of the load to come."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.options import Force, Output, Quiet, Seed, Write


def load(
    series: Annotated[Path, typer.Argument(help="A table with a time and a value; a column `series` for many.")],
    horizon: Annotated[str, typer.Option(metavar="TIME", help="How far ahead: 1h, 24h.")] = "24h",
    step: Annotated[
        str | None, typer.Option(metavar="TIME", help="Average the series to this step; else as it is.")
    ] = None,
    level: Annotated[float, typer.Option(help="The quantile that is calibrated and chosen by.")] = 0.95,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="boosted|holt-winters|stl-arima|lstm",
            help="Try this (boosted if none is named); repeat.",
        ),
    ] = None,
    time: Annotated[str | None, typer.Option(help="The column of times, where it is not recognised.")] = None,
    value: Annotated[str | None, typer.Option(help="The column of values, where it is not recognised.")] = None,
    timezone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="Times of day by this zone's clock: Europe/Berlin.")
    ] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw the forecast in the terminal.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes for many series.")] = 1,
    backend: Annotated[Literal["local", "dask"], typer.Option(help="Where the jobs run.")] = "local",
    scheduler: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Of the dask cluster.")] = None,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
    seed: Seed = 0,
) -> None:
    """Forecast a load by quantile, with the backtest that chose the method and calibrated its level.

    Example: tonnage predict load orders.csv --horizon 24h --plot -o table
    """
    from cli.output import emit, progress, refuse_overwrite
    from predictors.load.many import Wanted, forecast_all, known_methods
    from profilers.importers.load_series import read_series
    from profilers.prometheus.durations import seconds
    from renderers.load import load_table, loads_table
    from specs.load import LoadForecast

    refuse_overwrite(write, force)
    step_s = seconds(step, "--step") if step else None
    found, sha256 = read_series(series, time=time, value=value, step_s=step_s, timezone=timezone)
    wanted = Wanted(
        horizon_s=seconds(horizon, "--horizon"), level=level, methods=known_methods(methods or ["boosted"]), seed=seed,
        inputs={series.name: sha256},
    )  # fmt: skip
    with progress(quiet=quiet) as on_progress:
        said = forecast_all(found, wanted, jobs=jobs, backend=backend, scheduler=scheduler, on_progress=on_progress)
    table = (lambda: load_table(said, plot=plot)) if isinstance(said, LoadForecast) else (lambda: loads_table(said))
    emit(said, table, output=output, write=write, force=force, quiet=quiet)
