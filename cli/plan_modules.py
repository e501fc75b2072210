"""`tonnage plan modules`: copies of modules and layer services against whole instances."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.options import Force, Output, Quiet, Seed, Write
from cli.outcomes import OUTCOME_CODES


def modules(
    deployment: Annotated[Path, typer.Argument(help="A Deployment document: what runs now.")],
    cluster: Annotated[
        Path, typer.Option("--cluster", envvar="TONNAGE_CLUSTER", help="A Cluster document with taken and idle GPUs.")
    ],
    workload: Annotated[Path, typer.Option("--workload", help="A Workload document with an SLO.")],
    method: Annotated[
        Literal["cocoserve", "layer-services", "whole-instance", "all"], typer.Option(help="How to scale.")
    ] = "all",
    horizon: Annotated[float, typer.Option(min=0.001, help="Seconds in which a copy must earn its time.")] = 600.0,
    step: Annotated[float, typer.Option(min=1.0, help="Multiple of the load that is to be reacted to.")] = 2.0,
    groups: Annotated[int, typer.Option(min=1, help="Layer services that the model is cut into.")] = 4,
    hop_ms: Annotated[
        float, typer.Option(min=0.0, help="What software adds to a crossing between devices; 0.05 is assumed.")
    ] = 0.05,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="Chance that the SLO holds, given the error of step times.")
    ] = 0.8,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
    seed: Seed = 0,
) -> None:
    """Say whether copies of layers or layer services would save GPUs over whole instances, at equal attainment.

    Example: tonnage plan modules deployment.yaml --cluster cluster.yaml --workload workload.yaml
    """
    from cli.output import emit, progress, refuse_overwrite
    from planners.modules import plan as plan_modules
    from renderers.modules import modules_table

    refuse_overwrite(write, force)
    with progress(quiet=quiet) as on_progress:
        decided = plan_modules(
            deployment,
            cluster,
            workload,
            method=method,
            horizon_s=horizon,
            step=step,
            groups=groups,
            hop_ms=hop_ms,
            confidence=confidence,
            seed=seed,
            on_progress=on_progress,
        )
    emit(decided, lambda: modules_table(decided), output=output, write=write, force=force, quiet=quiet)
    raise typer.Exit(OUTCOME_CODES[decided.status.outcome])
