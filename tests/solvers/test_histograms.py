"""Decaying histograms against a plain walk over their buckets, bucket by bucket as the recommender does it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solvers.histograms import Buckets, decayed, fill, percentile

CPU, MEMORY = Buckets(first=0.01, most=1000.0), Buckets(first=1e7, most=1e12)
VALUES = st.lists(st.floats(0.0, 2000.0), min_size=1, max_size=40)


def walked(buckets: Buckets, values: list[float], weights: list[float], share: float) -> float:
    """The recommender's own walk: bucket by bucket until the wanted weight is reached; the end of that bucket."""
    held = [0.0] * buckets.count
    for value, weight in zip(values, weights, strict=True):
        bucket = 0
        if value >= buckets.first:
            bucket = math.floor(math.log(value * (1.05 - 1.0) / buckets.first + 1.0) / math.log(1.05))
        held[min(bucket, buckets.count - 1)] += weight
    full = [at for at, weight in enumerate(held) if weight >= 1e-4]
    if not full:
        return 0.0
    partial, bucket = 0.0, 0
    for bucket in range(full[-1] + 1):
        partial += held[bucket]
        if partial >= share * sum(held):
            break
    end = min(bucket + 1, buckets.count - 1)
    return buckets.first * (1.05**end - 1.0) / (1.05 - 1.0)


@pytest.mark.parametrize("buckets", [CPU, MEMORY])
def test_there_are_176_buckets_of_either_resource(buckets: Buckets) -> None:
    assert buckets.count == 176


@given(values=VALUES, share=st.floats(0.01, 0.99), seed=st.integers(0, 1000))
def test_a_percentile_is_that_of_the_plain_walk(values: list[float], share: float, seed: int) -> None:
    weights = np.random.default_rng(seed).uniform(0.001, 1.0, len(values))
    found = percentile(CPU, fill(CPU, np.array(values), weights), share)
    assert found == pytest.approx(walked(CPU, values, list(weights), share), rel=1e-12)


@given(values=VALUES)
def test_a_percentile_is_never_below_the_samples_own(values: list[float]) -> None:
    held = fill(CPU, np.array(values), np.ones(len(values)))
    own = float(np.quantile(values, 0.9, method="inverted_cdf"))
    assert percentile(CPU, held, 0.9) >= min(own, float(CPU.start(CPU.count - 1)))


def test_a_value_lies_in_the_bucket_that_it_is_found_in() -> None:
    values = np.geomspace(0.01, 900.0, 500)
    bucket = CPU.of(values)
    assert (CPU.start(bucket) <= values * (1 + 1e-9)).all()
    assert (values < CPU.start(bucket + 1) * (1 + 1e-9)).all()


def test_weight_halves_with_each_half_life() -> None:
    assert decayed(0.8, [0.0, 60.0, 120.0], 60.0) == pytest.approx([0.8, 0.4, 0.2])


def test_nothing_held_is_nothing_needed() -> None:
    assert percentile(CPU, np.zeros(CPU.count), 0.9) == 0.0
