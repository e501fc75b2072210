"""`tonnage predict serving` and `predict memory`: what one deployment would do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Force, Output, Quiet, Seed, Store, Write

DeploymentFile = Annotated[Path, typer.Argument(help="A Deployment document: model, device, parallelism, engine.")]


def memory(
    deployment: DeploymentFile,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Print the memory ledger of one GPU: weights, activations, graphs, and what is left for the KV cache.

    Example: tonnage predict memory deployment.yaml
    """
    from cli.output import emit, refuse_overwrite
    from predictors.memory import estimate
    from renderers.memory import memory_table

    refuse_overwrite(write, force)
    found = estimate(deployment)
    emit(found, lambda: memory_table(found), output=output, write=write, force=force, quiet=quiet)


def serving(
    deployment: DeploymentFile,
    workload: Annotated[Path, typer.Argument(help="A Workload document: arrivals, lengths, SLO.")],
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
    seed: Seed = 0,
    store: Store = None,
) -> None:
    """Print TTFT, TPOT, end-to-end latency, attainment and throughput, each with its interval and evidence.

    Example: tonnage predict serving deployment.yaml workload.yaml -o json
    """
    from cli.inputs import read_served
    from cli.output import emit, progress, refuse_overwrite
    from predictors.estimate import estimate_serving
    from predictors.workload import requests_of
    from profilers.importers.load import read_load
    from renderers.serving import serving_table
    from specs.base import Metadata
    from specs.reading import read_document
    from specs.workload import Workload

    refuse_overwrite(write, force)
    served, asked = read_served(deployment, store), read_document(workload, Workload)
    load = read_load(asked.spec, workload.parent)
    name = f"{asked.metadata.name}-on-{served.deployment.metadata.name}"
    with progress(quiet=quiet) as on_progress:
        found = estimate_serving(
            Metadata(name=name, inputs=load.inputs),
            served.model,
            served.device,
            served.deployment.spec,
            asked.spec,
            requests_of(asked.spec, load, seed=seed),
            profile=served.profile,
            seed=seed,
            on_progress=on_progress,
        )
    emit(found, lambda: serving_table(found), output=output, write=write, force=force, quiet=quiet)
