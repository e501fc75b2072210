"""`tonnage export kubernetes`: a plan as manifests and patches for kubectl."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

# The renderer of each kind of plan; its function `manifests(plan)` returns the YAML.
MANIFESTS: dict[str, str] = {
    "ColocationPlan": "renderers.colocation_manifests",
}


def kubernetes(plan: Annotated[Path, typer.Argument(help="A plan of a kind that has manifests.")]) -> None:
    """Print the manifests and patches that put a plan into force; nothing is sent to a cluster.

    Example: tonnage export kubernetes plan.yaml
    """
    from cli.output import show
    from specs.kinds import read_plan

    found = read_plan(plan, tuple(MANIFESTS))
    show(importlib.import_module(MANIFESTS[found.kind]).manifests(found).rstrip("\n"))
