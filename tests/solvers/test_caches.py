"""Che's approximation against simulated caches, and the split of memory against all splits."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import pytest

from solvers.caches import FloatArray, hit_shares, levels, split, zipf


def simulated(share: FloatArray, capacities: list[int], reads: int = 150_000) -> FloatArray:
    """Shares of the reads that each level answers, each a least-recently-used list behind the one before."""
    drawn = np.random.default_rng(1).choice(len(share), size=reads, p=share).tolist()
    kept: list[OrderedDict[int, None]] = [OrderedDict() for _ in capacities]
    hits, warm = np.zeros(len(capacities)), reads // 3
    for number, item in enumerate(drawn):
        for level, (cache, size) in enumerate(zip(kept, capacities, strict=True)):
            hit = item in cache
            cache[item] = None
            cache.move_to_end(item)
            if hit:
                hits[level] += number >= warm
                break
            if len(cache) > size:
                cache.popitem(last=False)
    return hits / (reads - warm)


@pytest.mark.parametrize(("exponent", "size"), [(0.7, 100), (0.9, 300), (1.1, 30)])
def test_one_level_is_within_two_percent_of_a_simulated_cache(exponent: float, size: int) -> None:
    share, counts = zipf(1000, exponent)
    assert levels(share, counts, [size])[0] == pytest.approx(simulated(share, [size])[0], abs=0.01, rel=0.02)


def test_three_levels_are_near_a_simulated_chain() -> None:
    share, counts = zipf(1000, 0.9)
    predicted, seen = levels(share, counts, [30, 150, 400]), simulated(share, [30, 150, 400])
    assert predicted == pytest.approx(seen, abs=0.03)


def test_groups_of_ranks_stand_for_their_items() -> None:
    share, counts = zipf(200_000, 0.8)
    every = np.arange(1.0, 200_001.0) ** -0.8
    assert counts.sum() == pytest.approx(200_000)
    for capacity in (500.0, 20_000.0):
        one_by_one = levels(every / every.sum(), np.ones(200_000), [capacity])[0]
        assert levels(share, counts, [capacity])[0] == pytest.approx(one_by_one, rel=1e-3)


def test_a_full_cache_hits_always_an_empty_one_never_and_unread_items_are_not_kept() -> None:
    rates, counts = np.array([2.0, 1.0, 0.0]), np.array([1.0, 5.0, 100.0])
    assert hit_shares(rates, counts, 6.0).tolist() == [1.0, 1.0, 0.0]
    assert hit_shares(rates, counts, 0.0).tolist() == [0.0, 0.0, 0.0]
    assert counts @ hit_shares(rates, counts, 3.0) == pytest.approx(3.0)


def test_the_split_is_the_best_of_all_for_independent_caches() -> None:
    sets = [zipf(500, 0.8), zipf(2000, 1.0), zipf(100, 0.4)]
    reads = (30.0, 50.0, 20.0)

    def cost_of(k: int) -> Callable[[tuple[int, ...]], float]:
        return lambda units: reads[k] * (1.0 - float(levels(*sets[k], [25.0 * units[0]])[0]))

    costs = [cost_of(k) for k in range(3)]
    found = split(costs, 1, 12)
    best = min(
        sum(cost((u,)) for cost, u in zip(costs, way, strict=True))
        for way in itertools.product(range(13), repeat=3)
        if sum(way) == 12
    )
    assert sum(cost(u) for cost, u in zip(costs, found, strict=True)) == pytest.approx(best, rel=1e-9)


def test_the_split_over_levels_is_near_the_best_of_all() -> None:
    share, counts = zipf(1000, 0.9)
    times = np.array([0.0, 0.5, 0.7])

    def cost(units: tuple[int, ...]) -> float:
        answered = levels(share, counts, [15.0 * units[0], 60.0 * units[1], 60.0 * units[2]])
        return float(answered @ times + 5.0 * (1.0 - answered.sum()))

    found = cost(split([cost], 3, 10)[0])
    best = min(cost(way) for way in itertools.product(range(11), repeat=3) if sum(way) <= 10)
    assert found <= 1.01 * best
