"""Bandwidth of main memory: read, copy and triad over arrays that no cache holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numba
import numpy as np
from numpy.typing import NDArray

from profilers.anchors.crew import Crew
from profilers.anchors.repeats import Blocks, Task, summary
from specs.host import BandwidthAnchor

Array = NDArray[np.float64]
Operation = Literal["read", "copy", "triad"]
# Bytes of one element that each operation moves, as STREAM counts them: without write-allocate traffic.
# McCalpin, "Memory Bandwidth and Machine Balance", 1995.
BYTES: dict[Operation, int] = {"read": 8, "copy": 16, "triad": 24}
CACHE_FACTOR = 4.0  # an array is at least four times the last-level caches (STREAM's rule)
SMALLEST_MIB = 64.0
LARGEST_MIB = 1024.0
MEMORY_SHARE = 1 / 12  # of what is free; two crews hold three arrays each, so half of it is left alone
ELEMENTS_PER_MIB = 2**20 // 8


def array_mib(caches_mib: float, free_mib: float) -> float:
    """Return the size of one array in MiB: above the caches, below what memory leaves free, at least 1."""
    wanted = min(max(SMALLEST_MIB, CACHE_FACTOR * caches_mib), LARGEST_MIB)
    return max(1.0, float(int(min(wanted, free_mib * MEMORY_SHARE))))


def bandwidth_tasks(crew: Crew, size_mib: float) -> dict[Operation, Task]:
    """Return the three tasks of a crew whose members share arrays of ``size_mib``; each touches its part first."""
    threads = len(crew.workers)
    count = max(1, int(size_mib * ELEMENTS_PER_MIB / threads))
    parts: list[tuple[Array, Array, Array]] = [_nothing()] * threads

    def touch(worker: int) -> None:  # the first to write a page decides on which NUMA node it lies
        parts[worker] = (np.full(count, 1.0), np.full(count, 2.0), np.full(count, 0.0))

    crew.all(touch)

    def task(operation: Operation) -> Task:
        kernel = KERNELS[operation]
        amount = float(BYTES[operation] * count * threads)
        what = f"memory {operation}, {threads} thread{'s' * (threads > 1)}"
        return Task(what=what, amount=amount, run=lambda: crew.all(lambda worker: kernel(*parts[worker])))

    return {operation: task(operation) for operation in KERNELS}


def bandwidth_anchor(operation: Operation, threads: int | None, size_mib: float, blocks: Blocks) -> BandwidthAnchor:
    """Return the anchor of one operation from its blocks of bytes per second."""
    figures = summary(blocks, "gb_per_s", 1e9)
    return BandwidthAnchor(operation=operation, threads=threads, array_mib=size_mib, **figures)


def _nothing() -> tuple[Array, Array, Array]:
    return np.empty(0), np.empty(0), np.empty(0)


def _copy(source: Array, target: Array, _: Array) -> None:
    np.copyto(target, source)


@numba.njit(nogil=True, fastmath=True)
def _read(source: Array, _target: Array, _third: Array) -> float:
    total = 0.0
    for i in range(source.size):
        total += source[i]
    return total


@numba.njit(nogil=True, fastmath=True)
def _triad(source: Array, other: Array, target: Array) -> None:
    for i in range(source.size):
        target[i] = source[i] + 3.0 * other[i]


KERNELS: dict[Operation, Callable[[Array, Array, Array], object]] = {"read": _read, "copy": _copy, "triad": _triad}
