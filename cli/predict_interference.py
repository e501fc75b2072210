"""`tonnage predict interference`: how much containers slow each other, how sure that is, and who disturbs whom."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Force, Output, Quiet, Seed, Store, Write


def interference(
    measured: Annotated[
        list[Path] | None,
        typer.Argument(help="Tables (CSV, Parquet) or CpiProfiles to learn from; else every CpiProfile in the store."),
    ] = None,
    observed: Annotated[
        Path | None, typer.Option(help="Where to look for alarms, judged by what was learnt; else in the same rows.")
    ] = None,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
    seed: Seed = 0,
    store: Store = None,
) -> None:
    """Learn CPI (or slowdown) from neighbours' pressure, score it on rows held out, and name who disturbs whom.

    Alarms are reported and never acted on.

    Example: tonnage predict interference contention.csv
    """
    from cli.output import emit, progress, refuse_overwrite
    from predictors.interference import estimate_interference
    from profilers.contention import contention_rows
    from renderers.interference import interference_table

    refuse_overwrite(write, force)
    rows = contention_rows(tuple(measured or ()), store=store)
    watched = contention_rows((observed,), store=store) if observed else None
    name = measured[0].stem if measured else "store"
    with progress(quiet=quiet) as on_progress:
        found = estimate_interference(name, rows, observed=watched, seed=seed, on_progress=on_progress)
    emit(found, lambda: interference_table(found), output=output, write=write, force=force, quiet=quiet)
