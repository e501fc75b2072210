"""What is given on the command line about an application: replicas and factors."""

from __future__ import annotations

import math

from specs.errors import InputError

MOST_REPLICAS = 1_000_000


def replicas_of(given: list[str]) -> dict[str, int]:
    """Read ``SERVICE=N`` pairs; raises `InputError` for anything else, and for a service given twice."""
    found: dict[str, int] = {}
    for text in given:
        name, equals, number = text.rpartition("=")
        if not (name and equals and number.isdecimal() and 1 <= int(number) <= MOST_REPLICAS):
            raise InputError(f"--replicas {text}: SERVICE=N with N of 1 or more was expected", cure="Such as cart=3.")
        if name in found:
            raise InputError(f"--replicas {text}: {name} is given twice", cure="Keep one.")
        found[name] = int(number)
    return found


def factor(value: float, option: str, *, least: float | None = None, most: float = math.inf) -> float:
    """Return ``value``; raises `InputError` unless it is finite and above 0, or between ``least`` and ``most``."""
    if not math.isfinite(value) or (value <= 0.0 if least is None else value < least) or value > most:
        wanted = "above 0" if least is None else f"from {least:g} to {most:g}"
        raise InputError(f"{option} {value}: a number {wanted} was expected", cure="Such as 1.5.")
    return value
