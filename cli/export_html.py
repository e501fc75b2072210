"""`tonnage export html`: a plan as a page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from specs.estimate import MemoryEstimate
    from specs.plan import PlanDocument


def html(
    plan: Annotated[Path, typer.Argument(help="A plan of any kind.")],
    write: Annotated[Path | None, typer.Option("-w", "--write", metavar="FILE", help="Write the page there.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Let -w replace a file that exists.")] = False,
) -> None:
    """Print one self-contained page for the people who sign: it loads nothing from anywhere.

    Example: tonnage export html plan.yaml -w plan.html
    """
    from cli.output import refuse_overwrite, say, show
    from renderers.page import page
    from specs.kinds import read_plan
    from specs.writing import write_atomically

    refuse_overwrite(write, force)
    found = read_plan(plan)
    text = page(found, _ledger(found, plan.parent))
    if write is None:
        show(text.rstrip("\n"))
        return
    write_atomically(write, text, force=force)
    say(f"wrote {write}")


def _ledger(plan: PlanDocument, folder: Path) -> MemoryEstimate | None:
    """The memory of one GPU of the first deployment, where the plan has one whose model and device are still known."""
    from predictors.memory.estimate import memory_estimate
    from specs.catalog import find_device, find_model
    from specs.errors import InputError
    from specs.plan import ServingPlan

    if not isinstance(plan, ServingPlan) or plan.decision is None:
        return None
    first = plan.decision.deployments[0]
    try:
        model, device = find_model(first.model, folder), find_device(first.device, folder)
    except InputError:
        return None
    return memory_estimate(model, device, first, plan.metadata.name, {})
