"""Pieces of a page: headings, tables, lists of terms, and charts drawn by plotly from plain data."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from typing import Any

Row = Sequence[object]
Chart = dict[str, Any]
"""A plotly figure as data: `data`, `layout`."""


def text(value: object) -> str:
    """Return ``value`` escaped for HTML."""
    return html.escape(str(value))


def number(value: float | None, digits: int = 3) -> str:
    """Return a number of so many digits; a dash where there is none."""
    return "–" if value is None else f"{value:,.{digits}g}" if abs(value) < 1e4 else f"{value:,.0f}"


def section(title: str, *parts: str) -> str:
    """Return a card with a heading; nothing where there is nothing in it."""
    inside = "\n".join(part for part in parts if part)
    return f"<section><h2>{text(title)}</h2>\n{inside}\n</section>" if inside else ""


def table(headings: Sequence[str], rows: Iterable[Row], *, numbers: Sequence[int] = ()) -> str:
    """Return a table that scrolls within its card; ``numbers``: columns that stand to the right."""
    body = [_row("td", row, numbers) for row in rows]
    if not body:
        return ""
    return f'<div class="wide"><table>{_row("th", headings, numbers)}{"".join(body)}</table></div>'


def _row(tag: str, cells: Row, numbers: Sequence[int]) -> str:
    marked = ((' class="number"' if at in numbers else "", cell) for at, cell in enumerate(cells))
    return "<tr>" + "".join(f"<{tag}{mark}>{text(cell)}</{tag}>" for mark, cell in marked) + "</tr>"


def terms(pairs: Iterable[tuple[str, object]]) -> str:
    """Return terms with what they are; those of nothing are left out."""
    inside = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in pairs if value not in (None, ""))
    return f"<dl>{inside}</dl>" if inside else ""


def paragraph(words: str, kind: str = "note") -> str:
    """Return a paragraph of a class of the style sheet; nothing where there are no words."""
    return f'<p class="{kind}">{text(words)}</p>' if words else ""


def chart(name: str, figure: Chart | None) -> str:
    """Return a chart and the data that the page's script draws it from; ``name`` is unique in the page."""
    if figure is None:
        return ""
    data = json.dumps(figure, allow_nan=False).replace("</", "<\\/")
    return (
        f'<div class="chart" id="{name}" role="img" aria-label="{text(name.replace("-", " "))}"></div>'
        f'<script type="application/json" class="figure" data-for="{name}">{data}</script>'
    )


def line(x: Sequence[float], y: Sequence[float | None], name: str, **more: Any) -> dict[str, Any]:
    """Return a line with its points."""
    return {"type": "scatter", "mode": "lines+markers", "x": list(x), "y": list(y), "name": name, **more}


def bound(x: Sequence[float], value: float, name: str) -> dict[str, Any]:
    """Return a dashed level line over the range of ``x``."""
    ends = [min(x), max(x)]
    return {
        "type": "scatter", "mode": "lines", "x": ends, "y": [value, value], "name": name,
        "line": {"dash": "dash", "color": "#b3261e"},
    }  # fmt: skip


def figure(data: list[dict[str, Any]], x: str, y: str, **layout: Any) -> Chart:
    """Return a chart of ``data`` with titles of its axes, units in them."""
    axes = {
        "xaxis": {"title": {"text": x}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": y}, "rangemode": "tozero"},
    }
    for axis in ("xaxis", "yaxis"):
        axes[axis] |= layout.pop(axis, {})
    return {"data": data, "layout": {**axes, **layout}}
