"""`tonnage export vllm` and `export benchmark`: a serving plan as command lines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

PlanFile = Annotated[Path, typer.Argument(help="A ServingPlan.")]


def vllm(plan: PlanFile) -> None:
    """Print the engine command lines, which enforce the limits that were planned.

    Example: tonnage export vllm plan.yaml
    """
    from cli.output import show
    from renderers.vllm import vllm as command_lines
    from specs.plan import ServingPlan
    from specs.reading import read_document

    show(command_lines(read_document(plan, ServingPlan)))


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
