"""`tonnage profile cpi`: cycles per instruction of processes, cgroups and containers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Force, Output, Quiet, Store, Write


def cpi(
    pid: Annotated[list[int] | None, typer.Option(help="A process with all its threads; may be repeated.")] = None,
    cgroup: Annotated[
        list[str] | None, typer.Option(help="A cgroup's path below its root, or a pattern such as 'kubepods/*/pod*'.")
    ] = None,
    container: Annotated[list[str] | None, typer.Option(help="A container's id, its start, or its name.")] = None,
    recorded: Annotated[
        list[Path] | None, typer.Option(help="Read an output of perf stat or PerfSpect instead of measuring.")
    ] = None,
    window: Annotated[float, typer.Option(metavar="SECONDS", help="Length of one window.")] = 10.0,
    every: Annotated[float, typer.Option(metavar="SECONDS", help="One window in so much time.")] = 60.0,
    windows: Annotated[int, typer.Option(min=1, help="How many windows.")] = 5,
    store: Store = None,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Count cycles per instruction of processes, cgroups or containers, with what else holds them up.

    Without hardware counters it says why, and measures CPU use, throttling, pressure, steal and waiting. The
    profile goes into the store.

    Example: tonnage profile cpi --cgroup 'kubepods.slice/*/*.scope' --windows 10 -w cpi.yaml
    """
    from cli.keeping import keeper
    from cli.output import emit, progress, refuse_overwrite, say
    from profilers.cpi import Schedule, profile_cpi, recorded_cpi
    from renderers.cpi import cpi_table, missing_text
    from specs.errors import InputError

    refuse_overwrite(write, force)
    keep = keeper(store, quiet=quiet)
    if recorded:
        if pid or cgroup or container:
            raise InputError(
                "--recorded reads what was measured before", cure="Leave --pid, --cgroup, --container out."
            )
        found = recorded_cpi(recorded)
    else:
        with progress(quiet=quiet) as on_progress:
            found = profile_cpi(
                pids=pid or (),
                cgroups=cgroup or (),
                containers=container or (),
                schedule=Schedule(window, every, windows),
                on_missing=lambda missing: say(missing_text(missing), quiet=quiet),
                on_progress=on_progress,
            )
    emit(found, lambda: cpi_table(found), output=output, write=write, force=force, quiet=quiet)
    keep(found)
