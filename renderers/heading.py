"""The first line of every plan's table, and how many columns a table may take."""

from __future__ import annotations

import shutil

from specs.plan import PlanDocument

WIDEST, NARROWEST = 100, 60


def columns(width: int | None) -> int:
    """Return ``width`` (the terminal's where None) within what tables are made for: 60 to 100 columns."""
    if width is None:
        width = shutil.get_terminal_size((WIDEST, 24)).columns
    return max(min(width, WIDEST), NARROWEST)


def title(plan: PlanDocument, width: int) -> str:
    """Return the plan's name, and its outcome with the CPU seconds it took at the right end of the line."""
    seconds = plan.status.solver.get("seconds")
    right = plan.status.outcome + (f" · {seconds:g} CPU s" if isinstance(seconds, int | float) else "")
    left = plan.metadata.name.replace("-on-", " on ")
    return f"{left:<{width - len(right)}}{right}" if len(left) + len(right) < width else f"{left}\n{right}"
