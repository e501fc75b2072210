"""`tonnage explain`: a plan in sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def explain(
    plan: Annotated[Path, typer.Argument(help="A ServingPlan.")],
    plot: Annotated[bool, typer.Option("--plot", help="Draw cost against p99 in the terminal.")] = False,
) -> None:
    """Tell a plan in sentences, with the arithmetic that a reader can redo.

    Example: tonnage explain plan.yaml
    """
    from cli.output import show
    from renderers.explain import explain as sentences
    from specs.plan import ServingPlan
    from specs.reading import read_document

    show(sentences(read_document(plan, ServingPlan), plot=plot))
