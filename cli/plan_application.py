"""`tonnage plan application`: the whole, from the SLO to nodes and GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Force, Output, Quiet, Seed, Store, Write
from cli.outcomes import OUTCOME_CODES


def application(
    application: Annotated[Path, typer.Argument(help="An Application document: services, calls, entries with SLOs.")],
    cluster: Annotated[Path, typer.Option(help="A Cluster document with pools of CPU nodes, and of GPUs for models.")],
    load: Annotated[
        Path | None, typer.Option(metavar="SERIES", help="Requests per second over time; its forecast is planned for.")
    ] = None,
    confidence: Annotated[float, typer.Option(help="The quantile of the forecast: 0.9, 0.95, 0.99.")] = 0.95,
    horizon: Annotated[str, typer.Option(metavar="TIME", help="How far ahead to forecast: 1h, 24h.")] = "24h",
    scale: Annotated[float, typer.Option(help="Multiply the load of every entry.")] = 1.0,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
    seed: Seed = 0,
    store: Store = None,
) -> None:
    """Plan an application whole: caches, SLO split, replicas, nodes, GPUs and cost, confirmed by simulation.

    Example: tonnage plan application exchange.yaml --cluster exchange_nodes.yaml -o table
    """
    from cli.application import factor
    from cli.output import emit, progress, refuse_overwrite

    refuse_overwrite(write, force)
    scale = factor(scale, "--scale")
    from planners.application import plan as plan_application
    from profilers.prometheus.durations import seconds
    from renderers.application_plan import application_table

    with progress(quiet=quiet) as on_progress:
        decided = plan_application(
            application, cluster, load=load, confidence=confidence, horizon_s=seconds(horizon, "--horizon"),
            scale=scale, store=store, seed=seed, on_progress=on_progress,
        )  # fmt: skip
    emit(decided, lambda: application_table(decided), output=output, write=write, force=force, quiet=quiet)
    raise typer.Exit(OUTCOME_CODES[decided.status.outcome])
