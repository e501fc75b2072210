"""Lengths of time as operators write them: `90s`, `10m`, `1h`."""

from __future__ import annotations

import re

from specs.errors import InputError

UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h)?")


def seconds(text: str, option: str) -> float:
    """Return the seconds of ``text``, above 0; a bare number is seconds. Raises `InputError` naming ``option``."""
    match = _DURATION.fullmatch(text.strip())
    value = float(match[1]) * UNITS_S[match[2] or "s"] if match else 0.0
    if not 0.0 < value <= 7 * 86400.0:
        cure = "Say 90s, 10m or 1h."
        raise InputError(f"{option}: found {text!r}, expected a length of time up to a week", cure=cure)
    return value
