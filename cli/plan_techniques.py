"""`tonnage plan techniques`: what each technique would gain for this workload on this deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Force, Output, Quiet, Seed, Store, Write
from cli.outcomes import OUTCOME_CODES


def techniques(
    workload: Annotated[Path, typer.Argument(help="A Workload document: arrivals, lengths, SLO.")],
    deployment: Annotated[
        Path, typer.Option("--deployment", envvar="TONNAGE_DEPLOYMENT", help="The Deployment that serves it now.")
    ],
    experts: Annotated[
        Path | None, typer.Option("--experts", help="An ExpertProfile, for brownout of a mixture of experts.")
    ] = None,
    accuracy: Annotated[
        Path | None, typer.Option("--accuracy", help="An AccuracyTable of the model, where none is published.")
    ] = None,
    cluster: Annotated[
        Path | None,
        typer.Option(
            "--cluster", envvar="TONNAGE_CLUSTER", help="Where it may be served; else nodes of the same device."
        ),
    ] = None,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
    seed: Seed = 0,
    store: Store = None,
) -> None:
    """Compare every technique that applies at equal SLO: gain in load, cost and p99, price, and why others do not.

    Example: tonnage plan techniques moe_chat.yaml --deployment moe_deployment.yaml --experts experts.yaml
    """
    from cli.output import emit, progress, refuse_overwrite
    from planners.techniques import plan as plan_techniques
    from renderers.techniques import techniques_table

    refuse_overwrite(write, force)
    with progress(quiet=quiet) as on_progress:
        decided = plan_techniques(
            workload,
            deployment,
            experts=experts,
            accuracy=accuracy,
            cluster=cluster,
            seed=seed,
            store=store,
            on_progress=on_progress,
        )
    emit(decided, lambda: techniques_table(decided), output=output, write=write, force=force, quiet=quiet)
    raise typer.Exit(OUTCOME_CODES[decided.status.outcome])
