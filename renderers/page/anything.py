"""The parts of a page that any plan has: figures with their intervals and plain fields, as they stand in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from renderers.page.parts import number, section, table, terms
from specs.base import Figure, plain

ROWS = 200


def sections(title: str, part: Any) -> Iterator[str]:
    """Yield a card of ``part``'s own fields, and one per list of records in it."""
    if part is None:
        return
    data = plain(part) if isinstance(part, BaseModel) else dict(part)
    simple = [(words(name), shown(value)) for name, value in data.items() if not _is_records(value)]
    yield section(title, terms(simple))
    for name, value in data.items():
        if _is_records(value):
            yield section(words(name), _records(value))


def words(name: str) -> str:
    """Return a field's name as words, its unit apart."""
    return name.replace("_", " ")


def shown(value: Any) -> str:
    """Return a value in one line: a figure with its interval, a list by commas, a mapping by its parts."""
    if isinstance(value, dict):
        if set(value) <= set(Figure.model_fields) and "value" in value:
            ends = f" ({number(value['low'])} – {number(value['high'])})" if "low" in value and "high" in value else ""
            return f"{number(value['value'])}{ends}"
        return " · ".join(f"{words(name)} {shown(one)}" for name, one in value.items())
    if isinstance(value, list):
        return "; ".join(shown(one) for one in value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return number(value, 4)


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(isinstance(one, dict) for one in value)


def _records(rows: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return table(
        [words(name) for name in names],
        [[shown(row[name]) if name in row else "" for name in names] for row in rows[:ROWS]],
    )
