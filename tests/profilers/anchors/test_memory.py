"""The memory anchors move the bytes they are counted for, over arrays that no cache holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.anchors.crew import crew
from profilers.anchors.memory import (
    BYTES,
    KERNELS,
    LARGEST_MIB,
    MEMORY_SHARE,
    array_mib,
    bandwidth_anchor,
    bandwidth_tasks,
)
from profilers.anchors.repeats import interleave


def test_each_kernel_does_what_it_is_named_for() -> None:
    first, second, third = (np.random.default_rng(seed).random(1000) for seed in range(3))
    assert KERNELS["read"](first, second, third) == pytest.approx(first.sum())
    KERNELS["triad"](first, second, third)
    assert third == pytest.approx(first + 3.0 * second)
    KERNELS["copy"](first, second, third)
    assert second == pytest.approx(first)


def test_bytes_are_counted_as_stream_does() -> None:
    with crew([0]) as one:
        tasks = bandwidth_tasks(one, 1.0)
    assert {operation: task.amount / 2**20 for operation, task in tasks.items()} == {"read": 1, "copy": 2, "triad": 3}
    assert BYTES == {"read": 8, "copy": 16, "triad": 24}


@given(st.floats(0, 4096), st.floats(1, 1e6), st.floats(1, 1e6))
def test_arrays_exceed_the_caches_and_leave_memory_free(caches: float, free: float, more: float) -> None:
    size = array_mib(caches, free)
    assert 1.0 <= size <= LARGEST_MIB
    assert size <= max(1.0, free * MEMORY_SHARE)
    assert array_mib(caches, free + more) >= size
    if free * MEMORY_SHARE > 4 * caches + 1 and 64 <= 4 * caches <= LARGEST_MIB:
        assert size > 4 * caches - 1


def test_an_anchor_comes_out_of_a_real_run() -> None:
    with crew([0]) as one:
        tasks = bandwidth_tasks(one, 4.0)
        rates = interleave(tasks, budget_s=0.0, on_progress=lambda done, total, what: None)
    anchor = bandwidth_anchor("copy", 1, 4.0, rates["copy"])
    assert 0.05 < anchor.low_gb_per_s <= anchor.gb_per_s <= anchor.best_gb_per_s < 5000
    assert (anchor.noise.repeats, anchor.noise.blocks) == (15, 3)
