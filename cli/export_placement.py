"""`tonnage export device-map`: a placement of layers as Hugging Face reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def device_map(
    plan: Annotated[Path, typer.Argument(help="A PlacementPlan.")],
    model: Annotated[str | None, typer.Option(help="Which model, where several were placed.")] = None,
) -> None:
    """Print the device_map JSON that transformers and accelerate load a model by.

    Example: tonnage export device-map placement.yaml > device_map.json
    """
    from cli.output import show
    from renderers.device_map import device_map as rendered
    from specs.placement import PlacementPlan
    from specs.reading import read_document

    show(rendered(read_document(plan, PlacementPlan), model))
