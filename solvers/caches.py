"""Caches that drop the least recently used: hit ratios by Che's approximation, in levels, and memory split over them.

Items that are read equally often stand together: ``rates`` [G] is the rate of one item of each group, ``counts`` [G]
how many there are. Capacities are in items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
SINGLE_RANKS = 1000  # of a Zipf law that are kept one by one
RANKS_PER_E = 60.0  # groups per factor e of rank, beyond them
BISECTIONS = 60


def zipf(items: int, exponent: float) -> tuple[FloatArray, FloatArray]:
    """Return the share of the reads of one item, and the number of items, of each group of ranks.

    The item of rank r is read in proportion to r^-``exponent`` (std). Beyond rank 1,000 a group holds neighbours in
    rank at the mean of their shares; the sum is exact within the midpoint rule.
    """
    single = np.arange(1.0, min(items, SINGLE_RANKS) + 1.0)
    edges = np.zeros(0)
    if items > SINGLE_RANKS:
        groups = max(int(np.ceil(RANKS_PER_E * np.log(items / SINGLE_RANKS))), 1)
        edges = np.unique(np.round(np.geomspace(SINGLE_RANKS, items, groups + 1)))
    low, high = edges[:-1] + 0.5, edges[1:] + 0.5
    counts = np.concatenate([np.ones(len(single)), high - low])
    weights = np.concatenate([single**-exponent, _mean_power(low, high, exponent)])
    return weights / float(weights @ counts), counts


def _mean_power(low: FloatArray, high: FloatArray, exponent: float) -> FloatArray:
    if abs(exponent - 1.0) < 1e-9:
        return np.asarray(np.log(high / low) / (high - low))
    power = 1.0 - exponent
    return np.asarray((high**power - low**power) / (power * (high - low)))


def hit_shares(rates: FloatArray, counts: FloatArray, capacity: float) -> FloatArray:
    """Return the hit ratio of one item of each group, h = 1 - exp(-rate t_C); [G].

    The characteristic time t_C solves sum of counts h = capacity (Che, Tung and Wang 2002, std), by bisection in its
    logarithm. An item that is never read is never there.
    """
    read = rates > 0.0
    if capacity >= float(counts[read].sum()):
        return np.where(read, 1.0, 0.0)
    if capacity <= 0.0:
        return np.zeros(len(rates))
    fastest, slowest = float(rates.max()), float(rates[read].min())
    low = np.log(capacity / float(counts @ rates)) - 1.0
    high = max(np.log(60.0 / slowest), np.log(60.0 / fastest), low + 1.0)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        if float(counts @ -np.expm1(-rates * np.exp(middle))) < capacity:
            low = middle
        else:
            high = middle
    return np.asarray(-np.expm1(-rates * np.exp(high)))


def levels(rates: FloatArray, counts: FloatArray, capacities: Sequence[float]) -> FloatArray:
    """Return of each level, first to last, the share of all reads that it answers; [levels].

    Each level sees the misses of the one before, taken as Poisson again (std, an approximation: misses of one item
    keep apart from each other).
    """
    total, left = float(counts @ rates), rates.astype(np.float64)
    answered = np.zeros(len(capacities))
    for level, capacity in enumerate(capacities):
        share = hit_shares(left, counts, capacity)
        answered[level] = float(counts @ (left * share)) / total
        left = left * (1.0 - share)
    return answered


def split(costs: Sequence[Callable[[tuple[int, ...]], float]], depth: int, units: int) -> tuple[tuple[int, ...], ...]:
    """Share ``units`` of memory over ``depth`` levels of each data set so that the sum of ``costs`` is least.

    ``costs[k]`` takes the units of each level of data set k. Each next unit goes where it lowers the cost most (the
    optimum where all caches are independent and concave, std); then units move between two caches, 1, 2, 4, … at a
    time, while that lowers the cost, because the levels of one data set are not independent [ours]. Units that would
    lower it no more are left over.
    """
    known = [cache(cost) for cost in costs]
    found = [(0,) * depth for _ in costs]
    places = [(k, level) for k in range(len(costs)) for level in range(depth)]
    for _ in range(units):
        gains = [known[k](found[k]) - known[k](_moved(found[k], level, 1)) for k, level in places]
        best = int(np.argmax(gains))
        if gains[best] <= 0.0:
            break
        k, level = places[best]
        found[k] = _moved(found[k], level, 1)
    while _exchange(known, found, places, units):
        pass
    return tuple(found)


def _moved(units: tuple[int, ...], level: int, by: int) -> tuple[int, ...]:
    return (*units[:level], units[level] + by, *units[level + 1 :])


def _exchange(known: Sequence[Callable[[tuple[int, ...]], float]], found: list[tuple[int, ...]],
              places: list[tuple[int, int]], units: int) -> bool:  # fmt: skip
    """Make the best single move of memory; False where none lowers the cost."""
    best, move = 1e-12 * sum(cost(u) for cost, u in zip(known, found, strict=True)), None
    size = 1
    while size <= units:
        for source in places:
            if found[source[0]][source[1]] < size:
                continue
            for target in places:
                if source == target:
                    continue
                changed = {source[0]: found[source[0]], target[0]: found[target[0]]}
                changed[source[0]] = _moved(changed[source[0]], source[1], -size)
                changed[target[0]] = _moved(changed[target[0]], target[1], size)
                gain = sum(known[k](found[k]) - known[k](new) for k, new in changed.items())
                if gain > best:
                    best, move = gain, changed
        size *= 2
    for k, new in (move or {}).items():
        found[k] = new
    return move is not None
