"""Repeats that are spread over the whole run and interleaved, and what they say together."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from specs.host import Noise

OnProgress = Callable[[float, float, str], None]
Blocks = tuple[tuple[float, ...], ...]
Key = TypeVar("Key", bound=Hashable)

BLOCKS = 7
REPEATS_PER_BLOCK = 5
MIN_BLOCKS = 3
DIGITS = 4  # figures of a rate that are kept: repeats agree in fewer


@dataclass(frozen=True, kw_only=True)
class Task:
    """One anchor: ``run`` does it once and returns the seconds it took; ``amount`` of bytes or operations is done."""

    what: str
    amount: float
    run: Callable[[], float]


def interleave(
    tasks: Mapping[Key, Task],
    *,
    budget_s: float,
    on_progress: OnProgress,
    clock: Callable[[], float] = time.monotonic,
) -> dict[Key, Blocks]:
    """Return, per task, the rates (amount per second) of each block: block 1 of every task, then block 2 of every task.

    Machines drift for seconds at a time, so repeats in a row agree with each other and not with later ones; blocks
    that are spread over the run show it. Every task runs once first, uncounted. After ``MIN_BLOCKS`` blocks no new one
    starts once ``budget_s`` is spent.
    """
    for number, task in enumerate(tasks.values()):
        on_progress(number, len(tasks) * (BLOCKS + 1), f"warming up: {task.what}")
        task.run()
    rates: dict[Key, list[tuple[float, ...]]] = {name: [] for name in tasks}
    started = clock()
    for block in range(BLOCKS):
        if block >= MIN_BLOCKS and clock() - started > budget_s:
            break
        for number, (name, task) in enumerate(tasks.items()):
            on_progress(len(tasks) * (block + 1) + number, len(tasks) * (BLOCKS + 1), task.what)
            rates[name].append(tuple(_rate(task) for _ in range(REPEATS_PER_BLOCK)))
    return {name: tuple(blocks) for name, blocks in rates.items()}


def _rate(task: Task) -> float:
    return task.amount / max(task.run(), 1e-9)


def summary(blocks: Blocks, unit: str, scale: float) -> dict[str, Any]:
    """Return the fields that anchors share: median, percentiles and best under the name ``unit``, and the noise.

    ``scale``: what one ``unit`` is in amount per second (1e9 for GB/s). Percentiles are numpy's linear ones. [std]
    """
    rates = np.asarray(blocks) / scale
    low, q1, median, q3, high = np.percentile(rates, (5, 25, 50, 75, 95))
    noise = Noise(
        repeats=rates.size,
        blocks=len(blocks),
        spread=rounded((q3 - q1) / median),
        block_spread=rounded(np.ptp(np.median(rates, axis=1)) / median),
    )
    return {
        unit: rounded(median), f"low_{unit}": rounded(low), f"high_{unit}": rounded(high),
        f"best_{unit}": rounded(rates.max()), "noise": noise,
        f"blocks_{unit}": tuple(tuple(rounded(rate) for rate in block) for block in rates),
    }  # fmt: skip


def rounded(value: float) -> float:
    """Return ``value`` to `DIGITS` significant figures."""
    return float(f"{value:.{DIGITS}g}")
