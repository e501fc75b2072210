"""`tonnage plan rightsizing`: CPU and memory of every container, from what it used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.options import Force, Quiet, Seed, Store, Write


def rightsizing(
    history: Annotated[
        Path | None, typer.Argument(help="What containers used: a table (CSV, JSON lines, Parquet) or a History.")
    ] = None,
    prometheus: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Read it from a server with Prometheus' API: TONNAGE_PROMETHEUS_*."),
    ] = None,
    namespace: Annotated[list[str] | None, typer.Option(help="Only this namespace; may be repeated.")] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Only with this label.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="Without workloads so named.")] = None,
    range_: Annotated[str, typer.Option("--range", metavar="TIME", help="How far back Prometheus is read.")] = "14d",
    step: Annotated[str, typer.Option(metavar="TIME", help="Pause between samples.")] = "5m",
    method: Annotated[
        Literal["percentile", "peak", "decaying"], typer.Option(help="How CPU is estimated; the others stand beside.")
    ] = "percentile",
    share: Annotated[
        float, typer.Option(min=0.5, max=0.9999, help="Share of the time that the CPU request covers.")
    ] = 0.95,
    survive: Annotated[
        Literal["replica"] | None, typer.Option(help="Cover the CPU with one replica lost as well.")
    ] = None,
    min_history: Annotated[str, typer.Option(metavar="TIME", help="Abstain where there is less.")] = "1d",
    shadow: Annotated[
        str | None, typer.Option(metavar="TIME", help="Score the advice of the days before on the last ones: 3d.")
    ] = None,
    usd_per_core_hour: Annotated[float | None, typer.Option(min=0.0, help="Price of a core for an hour.")] = None,
    usd_per_gib_hour: Annotated[float | None, typer.Option(min=0.0, help="Price of a GiB for an hour.")] = None,
    output: Annotated[
        Literal["table", "yaml", "json", "csv"] | None,
        typer.Option("-o", "--output", envvar="TONNAGE_OUTPUT", help="Form of the result; a pipe gets YAML."),
    ] = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
    seed: Seed = 0,
    store: Store = None,
) -> None:
    """Recommend requests and limits per container, with what they save and what they risk.

    Example: tonnage plan rightsizing usage.csv --shadow 2d -w rightsizing.yaml
    """
    from cli.outcomes import OUTCOME_CODES
    from cli.output import emit, progress, refuse_overwrite, show
    from cli.services import refuse_source, usage_from
    from planners.rightsizing import plan
    from planners.rightsizing.settings import DAY_S, Settings
    from profilers.prometheus.discovery import Selection
    from profilers.prometheus.durations import seconds
    from renderers.rightsizing import rightsizing_csv, rightsizing_table

    refuse_overwrite(write, force)
    refuse_source(prometheus, [], (range_, step))
    settings = Settings(
        method=method, share=share, survive=survive is not None, seed=seed,
        least_days=seconds(min_history, "--min-history") / DAY_S,
        shadow_days=seconds(shadow, "--shadow") / DAY_S if shadow else 0.0,
        usd_per_core_hour=usd_per_core_hour, usd_per_gib_hour=usd_per_gib_hour,
    )  # fmt: skip
    selection = Selection(namespaces=tuple(namespace or ()), labels=tuple(label or ()), exclude=tuple(exclude or ()))
    with progress(quiet=quiet) as on_progress:
        usage = usage_from(history, prometheus, store, selection, (range_, step), on_progress)
        name = history.stem.removesuffix(".csv") if history else "rightsizing"
        decided = plan(usage, settings, name=name, on_progress=on_progress)
    if output == "csv":
        show(rightsizing_csv(decided).rstrip("\n"))
    if output != "csv" or write:
        form = "yaml" if output == "csv" else output
        emit(decided, lambda: rightsizing_table(decided), output=form, write=write, force=force, quiet=quiet)
    raise typer.Exit(OUTCOME_CODES[decided.status.outcome])
