"""`tonnage check`: a prediction held against what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Force, Output, Quiet, Seed, Store, Write

app = typer.Typer(rich_markup_mode=None, add_completion=False)
VIOLATED = 6


@app.command()
def check(
    document: Annotated[Path | None, typer.Argument(help="A Deployment or a ServingPlan.")] = None,
    measured: Annotated[
        Path | None,
        typer.Option(help="Requests as CSV, or a result file of vllm bench serve, guidellm or inference-perf."),
    ] = None,
    points: Annotated[Path | None, typer.Option(help="CSV of published closed-loop points.")] = None,
    device: Annotated[str | None, typer.Option(help="Device of the points: catalogue name or document.")] = None,
    evidence: Annotated[Path | None, typer.Option(help="Folder of kernel tables or profiles for the points.")] = None,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
    seed: Seed = 0,
    store: Store = None,
) -> None:
    """Print predicted, measured and error; for a plan, whether each measured figure lies inside its interval.

    Example: tonnage check plan.yaml --measured bench.json

    Example: tonnage check --points published.csv --device h100-sxm -o json
    """
    from cli.output import emit, progress, refuse_overwrite
    from planners.check import check_measured, check_points
    from renderers.check import check_json, check_table

    refuse_overwrite(write, force)
    with progress(quiet=quiet) as on_progress:
        if points is not None:
            report = check_points(points, device, evidence=evidence, on_progress=on_progress)
        else:
            report = check_measured(document, measured, store=store, seed=seed, on_progress=on_progress)
    emit(
        report,
        lambda: check_table(report),
        output=output,
        write=write,
        force=force,
        quiet=quiet,
        as_json=lambda: check_json(report),
    )
    raise typer.Exit(VIOLATED if report.violated else 0)
