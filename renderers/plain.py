"""What every plan's text has: its columns, its first line, labelled paragraphs, and what a refused plan says."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator

from specs.plan import PlanDocument

WIDEST, NARROWEST, LABEL = 100, 60, 14


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


def wrapped(label: str, text: str, width: int) -> list[str]:
    """Return ``text`` after ``label``, further lines below its beginning."""
    return textwrap.wrap(text, width, initial_indent=label, subsequent_indent=" " * len(label)) or [label.rstrip()]


def refused(plan: PlanDocument, width: int) -> Iterator[str]:
    """Yield why a plan without a decision has none: the conflicts, what would do, and the measurement it lacks."""
    status = plan.status
    yield from wrapped("  ", status.reason, width)
    yield ""
    told = [("conflict", one) for one in status.conflicts]
    told += [("would do", status.smallest_change or ""), ("missing", status.missing or "")]
    for label, text in told:
        if text:
            yield from wrapped(f"  {label:{LABEL}}", text, width)
