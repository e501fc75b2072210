"""`tonnage profile drift`: what moved since a profile was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Force, Output, Quiet, Store, Write


def drift(
    profile: Annotated[
        str,
        typer.Argument(help="What to measure again: a profile's id or file, or `host` for the newest of this host."),
    ] = "host",
    against: Annotated[
        str | None, typer.Option(metavar="ID|FILE", help="Compare with this profile instead of measuring.")
    ] = None,
    budget: Annotated[str, typer.Option(help="How long noisy figures are measured again: 90s, 10m, 1h.")] = "2m",
    textfile: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write tonnage_profile_* gauges for node_exporter.")
    ] = None,
    store: Store = None,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Measure again what a stored profile measured and say what moved, by how much, and which plans rest on it.

    Leaves with 5 on drift. Blocks that disagree are `too-noisy`, which is no drift and leaves with 0.

    Example: tonnage profile drift --budget 10m --textfile /var/lib/node_exporter/tonnage.prom
    """
    from cli.keeping import keeper
    from cli.output import emit, progress, refuse_overwrite
    from profilers.drift import drift_again, drift_against, stored_before
    from profilers.store import read_either, store_of
    from renderers.drift import drift_gauges, drift_table
    from specs.durations import seconds
    from specs.errors import DriftError
    from specs.writing import write_atomically

    refuse_overwrite(write, force)
    refuse_overwrite(textfile, force=True)
    budget_s, before = seconds(budget, "--budget"), stored_before(profile, store)
    if against is not None:
        found = drift_against(before, read_either(against, store), store_of(store))
    else:
        keep = keeper(store, quiet=quiet)
        with progress(quiet=quiet) as on_progress:
            found = drift_again(before, store_of(store), budget_s=budget_s, on_progress=on_progress, keep=keep)
    if textfile is not None:
        write_atomically(textfile, drift_gauges(found), force=True)
    emit(found, lambda: drift_table(found), output=output, write=write, force=force, quiet=quiet)
    if found.spec.outcome == "drift":
        raise typer.Exit(DriftError.exit_code)
