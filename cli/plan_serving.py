"""`tonnage plan serving`: how many GPUs, of which kind, split how, with which batch limits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.options import Force, Output, Quiet, Seed, Store, Write
from cli.outcomes import OUTCOME_CODES


def serving(
    workload: Annotated[Path, typer.Argument(help="A Workload document: model, arrivals, lengths, SLO.")],
    cluster: Annotated[
        Path, typer.Option("--cluster", envvar="TONNAGE_CLUSTER", help="A Cluster document: pools and prices.")
    ],
    objective: Annotated[
        Literal["cost", "gpus"], typer.Option(envvar="TONNAGE_OBJECTIVE", help="What to keep least.")
    ] = "cost",
    confidence: Annotated[
        float,
        typer.Option(
            envvar="TONNAGE_CONFIDENCE", min=0.5, max=0.999, help="Chance that the SLO holds, given the errors."
        ),
    ] = 0.8,
    survive: Annotated[
        Literal["replica", "node"] | None, typer.Option(help="Keep the SLO through the loss of one of these.")
    ] = None,
    require: Annotated[
        Literal["measured", "database", "calibrated"] | None,
        typer.Option(help="Refuse evidence that is weaker than this; the plan abstains."),
    ] = None,
    profile: Annotated[
        list[Path] | None,
        typer.Option(help="A LayerProfile, EngineProfile or HostProfile, or its id, to rest on; can be given again."),
    ] = None,
    current: Annotated[
        Path | None, typer.Option(help="The Deployment that runs now; the plan shows the difference.")
    ] = None,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
    seed: Seed = 0,
    store: Store = None,
) -> None:
    """Choose devices, parallelism, replicas and batch limits so that cost is least and the SLO holds.

    The plan goes into the index of the store, where one is named or profiles were given, with what it rests on.

    Example: tonnage plan serving workload.yaml --cluster cluster.yaml -w plan.yaml
    """
    from cli.keeping import plan_keeper
    from cli.output import emit, progress, refuse_overwrite
    from planners.serving import plan as plan_serving
    from renderers.plan_table import plan_table

    refuse_overwrite(write, force)
    keep = plan_keeper(store, profile or (), quiet=quiet)
    with progress(quiet=quiet) as on_progress:
        decided = plan_serving(
            workload,
            cluster,
            objective=objective,
            confidence=confidence,
            survive=survive,
            require=require,
            profiles=tuple(profile or ()),
            store=store,
            current=current,
            seed=seed,
            on_progress=on_progress,
        )
    emit(decided, lambda: plan_table(decided), output=output, write=write, force=force, quiet=quiet)
    keep(decided)
    raise typer.Exit(OUTCOME_CODES[decided.status.outcome])
