"""The exact partition against brute force, and against the rules it must never lose to."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers.partitions import bucket_of, least_waste, midpoints, padding_waste, quantiles

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=25)


def brute_force(lengths: list[int], buckets: int) -> float:
    distinct = sorted(set(lengths))
    cuts = itertools.combinations(distinct[:-1], min(buckets, len(distinct)) - 1)
    return min(padding_waste(lengths, [*chosen, distinct[-1]]) for chosen in cuts)


@settings(deadline=None)
@given(LENGTHS, st.integers(1, 5))
def test_the_partition_is_the_brute_force_optimum(lengths: list[int], buckets: int) -> None:
    found = least_waste(lengths, buckets)[-1]
    assert found.waste == pytest.approx(brute_force(lengths, buckets), abs=1e-12)
    assert padding_waste(lengths, found.uppers) == pytest.approx(found.waste, abs=1e-12)


@settings(deadline=None)
@given(LENGTHS, st.integers(1, 8))
def test_no_rule_wastes_less_and_more_buckets_never_waste_more(lengths: list[int], buckets: int) -> None:
    best = least_waste(lengths, buckets)
    wastes = [one.waste for one in best]
    assert wastes == sorted(wastes, reverse=True)
    assert wastes[-1] <= midpoints(lengths, buckets, 64).waste + 1e-12
    assert wastes[-1] <= quantiles(lengths, buckets).waste + 1e-12


@settings(deadline=None)
@given(LENGTHS, st.integers(1, 8))
def test_every_rule_covers_every_length(lengths: list[int], buckets: int) -> None:
    for found in (midpoints(lengths, buckets, 64), quantiles(lengths, buckets), least_waste(lengths, buckets)[-1]):
        at = bucket_of(lengths, found.uppers)
        assert len(found) <= buckets
        assert (found.uppers[at] >= np.asarray(lengths)).all()


def test_as_many_buckets_as_distinct_lengths_waste_nothing() -> None:
    assert least_waste([3, 3, 9, 27], 3)[-1].waste == 0.0


def test_a_uniform_density_is_halved_at_its_middle() -> None:
    """Padded mass U₁P₁ + U₂P₂ is least at the middle of a uniform density."""
    assert least_waste(np.arange(1, 1001), 2)[-1].uppers.tolist() == [500.0, 1000.0]


def test_a_length_above_the_last_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="length 9 is above the last bound 8"):
        padding_waste([3, 9], [4, 8])


def test_a_million_distinct_lengths_are_partitioned() -> None:
    lengths = np.random.default_rng(0).lognormal(6.0, 1.5, 1_000_000)
    least_waste(lengths[:10], 2)
    found = least_waste(lengths, 8)
    assert found[7].waste < found[3].waste < found[0].waste
