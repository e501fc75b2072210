"""`tonnage plan slo`: budgets of latency for each service, and the replicas that keep them at least cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.options import Force, Output, Quiet, Seed, Store, Write
from cli.outcomes import OUTCOME_CODES

if TYPE_CHECKING:
    from specs.learned_model import LearnedModel


def slo(
    application: Annotated[Path, typer.Argument(help="An Application document: services, calls, entries with SLOs.")],
    method: Annotated[
        Literal["exact", "gradient", "units", "gcn", "equal", "proportional", "all"],
        typer.Option(help="How the SLO is split; all takes the cheapest answer and shows the others."),
    ] = "exact",
    slo: Annotated[
        list[str] | None,
        typer.Option("--slo", metavar="ENTRY=200ms", help="Another bound than the document's (ENTRY=p95:200ms)."),
    ] = None,
    compose: Annotated[
        Literal["sum", "union-bound", "convolve"],
        typer.Option(help="How percentiles add up along calls: as they are, safely, or as if independent."),
    ] = "sum",
    traces: Annotated[
        list[Path] | None,
        typer.Option(help="Traces that tell the end-to-end tail from the services' own; can be given again."),
    ] = None,
    scale: Annotated[float, typer.Option(help="Multiply the load of every entry.")] = 1.0,
    current: Annotated[
        Path | None,
        typer.Option(help="What runs now, an Application or an earlier plan, from which gradient starts again."),
    ] = None,
    learned: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The model of gcn: read where it exists, else trained into it.")
    ] = None,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
    seed: Seed = 0,
    store: Store = None,
) -> None:
    """Split the SLO of every entry into budgets of its services, and size them so that they cost least.

    Example: tonnage plan slo app.yaml --slo checkout=200ms -w plan.yaml
    """
    from cli.application import factor
    from cli.output import emit, progress, refuse_overwrite

    refuse_overwrite(write, force)
    scale = factor(scale, "--scale")
    from planners.slo import plan as plan_slo
    from renderers.slo import slo_table

    model = _model(learned, seed) if method == "gcn" else None
    with progress(quiet=quiet) as on_progress:
        decided = plan_slo(
            application, method=method, slo=tuple(slo or ()), compose=compose, traces=tuple(traces or ()), scale=scale,
            current=current, learned=model, store=store, seed=seed, on_progress=on_progress,
        )  # fmt: skip
    emit(decided, lambda: slo_table(decided), output=output, write=write, force=force, quiet=quiet)
    raise typer.Exit(OUTCOME_CODES[decided.status.outcome])


def _model(path: Path | None, seed: int) -> LearnedModel:
    """The trained network at ``path``, else a new one, written there where a path was given."""
    from cli.output import refuse_overwrite
    from planners.slo.learned import read_model, train
    from specs.writing import to_yaml, write_atomically

    if path is not None and path.exists():
        return read_model(path)
    refuse_overwrite(path, force=True)  # before the training: the folder must be there
    found = train(seed)
    if path is not None:
        write_atomically(path, to_yaml(found))
    return found
