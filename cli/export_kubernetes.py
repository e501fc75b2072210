"""`tonnage export kubernetes` and `export vpa`: plans as manifests to apply."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

# The renderer of each kind of plan; its function `patches(plan, sha256)` returns the manifests.
PATCHES: dict[str, str] = {
    "ColocationPlan": "renderers.colocation_manifests",
    "RightsizingPlan": "renderers.kubernetes_resources",
}


def kubernetes(plan: Annotated[Path, typer.Argument(help=f"A plan: {', '.join(PATCHES)}.")]) -> None:
    """Print the manifests that put a plan into force, each with the plan's sha256 as an annotation.

    Example: tonnage export kubernetes plan.yaml
    """
    from cli.output import show
    from specs.kinds import read_plan
    from specs.reading import sha256

    found = read_plan(plan, tuple(PATCHES))
    show(importlib.import_module(PATCHES[found.kind]).patches(found, sha256(plan)).rstrip("\n"))


def vpa(plan: Annotated[Path, typer.Argument(help="A RightsizingPlan.")]) -> None:
    """Print VerticalPodAutoscaler objects that only recommend, never below the plan's requests.

    Example: tonnage export vpa plan.yaml
    """
    from cli.output import show
    from renderers.kubernetes_resources import vpa_objects
    from specs.reading import read_document, sha256
    from specs.rightsizing import RightsizingPlan

    show(vpa_objects(read_document(plan, RightsizingPlan), sha256(plan)).rstrip("\n"))
