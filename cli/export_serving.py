"""`tonnage export vllm` and `export benchmark`: a serving plan as command lines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

PlanFile = Annotated[Path, typer.Argument(help="A ServingPlan.")]


def vllm(plan: Annotated[Path, typer.Argument(help="A ServingPlan or PlacementPlan.")]) -> None:
    """Print the engine command lines, which enforce the limits and the placement that were planned.

    Example: tonnage export vllm plan.yaml
    """
    from cli.output import show
    from renderers.device_map import vllm_placement
    from renderers.vllm import vllm as command_lines
    from specs.kinds import read_plan
    from specs.placement import PlacementPlan
    from specs.plan import ServingPlan

    found = read_plan(plan, ("ServingPlan", "PlacementPlan"))
    if isinstance(found, PlacementPlan):
        show(vllm_placement(found))
    elif isinstance(found, ServingPlan):
        show(command_lines(found))


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
