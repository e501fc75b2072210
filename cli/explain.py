"""`tonnage explain`: a plan in sentences."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode=None, add_completion=False)

# The renderer of each kind of plan; its function `explain(plan, *, plot)` returns the text.
EXPLAINERS: dict[str, str] = {
    "ApplicationPlan": "renderers.application_explain",
    "AutoscalingPlan": "renderers.autoscaling_explain",
    "BatchingPlan": "renderers.batching",
    "BrownoutPlan": "renderers.brownout",
    "ColocationPlan": "renderers.colocation_explain",
    "ModulesPlan": "renderers.modules",
    "PlacementPlan": "renderers.placement",
    "RightsizingPlan": "renderers.rightsizing",
    "ServingPlan": "renderers.explain",
    "SloPlan": "renderers.slo",
    "TechniquesPlan": "renderers.techniques",
}


@app.command()
def explain(
    plan: Annotated[Path, typer.Argument(help="A plan of any kind.")],
    plot: Annotated[bool, typer.Option("--plot", help="Draw the plan's curves in the terminal.")] = False,
) -> None:
    """Tell a plan in sentences, with the arithmetic that a reader can redo.

    Example: tonnage explain plan.yaml
    """
    from cli.output import show
    from specs.kinds import read_plan

    found = read_plan(plan, tuple(EXPLAINERS))
    show(importlib.import_module(EXPLAINERS[found.kind]).explain(found, plot=plot))
