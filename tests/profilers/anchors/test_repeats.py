"""Repeats are spread and interleaved, bounded in time, and summed up as numpy would."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.anchors.repeats import BLOCKS, MIN_BLOCKS, REPEATS_PER_BLOCK, Task, interleave, rounded, summary


def nothing(done: float, total: float, what: str) -> None:
    pass


def test_blocks_of_all_tasks_take_turns_after_one_uncounted_run() -> None:
    calls: list[str] = []

    def task(name: str) -> Task:
        def run() -> float:
            calls.append(name)
            return 2.0

        return Task(what=name, amount=8.0, run=run)

    rates = interleave({"a": task("a"), "b": task("b")}, budget_s=1e9, on_progress=nothing)
    block = ["a"] * REPEATS_PER_BLOCK + ["b"] * REPEATS_PER_BLOCK
    assert calls == ["a", "b", *block * BLOCKS]
    assert rates == dict.fromkeys(("a", "b"), ((4.0,) * REPEATS_PER_BLOCK,) * BLOCKS)


@pytest.mark.parametrize(("budget_s", "blocks"), [(0.0, MIN_BLOCKS), (5 * REPEATS_PER_BLOCK - 1, 5), (1e9, BLOCKS)])
def test_no_block_starts_after_the_budget_but_there_are_always_some(budget_s: float, blocks: int) -> None:
    now = [-1.0]  # the warm-up takes it to 0

    def run() -> float:
        now[0] += 1.0
        return 1.0

    found = interleave(
        {1: Task(what="a", amount=1.0, run=run)}, budget_s=budget_s, on_progress=nothing, clock=lambda: now[0]
    )
    assert len(found[1]) == blocks


def test_progress_counts_up_to_what_there_is_to_do() -> None:
    seen: list[float] = []
    tasks = {name: Task(what=name, amount=1.0, run=lambda: 1.0) for name in "ab"}
    interleave(tasks, budget_s=1e9, on_progress=lambda done, total, what: seen.append(done / total))
    assert seen == sorted(seen)
    assert seen[-1] < 1.0


def test_the_noise_between_blocks_is_told_from_that_within() -> None:
    steady = summary(((10.0,) * 5, (20.0,) * 5), "tflops", 1.0)["noise"]
    jittery = summary(((10.0, 20.0) * 5, (20.0, 10.0) * 5), "tflops", 1.0)["noise"]
    assert steady.block_spread == pytest.approx(10 / 15, rel=1e-3)
    assert jittery.block_spread == 0.0
    assert steady.spread == jittery.spread > 0.6


@given(st.lists(st.lists(st.floats(1e6, 1e12), min_size=5, max_size=5), min_size=3, max_size=7))
def test_a_summary_agrees_with_numpy_and_is_in_order(blocks: list[list[float]]) -> None:
    found = summary(tuple(map(tuple, blocks)), "gb_per_s", 1e9)
    rates = np.array(blocks) / 1e9
    assert found["gb_per_s"] == pytest.approx(np.median(rates), rel=1e-3)
    assert found["best_gb_per_s"] == pytest.approx(rates.max(), rel=1e-3)
    assert found["low_gb_per_s"] <= found["gb_per_s"] <= found["high_gb_per_s"] <= found["best_gb_per_s"]
    assert (found["noise"].repeats, found["noise"].blocks) == (rates.size, len(blocks))
    assert np.shape(found["blocks_gb_per_s"]) == rates.shape


def test_rates_keep_four_figures() -> None:
    assert (rounded(123456.0), rounded(0.000123456)) == (123500.0, 0.0001235)
