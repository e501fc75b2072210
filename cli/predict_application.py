"""`tonnage predict application`: what services that call each other would do under an allocation and a load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Force, Output, Quiet, Seed, Store, Write


def application(
    application: Annotated[Path, typer.Argument(help="An Application document: services, calls, entries.")],
    replicas: Annotated[
        list[str] | None, typer.Option(metavar="SERVICE=N", help="Other replicas than the document's; repeatable.")
    ] = None,
    scale: Annotated[float, typer.Option(help="Multiply the load of every entry.")] = 1.0,
    cv: Annotated[float, typer.Option(help="Burstiness: coefficient of variation of the gaps (1: Poisson).")] = 1.0,
    requests: Annotated[
        int | None,
        typer.Option(min=20, max=20_000_000, help="Requests simulated; else 4 to 20 million visits."),
    ] = None,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
    seed: Seed = 0,
    store: Store = None,
) -> None:
    """Print latency end to end and per service, utilisation, the bottleneck and the load at which it gives way.

    Example: tonnage predict application shop.yaml --replicas cart=3 --scale 1.5
    """
    from cli.application import factor, replicas_of
    from cli.output import emit, progress, refuse_overwrite

    refuse_overwrite(write, force)
    chosen = replicas_of(replicas or [])
    scale, cv = factor(scale, "--scale"), factor(cv, "--cv", least=0.0, most=20.0)
    from predictors.application.estimate import estimate_application
    from profilers.applications import read_application
    from renderers.application import application_table
    from specs.base import Metadata
    from specs.reading import sha256

    asked, profiles = read_application(application, store)
    metadata = Metadata(name=asked.metadata.name, inputs={application.name: sha256(application)})
    with progress(quiet=quiet) as on_progress:
        found = estimate_application(
            metadata, asked.spec, profiles, replicas=chosen, scale=scale, arrival_cv=cv, requests=requests, seed=seed,
            on_progress=on_progress,
        )  # fmt: skip
    emit(found, lambda: application_table(found), output=output, write=write, force=force, quiet=quiet)
