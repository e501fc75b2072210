"""`tonnage plan autoscaling`: which scaling policy, with which settings, tried on the operator's own load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.options import Force, Output, Quiet, Seed, Write
from cli.outcomes import OUTCOME_CODES


def autoscaling(
    document: Annotated[Path, typer.Argument(help="A Workload or an Application document: what is promised.")],
    load: Annotated[
        Path | None, typer.Option("--load", help="CSV of t_s,rate_per_s: what enters over time, days of it.")
    ] = None,
    policy: Annotated[
        Literal["hpa", "keda", "predictive", "mpc", "td3", "ga-rl", "static", "all"],
        typer.Option(help="The policy to try; the simple ones that it must beat run beside it."),
    ] = "all",
    scaling: Annotated[
        Path | None, typer.Option(help="A Scaling document: start-up, metrics delay, prices, quota, what must survive.")
    ] = None,
    deployment: Annotated[
        Path | None, typer.Option(help="For a Workload: the Deployment whose replicas come and go.")
    ] = None,
    cluster: Annotated[
        Path | None, typer.Option(envvar="TONNAGE_CLUSTER", help="A Cluster document, for the price of a GPU.")
    ] = None,
    modules: Annotated[
        Path | None,
        typer.Option(help="For a Workload, instead: a plan of `plan modules` with layer services, to be scaled apart."),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Also print the survey's five axes for every method that ran.")
    ] = False,
    training: Annotated[
        Path | None, typer.Option(help="Folder that keeps the training of td3 and ga-rl; an interrupted one goes on.")
    ] = None,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
    seed: Seed = 0,
) -> None:
    """Tune every policy on one part of the load, score it on another, and recommend one with its reason.

    Example: tonnage plan autoscaling app.yaml --load orders.csv --scaling scaling.yaml --policy all
    """
    from cli.output import emit, progress, refuse_overwrite
    from planners.autoscaling import plan as plan_autoscaling
    from renderers.autoscaling import autoscaling_table

    refuse_overwrite(write, force)
    with progress(quiet=quiet) as on_progress:
        decided = plan_autoscaling(
            document,
            load=load,
            scaling=scaling,
            deployment=deployment,
            cluster=cluster,
            modules=modules,
            policy=policy,
            training=training,
            seed=seed,
            on_progress=on_progress,
        )
    emit(
        decided,
        lambda: autoscaling_table(decided, compare=compare),
        output=output,
        write=write,
        force=force,
        quiet=quiet,
    )
    raise typer.Exit(OUTCOME_CODES[decided.status.outcome])
