"""`tonnage plan brownout`: united experts and thresholds that carry a burst without more GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Force, Output, Quiet, Seed, Store, Write
from cli.outcomes import OUTCOME_CODES


def brownout(
    workload: Annotated[Path, typer.Argument(help="A Workload document: arrivals, lengths, SLO.")],
    deployment: Annotated[
        Path, typer.Option("--deployment", envvar="TONNAGE_DEPLOYMENT", help="A Deployment of a mixture of experts.")
    ],
    experts: Annotated[Path, typer.Option("--experts", help="An ExpertProfile: how often each expert is chosen.")],
    accuracy: Annotated[
        Path | None,
        typer.Option("--accuracy", help="An AccuracyTable of the model; the published one where there is one."),
    ] = None,
    burst: Annotated[
        float, typer.Option("--burst", help="Multiple of the rate, from 30 % of the trace on, that must be carried.")
    ] = 2.0,
    per_layer: Annotated[
        bool, typer.Option("--per-layer", help="Give every layer thresholds of its own, at the same expert time.")
    ] = False,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
    seed: Seed = 0,
    store: Store = None,
) -> None:
    """Choose united experts and thresholds that keep the SLO through a burst, at the least loss of accuracy.

    Example: tonnage plan brownout moe_chat.yaml --deployment moe_deployment.yaml --experts experts.yaml
    """
    from cli.output import emit, progress, refuse_overwrite
    from planners.brownout import plan as plan_brownout
    from renderers.brownout import brownout_table

    refuse_overwrite(write, force)
    with progress(quiet=quiet) as on_progress:
        decided = plan_brownout(
            workload,
            deployment,
            experts,
            accuracy,
            burst=burst,
            per_layer=per_layer,
            seed=seed,
            store=store,
            on_progress=on_progress,
        )
    emit(decided, lambda: brownout_table(decided), output=output, write=write, force=force, quiet=quiet)
    raise typer.Exit(OUTCOME_CODES[decided.status.outcome])
