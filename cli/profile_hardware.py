"""`tonnage profile host` and `tonnage profile gpu`: what a machine and its GPUs are and do."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Force, Output, Quiet, Store, Write


def host(
    store: Store = None,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Say what this machine is, and measure its memory bandwidth and rate of multiplying matrices.

    Takes half a minute and every core; with torch installed, GPUs are measured too. The profile goes into the store.

    Example: tonnage profile host -w host.yaml
    """
    from cli.keeping import keeper
    from cli.output import emit, progress, refuse_overwrite
    from profilers.host.profile import profile_host
    from renderers.host import host_table

    refuse_overwrite(write, force)
    keep = keeper(store, quiet=quiet)
    with progress(quiet=quiet) as on_progress:
        found = profile_host(on_progress)
    emit(found, lambda: host_table(found), output=output, write=write, force=force, quiet=quiet)
    keep(found)


def gpu(
    watch: Annotated[
        str | None,
        typer.Option(metavar="SECONDS|forever", help="Sample into the store every second, until then or Ctrl-C."),
    ] = None,
    store: Store = None,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Show the NVIDIA GPUs of this machine: memory, processes, clocks, power, links, MIG; or watch them.

    Example: tonnage profile gpu --watch 60
    """
    from cli.keeping import keeper, sample_keeper
    from cli.output import emit, progress, refuse_overwrite
    from profilers.gpu import profile_gpus, watch_seconds
    from renderers.gpu import gpu_table

    refuse_overwrite(write, force)
    seconds = watch_seconds(watch) if watch is not None else None
    with progress(quiet=quiet) as on_progress:
        found = profile_gpus(seconds, sample_keeper(store), on_progress)
    emit(found, lambda: gpu_table(found), output=output, write=write, force=force, quiet=quiet)
    keeper(store, quiet=quiet)(found)
