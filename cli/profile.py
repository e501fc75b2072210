"""`tonnage profile`: measurements turned into profiles; each kind that takes room has a file beside this one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.options import Force, Output, Quiet, Store, Write
from cli.profile_cpi import cpi
from cli.profile_drift import drift
from cli.profile_engine import engine
from cli.profile_hardware import gpu, host
from cli.profile_layers import layers
from cli.profile_services import services

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def profile() -> None:
    """Turn measurements into a profile that predictions can rest on."""


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


for command in (host, gpu, layers, engine, cpi, services, drift):
    app.command()(command)
