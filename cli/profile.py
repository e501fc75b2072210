"""`tonnage profile`: measurements turned into profiles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.options import Force, Output, Quiet, Store, Write
from cli.profile_engine import engine

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def profile() -> None:
    """Turn measurements into a profile that predictions can rest on."""


app.command()(engine)


@app.command("import")
def import_(
    paths: Annotated[list[Path], typer.Argument(help="Table files, or a folder in the form's own layout.")],
    form: Annotated[Literal["aiconfigurator", "llmservingsim", "vidur"], typer.Option(help="Who wrote the tables.")],
    device: Annotated[str | None, typer.Option(help="Device of the tables: catalogue name or document.")] = None,
    model: Annotated[str | None, typer.Option(help="Model of the tables: catalogue name or config.json.")] = None,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Turn operator tables of another tool into a LayerProfile.

    Example: tonnage profile import tables/ --form vidur --device a100-80gb --model llama-2-7b -w profile.yaml
    """
    from cli.output import emit, refuse_overwrite
    from profilers.importers.identify import import_profile
    from renderers.profile import profile_table

    refuse_overwrite(write, force)
    found = import_profile(form, paths, device=device, model=model)
    emit(found, lambda: profile_table(found), output=output, write=write, force=force, quiet=quiet)


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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
    from profilers.drift import drift_again, drift_against, store_of, stored_before
    from profilers.store import read_either
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


@app.command()
def moe(
    log: Annotated[Path, typer.Argument(help="Router log: CSV, JSON lines or Parquet with layer, expert and count.")],
    model: Annotated[str | None, typer.Option(help="The model: catalogue name or config.json.")] = None,
    experts: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Experts per layer, where no model says it.")
    ] = None,
    store: Store = None,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Count how often each expert of a mixture-of-experts model is chosen, layer by layer.

    Without a count, each row is one token: with one expert, or with the list of those it went to.

    Example: tonnage profile moe router.jsonl --model mixtral-8x7b -w experts.yaml
    """
    from cli.keeping import keeper
    from cli.output import emit, refuse_overwrite
    from profilers.moe import profile_experts
    from renderers.experts import experts_table
    from specs.catalog import find_model

    refuse_overwrite(write, force)
    found = profile_experts(log, find_model(model, Path()) if model else None, experts)
    keep = keeper(store, quiet=quiet)
    emit(found, lambda: experts_table(found), output=output, write=write, force=force, quiet=quiet)
    keep(found)


@app.command()
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


@app.command()
def layers(
    model: Annotated[str, typer.Argument(help="Catalogue name, or path of a config.json; nothing is downloaded.")],
    device: Annotated[Literal["cuda", "cpu"], typer.Option(help="Where the layer runs.")] = "cuda",
    tp: Annotated[int, typer.Option(min=1, help="Measure one shard of so many.")] = 1,
    budget: Annotated[str, typer.Option(metavar="TIME", help="No block is begun afterwards.")] = "120s",
    store: Store = None,
    output: Output = None,
    write: Write = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Measure one layer of a model, its embedding, head and norm, with random weights on this device, by torch.

    A Deployment takes the profile by its `profile:`. With -w a run that was killed goes on where it was.

    Example: tonnage profile layers llama-3.1-8b --device cuda --tp 2 --budget 10m -w layers.yaml
    """
    from cli.keeping import keeper
    from cli.output import emit, progress, refuse_overwrite
    from profilers.layers import profile_layers
    from renderers.layers import layers_table
    from specs.catalog import find_model
    from specs.durations import seconds

    refuse_overwrite(write, force)
    budget_s, spec = seconds(budget, "--budget"), find_model(model)
    keep = keeper(store, quiet=quiet)
    with progress(quiet=quiet) as on_progress:
        found = profile_layers(
            spec, device=device, tp=tp, budget_s=budget_s, write=write, on_progress=on_progress,
            command=f"tonnage profile layers {model} --device {device} --tp {tp} --budget {budget}",
        )  # fmt: skip
    emit(found, lambda: layers_table(found), output=output, write=write, force=force, quiet=quiet)
    keep(found)
