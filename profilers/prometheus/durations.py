"""Lengths of time as operators write them."""

from __future__ import annotations

import re

from specs.errors import InputError

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def seconds(text: str, flag: str) -> float:
    """Return the seconds of `14d`, `1h30m` or a plain number; raises `InputError` naming ``flag`` for anything else."""
    stripped = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", stripped):
        found = float(stripped)
    elif re.fullmatch(f"(?:{_PART.pattern})+", stripped):
        found = sum(float(number) * SECONDS[unit] for number, unit in _PART.findall(stripped))
    else:
        found = 0.0
    if not 0.0 < found < 1e10:
        raise InputError(f"{flag} {text!r}: expected a length of time", cure="Write it as 90s, 5m, 12h or 14d.")
    return found
