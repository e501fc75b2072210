"""Times the operators of one pass, one after the other: by a steady clock, or by the events of a CUDA stream."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

Torch = Any
Step = tuple[str, Callable[[], object]]  # an operator's name and one call of it
Timer = Callable[[Sequence[Step]], dict[str, float]]

# The stream sleeps while the host queues a pass, so that launches are hidden and events time the kernels alone.
QUEUE_AHEAD_CYCLES = 2_000_000  # about a millisecond of an SM at 1.4 to 2 GHz; queueing a layer takes 0.2 to 0.5 ms


def cpu_timer(clock_ns: Callable[[], int] = time.perf_counter_ns) -> Timer:
    """Return what times steps by reading ``clock_ns`` between each two of them."""

    def timed(steps: Sequence[Step]) -> dict[str, float]:
        marks = [clock_ns()]
        for _, call in steps:
            call()
            marks.append(clock_ns())
        return _means([name for name, _ in steps], [(b - a) * 1e-9 for a, b in itertools.pairwise(marks)])

    return timed


def cuda_timer(torch: Torch, device: str) -> Timer:
    """Return what times steps on ``device`` by one event between each two; a name that recurs gives its mean."""

    def timed(steps: Sequence[Step]) -> dict[str, float]:
        with torch.cuda.device(device):
            events = [torch.cuda.Event(enable_timing=True) for _ in range(len(steps) + 1)]
            torch.cuda._sleep(QUEUE_AHEAD_CYCLES)
            events[0].record()
            for (_, call), event in zip(steps, events[1:], strict=True):
                call()
                event.record()
            events[-1].synchronize()
        pairs = itertools.pairwise(events)
        return _means([name for name, _ in steps], [a.elapsed_time(b) * 1e-3 for a, b in pairs])

    return timed


def _means(names: Sequence[str], seconds: Sequence[float]) -> dict[str, float]:
    return {
        name: sum(s for n, s in zip(names, seconds, strict=True) if n == name) / names.count(name)
        for name in dict.fromkeys(names)
    }
