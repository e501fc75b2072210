"""`tonnage plan placement`: which layers of a model, or which models, on which GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.options import Force, Output, Quiet, Seed, Write
from cli.outcomes import OUTCOME_CODES


def placement(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="A model, or several: catalogue names or config.json.")
    ],
    cluster: Annotated[
        Path, typer.Option("--cluster", envvar="TONNAGE_CLUSTER", help="A Cluster document: pools, links, prices.")
    ],
    workload: Annotated[
        list[Path] | None, typer.Option(help="A Workload of a model; give one for each where there are several.")
    ] = None,
    objective: Annotated[
        Literal["latency", "throughput"], typer.Option(help="The sum of all stages, or a pipeline's slowest.")
    ] = "latency",
    variant: Annotated[
        Literal["helr", "lr", "he"],
        typer.Option(help="lr: least time; he: fewest GPUs; helr: fewest within 10 % of the least time."),
    ] = "helr",
    least: Annotated[Literal["gpus", "cost"], typer.Option(help="What he, helr and sharing keep least.")] = "gpus",
    batch: Annotated[int, typer.Option(min=1, help="Requests in flight, where no workload is given.")] = 1,
    prompt_tokens: Annotated[int, typer.Option(min=1, help="Prompt length, where no workload is given.")] = 512,
    output_tokens: Annotated[int, typer.Option(min=1, help="Output length, where no workload is given.")] = 128,
    micro_batches: Annotated[int, typer.Option(min=1, help="Batches in flight of objective throughput.")] = 4,
    most_gpus: Annotated[int, typer.Option(min=1, help="GPUs that one model may use.")] = 16,
    crossing_ms: Annotated[
        float, typer.Option(min=0.0, help="What software adds to a crossing: 0.05 assumed; about 1.1 with accelerate.")
    ] = 0.05,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="Chance that the SLOs of a workload hold, given the errors.")
    ] = 0.8,
    weights: Annotated[
        Literal["fp8", "int8", "int4", "bf16"] | None, typer.Option(help="Precision of weights, else as published.")
    ] = None,
    current: Annotated[
        Path | None, typer.Option(help="The device_map JSON that is used now; it is held against the plan.")
    ] = None,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
    seed: Seed = 0,
) -> None:
    """Place the layers of one model, or several whole models, on the GPUs of a cluster.

    Example: tonnage plan placement llama-3.1-70b --cluster cluster.yaml -w placement.yaml
    """
    from cli.output import emit, progress, refuse_overwrite
    from planners.placement import plan as plan_placement
    from renderers.placement import placement_table

    refuse_overwrite(write, force)
    with progress(quiet=quiet) as on_progress:
        decided = plan_placement(
            models,
            cluster,
            workloads=tuple(workload or ()),
            objective=objective,
            variant=variant,
            least=least,
            batch=batch,
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            micro_batches=micro_batches,
            most_gpus=most_gpus,
            crossing_ms=crossing_ms,
            confidence=confidence,
            weights=weights,
            current=current,
            seed=seed,
            on_progress=on_progress,
        )
    emit(decided, lambda: placement_table(decided), output=output, write=write, force=force, quiet=quiet)
    raise typer.Exit(OUTCOME_CODES[decided.status.outcome])
