"""How a table says that something could not be told, the one way everywhere."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from specs.host import CANNOT_TELL, Unknown


def or_cannot_tell(value: object, unit: str = "") -> str:
    """Return ``value`` with its unit, or that it cannot be told."""
    if value is None:
        return CANNOT_TELL
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{shown} {unit}".rstrip()


def not_told(unknown: Unknown) -> Iterator[Text]:
    """Yield one line per reason, with the fields that it keeps from being told."""
    fields: dict[str, list[str]] = {}
    for field, reason in unknown.items():
        fields.setdefault(reason, []).append(field)
    for reason, names in fields.items():
        yield Text(f"{CANNOT_TELL}  {', '.join(names)}: {reason}", style="dim")
