"""Capacity of replicas that serve a language model: the engine model's limit, and lateness that grows with load."""

from __future__ import annotations

import numpy as np
import pytest

from predictors.autoscaling.capacity import RHO, highest_rate, replicas_needed
from predictors.autoscaling.engine import Lengths, engine_capacity
from predictors.serving import EngineLimits, Pool, StepSurface

STEP_S = 0.02


def pool(sequences: int = 8) -> Pool:
    """A replica whose step takes 20 ms however many sequences it holds."""
    steps, one, flat = np.full(600, STEP_S), np.ones(1), np.zeros((1, 1))
    surface = StepSurface(steps, np.zeros(600), np.zeros(600), one, one, flat, one, one, flat, graph_max_sequences=1)
    limits = EngineLimits(max_num_seqs=sequences, max_num_batched_tokens=512, kv_blocks=10_000, block_size_tokens=16)
    return Pool(surface=surface, limits=limits)


@pytest.fixture(scope="module")
def capacity():  # type: ignore[no-untyped-def]
    lengths = Lengths(prompt_tokens=np.array([16, 32]), output_tokens=np.array([50, 50]))
    bounds = np.array([1.0, np.inf, np.inf, np.inf])
    return engine_capacity(pool(), lengths, bounds, bound_s=1.0, most=6)


def test_the_limit_is_what_full_batches_complete(capacity) -> None:  # type: ignore[no-untyped-def]
    assert capacity.per_s == pytest.approx(8 / (50 * STEP_S), rel=0.05)


def test_lateness_grows_with_load_and_with_waiting(capacity) -> None:  # type: ignore[no-untyped-def]
    assert (np.diff(capacity.tails, axis=1) >= -1e-12).all()
    assert (np.diff(capacity.tails, axis=2) <= 1e-12).all()
    assert capacity.tails[0, 0, -1] < 0.01
    assert capacity.tails[0, 0, 0] == 1.0


def test_a_larger_pool_carries_more_of_its_limit(capacity) -> None:  # type: ignore[no-untyped-def]
    assert highest_rate(capacity, 3, 0.01) >= highest_rate(capacity, 0, 0.01)
    needed = replicas_needed(capacity, np.array([0.0, 1.0, 3.0 * capacity.per_s, 100.0 * capacity.per_s]), 0.01, 6)
    assert needed[0] == 0
    assert needed[1] == 1
    assert 3 < needed[2] <= 5
    assert needed[3] == 7


def test_requests_in_flight_follow_littles_law(capacity) -> None:  # type: ignore[no-untyped-def]
    at = int(np.argmin(np.abs(RHO - 0.5)))
    assert capacity.in_flight[0, at] == pytest.approx(0.5 * capacity.per_s * 50 * STEP_S, rel=0.2)
