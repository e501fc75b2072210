"""Options that several commands share, each spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Format = Literal["table", "yaml", "json"]

Output = Annotated[
    Format | None,
    typer.Option("-o", "--output", envvar="TONNAGE_OUTPUT", help="Form of the result; a pipe gets YAML by default."),
]
Write = Annotated[Path | None, typer.Option("-w", "--write", metavar="FILE", help="Write the result as YAML.")]
Force = Annotated[bool, typer.Option("--force", help="Let -w replace a file that exists.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", envvar="TONNAGE_QUIET", help="No progress, no messages.")]
Seed = Annotated[int, typer.Option("--seed", envvar="TONNAGE_SEED", min=0, help="Seed of everything drawn at random.")]
Store = Annotated[
    str | None,
    typer.Option(
        "--store", envvar="TONNAGE_STORE", metavar="URL", help="The store: a file or a database URL, else your own."
    ),
]
