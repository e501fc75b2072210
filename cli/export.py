"""`tonnage export`: a plan as what other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)
PlanFile = Annotated[Path, typer.Argument(help="A ServingPlan.")]


@app.callback()
def export() -> None:
    """Turn a plan into engine commands, or into the benchmark that would refute it."""


@app.command()
def vllm(plan: PlanFile) -> None:
    """Print the engine command lines, which enforce the limits that were planned.

    Example: tonnage export vllm plan.yaml
    """
    from cli.output import show
    from renderers.vllm import vllm as command_lines
    from specs.plan import ServingPlan
    from specs.reading import read_document

    show(command_lines(read_document(plan, ServingPlan)))


@app.command()
def benchmark(
    plan: PlanFile,
    tool: Annotated[Literal["vllm", "guidellm"], typer.Option(help="Which load generator.")] = "vllm",
) -> None:
    """Print the benchmark command whose result would prove the plan wrong.

    Example: tonnage export benchmark plan.yaml
    """
    from cli.output import show
    from renderers.benchmark import benchmark as command
    from specs.plan import ServingPlan
    from specs.reading import read_document

    show(command(read_document(plan, ServingPlan), tool=tool))
