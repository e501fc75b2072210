"""The decision table of methods as text: the situation first, then what to run."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence

from specs.methods import MethodEntry

WIDEST, LABEL = 100, 12


def method_list(rows: Sequence[MethodEntry], width: int | None = None) -> str:
    """Return the rows within ``width`` columns (the terminal's, at most 100, when None)."""
    width = min(width or shutil.get_terminal_size((WIDEST, 24)).columns, WIDEST)
    if not rows:
        return "no method in the table fits; leave out one of the options"
    text = "\n\n".join("\n".join(_row(row, width)) for row in rows)
    return f"{text}\n\naxes: survey arXiv 2507.17128; the classes within them are ours"


def _row(row: MethodEntry, width: int) -> Iterator[str]:
    yield from textwrap.wrap(f"{row.infrastructure} · {row.architecture} · {row.objective}", width)
    for label, value in (("method", f"{row.method} ({row.model})"), ("command", row.command), ("paper", row.paper)):
        head = f"  {label:<{LABEL}}"
        yield from textwrap.wrap(value, width, initial_indent=head, subsequent_indent=" " * len(head))
