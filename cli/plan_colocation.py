"""`tonnage plan colocation`: which pods share which nodes, by how much they slow each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Force, Output, Quiet, Seed, Store, Write
from cli.outcomes import OUTCOME_CODES


def colocation(
    application: Annotated[Path, typer.Argument(help="An Application document: services, replicas, requests, QoS.")],
    cluster: Annotated[
        Path, typer.Option("--cluster", envvar="TONNAGE_CLUSTER", help="A Cluster document with CPU pools.")
    ],
    measured: Annotated[
        list[Path] | None,
        typer.Option(help="A table or CpiProfile to learn interference from; can be given again. Else the store's."),
    ] = None,
    node_weight: Annotated[
        float, typer.Option(min=0.0, help="Cores of slowdown that one core of an emptied node is worth.")
    ] = 0.1,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
    seed: Seed = 0,
    store: Store = None,
) -> None:
    """Place latency-sensitive and best-effort pods on nodes so that they slow each other least on few nodes.

    Example: tonnage plan colocation pods.yaml --cluster nodes.yaml --measured contention.csv
    """
    from cli.output import emit, progress, refuse_overwrite
    from planners.colocation import plan as plan_colocation
    from renderers.colocation import colocation_table

    refuse_overwrite(write, force)
    with progress(quiet=quiet) as on_progress:
        decided = plan_colocation(
            application,
            cluster,
            measured=tuple(measured or ()),
            node_weight=node_weight,
            store=store,
            seed=seed,
            on_progress=on_progress,
        )
    emit(decided, lambda: colocation_table(decided), output=output, write=write, force=force, quiet=quiet)
    raise typer.Exit(OUTCOME_CODES[decided.status.outcome])
