"""One step of the horizontal pod autoscaler for callers in Python: plain values in, replicas out."""

from __future__ import annotations

import numpy as np

from predictors.autoscaling import hpa

Policies = tuple[tuple[str, float, float], ...]
Changes = tuple[tuple[float, int], ...]
DEFAULT_UP: Policies = (("Pods", 4.0, 15.0), ("Percent", 100.0, 15.0))
DEFAULT_DOWN: Policies = (("Percent", 100.0, 15.0),)
TYPES = {"Pods": hpa.PODS, "Percent": hpa.PERCENT}
SELECTS = {"max": hpa.MOST, "min": hpa.LEAST, "disabled": hpa.DISABLED}


def largest_of(proposals: tuple[int | None, ...], current: int) -> int:
    """The replicas that several metrics lead to; ``None`` is a metric that could not be had."""
    known = np.array([hpa.NO_ANSWER if one is None else one for one in proposals], dtype=np.int64)
    return hpa.largest(known, len(known), current)


def stabilized_after(current: int, desired: int, history: Changes, *, up_s: float, down_s: float) -> int:
    """The recommendation after the windows; ``history``: (seconds ago, replicas recommended)."""
    at_s = np.array([-ago for ago, _ in history], dtype=np.float64)
    proposed = np.array([replicas for _, replicas in history], dtype=np.int64)
    return hpa.stabilized(current, desired, 0.0, at_s, proposed, len(history), up_s, down_s)


def limited_step(
    current: int, desired: int, least: int, most: int, *, up: Policies = DEFAULT_UP, down: Policies = DEFAULT_DOWN,
    up_select: str = "max", down_select: str = "max", grown: Changes = (), shrunk: Changes = (),
) -> int:  # fmt: skip
    """The replicas after the limits of one step; ``grown``, ``shrunk``: (seconds ago, replicas) of earlier changes."""
    highest = hpa.up_limit(current, SELECTS[up_select], *_rules(up), _within(up, grown), _within(up, shrunk))
    lowest = hpa.down_limit(current, SELECTS[down_select], *_rules(down), _within(down, grown), _within(down, shrunk))
    return hpa.limited(current, desired, least, most, highest, lowest)


def outside_bounds(current: int, least: int, most: int) -> int:
    """The replicas where their number lies outside the bounds, before any metric is read; -1 where metrics decide."""
    if current == 0 and least != 0:
        return 0
    if current > most:
        return most
    return least if current < least else hpa.NO_ANSWER


def _rules(policies: Policies) -> tuple[hpa.IntArray, hpa.FloatArray]:
    types = np.array([TYPES[kind] for kind, _, _ in policies], dtype=np.int64)
    return types, np.array([value for _, value, _ in policies], dtype=np.float64)


def _within(policies: Policies, changes: Changes) -> hpa.IntArray:
    """The change within the period of each policy."""
    return np.array([sum(n for ago, n in changes if ago < period) for _, _, period in policies], dtype=np.int64)
