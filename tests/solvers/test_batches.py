"""Greedy batches against their worked rules, cut points against brute force over all batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers.batches import Batches, cut_points, pack, serve_in_turn, windows

MOST = 4
REQUESTS = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 120), st.integers(0, 20)), min_size=1, max_size=6)


def duration(size: np.ndarray, longest: np.ndarray) -> np.ndarray:
    return longest * (1.0 + 0.2 * size)


def cost_of(order: np.ndarray, output: np.ndarray) -> np.ndarray:
    longest = windows(output[order], MOST)
    cost = duration(np.arange(1, MOST + 1)[:, None], longest)
    cost[np.arange(1, MOST + 1)[:, None] > np.arange(1, len(order) + 1)[None, :]] = np.inf
    return cost


def compositions(n: int) -> Iterator[list[int]]:
    for cuts in itertools.product([False, True], repeat=n - 1):
        yield [i + 1 for i, cut in enumerate(cuts) if cut] + [n]


def served(
    order: np.ndarray, ends: list[int], output: np.ndarray, due: np.ndarray, release: np.ndarray
) -> tuple[int, float]:
    batches = Batches(order=order, ends=np.asarray(ends))
    found = serve_in_turn(batches, duration(batches.sizes, batches.longest(output)), due, release)
    return found.late, found.makespan_s


@settings(deadline=None)
@given(REQUESTS)
def test_cut_points_are_the_best_of_all_consecutive_batches(requests: list[tuple[int, int, int]]) -> None:
    output, due, release = (np.asarray(column, dtype=float) for column in zip(*requests, strict=True))
    order = np.argsort(due, kind="stable")
    allowed = [e for e in compositions(len(order)) if np.diff([0, *e]).max() <= MOST]
    best = min(served(order, ends, output, due, release) for ends in allowed)
    found = cut_points(order, cost_of(order, output), due, release)
    assert found is not None
    assert (found.late, found.makespan_s) == pytest.approx(best)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_consecutive_by_output_is_the_least_makespan_of_all_partitions(outputs: list[int]) -> None:
    output = np.asarray(outputs, dtype=float)
    nobody = np.full(len(output), np.inf)
    order = np.argsort(output, kind="stable")
    found = cut_points(order, cost_of(order, output), nobody)
    every = min(
        served(np.asarray(one), ends, output, nobody, np.zeros(len(output)))[1]
        for one in itertools.permutations(range(len(output)))
        for ends in compositions(len(output))
        if np.diff([0, *ends]).max() <= MOST
    )
    assert found is not None
    assert found.makespan_s == pytest.approx(every)


@settings(deadline=None)
@given(REQUESTS)
def test_no_greedy_rule_by_deadline_beats_the_cut_points(requests: list[tuple[int, int, int]]) -> None:
    output, due, _ = (np.asarray(column, dtype=float) for column in zip(*requests, strict=True))
    greedy = pack(due, output, most=MOST)
    found = cut_points(greedy.order, cost_of(greedy.order, output), due)
    own = serve_in_turn(greedy, duration(greedy.sizes, greedy.longest(output)), due)
    assert found is not None
    assert (found.late, found.makespan_s) <= (own.late, own.makespan_s + 1e-9)


def test_the_rules_differ_in_their_key() -> None:
    deadline, output = np.array([9.0, 5.0, 7.0, 1.0]), np.array([1.0, 40.0, 2.0, 30.0])
    assert pack(np.arange(4), output, most=2).order.tolist() == [0, 1, 2, 3]
    assert pack(output, output, most=2).order.tolist() == [0, 2, 3, 1]
    assert pack(deadline, output, most=2).order.tolist() == [3, 1, 2, 0]
    assert pack(deadline + 0.5 * output, output, most=2).order.tolist() == [2, 0, 3, 1]


def test_a_batch_closes_at_its_size_its_total_and_its_threshold() -> None:
    output = np.array([100.0, 200.0, 300.0, 600.0])
    assert pack(output, output, most=3).ends.tolist() == [3, 4]
    assert pack(output, output, most=9, total=1024).ends.tolist() == [3, 4]
    # (600 − 300) · 4 · 1.2 = 1440
    assert pack(output, output, most=9, threshold=1440).ends.tolist() == [4]
    assert pack(output, output, most=9, threshold=1439).ends.tolist() == [3, 4]


def test_batches_that_may_not_be_leave_no_schedule() -> None:
    assert cut_points(np.arange(2), np.full((2, 2), np.inf), np.full(2, np.inf)) is None
