"""`tonnage profile`: measurements turned into profiles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.options import Force, Output, Quiet, Write

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
