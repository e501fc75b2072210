"""Whole units given out one at a time, each where it gains most: optimal for separable convex costs."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Grant:
    """One more unit for ``part``, which lowers the total by ``gain``."""

    part: int
    gain: float


def marginal_allocation(
    value: Callable[[int, int], float], start: Sequence[int], units: int, *, most: Sequence[int] | None = None
) -> list[Grant]:
    """Give ``units`` out one by one, each to the part whose ``value(part, count)`` falls most; stop at no gain.

    For every k the first k grants minimise Σ value(i, n_i) over Σ n_i = Σ start + k, if each value(i, ·) is convex and
    decreasing: an exchange against a cheaper total would contradict that gains fall [std: Fox 1966; Gross 1956].
    O(units · log parts). ``most`` bounds each part. An infinite value falls to a finite one before all else.
    """
    counts = list(start)
    heap: list[tuple[float, int]] = []

    def offer(part: int) -> None:
        if most is None or counts[part] < most[part]:
            now, then = value(part, counts[part]), value(part, counts[part] + 1)
            gain = float("inf") if now == float("inf") else now - then
            heapq.heappush(heap, (-gain, part))

    for part in range(len(counts)):
        offer(part)
    grants: list[Grant] = []
    while heap and len(grants) < units:
        negative, part = heapq.heappop(heap)
        if -negative <= 0.0:
            break
        grants.append(Grant(part=part, gain=-negative))
        counts[part] += 1
        offer(part)
    return grants
