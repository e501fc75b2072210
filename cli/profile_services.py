"""`tonnage profile services`: usage, latency and calls of running services."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Force, Output, Quiet, Store, Write


def services(
    prometheus: Annotated[
        str | None,
        typer.Option(metavar="URL", help="A server with Prometheus' API; credentials: TONNAGE_PROMETHEUS_*."),
    ] = None,
    export: Annotated[list[Path] | None, typer.Option(help="Saved samples of raw metrics; may be repeated.")] = None,
    traces: Annotated[list[Path] | None, typer.Option(help="Jaeger, Zipkin or OTLP JSON; may be repeated.")] = None,
    load_test: Annotated[
        list[str] | None, typer.Option(metavar="[SERVICE=]FILE", help="A result of locust or k6; may be repeated.")
    ] = None,
    namespace: Annotated[list[str] | None, typer.Option(help="Only this namespace; may be repeated.")] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Only with this label.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="Without workloads so named.")] = None,
    range_: Annotated[str, typer.Option("--range", metavar="TIME", help="How far back.")] = "14d",
    step: Annotated[str, typer.Option(metavar="TIME", help="Pause between samples.")] = "5m",
    history: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the history too, as YAML and Parquet.")
    ] = None,
    store: Store = None,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Profile services that call each other: usage, load, latency against load, and the graph of their calls.

    Example: tonnage profile services --prometheus http://localhost:9090 --traces traces.json -w app.yaml
    """
    from cli.services import (
        profiles_folder,
        read_recorded,
        refuse_overwrites,
        refuse_source,
        show_services,
        write_services,
    )

    refuse_overwrites(write, history, force, watched=bool(prometheus or export))
    refuse_source(prometheus, export or [], (range_, step))
    from cli.keeping import keeper
    from cli.output import progress
    from profilers.history import write_history
    from profilers.prometheus.discovery import Selection
    from profilers.services.profile import profile_services
    from renderers.services import services_table

    keep = keeper(store, quiet=True)
    selection = Selection(namespaces=tuple(namespace or ()), labels=tuple(label or ()), exclude=tuple(exclude or ()))
    with progress(quiet=quiet) as on_progress:
        recorded = read_recorded(prometheus, export or [], selection, (range_, step), on_progress)
        if history and recorded:
            write_history(recorded, history, force=force)
        found = profile_services(
            name=write.stem if write else "application", recorded=recorded, traces=traces or (),
            load_tests=load_test or (), folder=profiles_folder(write), on_progress=on_progress,
        )  # fmt: skip
    for profile_of_one in found.profiles.values():
        keep(profile_of_one)
    write_services(found, write, force=force, quiet=quiet)
    show_services(found, lambda: services_table(found.application, found.profiles), output=output, write=write)
