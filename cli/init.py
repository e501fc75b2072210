"""`tonnage init`: starter documents that plan without an edit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Force, Quiet

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def init() -> None:
    """Write starter documents with a comment on every field."""


@app.command()
def serving(
    folder: Annotated[Path, typer.Argument(help="Folder to write to; made where it is not there.")] = Path(),
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Write workload.yaml, cluster.yaml and a small trace: what `plan serving` needs, ready to edit.

    Example: tonnage init serving my-service
    """
    from cli.output import refuse_overwrite, say
    from renderers.starter import starter_files
    from specs.writing import make_folder, write_atomically

    make_folder(folder)
    files = {folder / name: text for name, text in starter_files().items()}
    for path in files:
        refuse_overwrite(path, force)
    for path, text in files.items():
        write_atomically(path, text, force=force)
        say(f"wrote {path}", quiet=quiet)
    workload, cluster = folder / "workload.yaml", folder / "cluster.yaml"
    say(f"next: tonnage plan serving {workload} --cluster {cluster}", quiet=quiet)
