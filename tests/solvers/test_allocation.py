"""Marginal allocation is optimal for separable convex costs, for every number of units."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers.allocation import marginal_allocation
from solvers.queues import mmc_wait_mean


def convex(rng: np.random.Generator, parts: int, most: int) -> list[list[float]]:
    """Decreasing convex values of 0…most units: the falls are sorted."""
    tables = []
    for _ in range(parts):
        falls = np.sort(rng.uniform(0, 5, most))[::-1]
        tables.append([30.0, *(30.0 - np.cumsum(falls)).tolist()])
    return tables


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), parts=st.integers(1, 4), units=st.integers(0, 6))
def test_every_prefix_is_the_best_of_its_size(seed: int, parts: int, units: int) -> None:
    tables = convex(np.random.default_rng(seed), parts, 8)
    grants = marginal_allocation(lambda part, count: tables[part][count], [0] * parts, units, most=[7] * parts)
    assert len(grants) == min(units, 7 * parts)
    for size in range(len(grants) + 1):
        counts = [sum(one.part == part for one in grants[:size]) for part in range(parts)]
        ours = sum(tables[part][count] for part, count in enumerate(counts))
        best = min(
            sum(tables[part][count] for part, count in enumerate(chosen))
            for chosen in itertools.product(range(8), repeat=parts)
            if sum(chosen) == size
        )
        assert ours == pytest.approx(best)


def test_queues_are_convex_in_their_servers_and_get_them_where_they_wait_longest() -> None:
    rates = (0.9, 0.5, 0.2)

    def wait(part: int, servers: int) -> float:
        return mmc_wait_mean(rates[part], 1.0, servers)

    for part in range(3):
        falls = [wait(part, n) - wait(part, n + 1) for n in range(1, 6)]
        assert all(a >= b for a, b in itertools.pairwise(falls))
    assert [one.part for one in marginal_allocation(wait, [1, 1, 1], 2)] == [0, 1]


def test_nothing_is_given_where_nothing_is_gained() -> None:
    assert marginal_allocation(lambda part, count: 1.0, [1, 1], 5) == []
