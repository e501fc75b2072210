"""Threads that are pinned to one CPU each and start a piece of work together."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass


@dataclass(frozen=True)
class Crew:
    """One worker per CPU; make it by `crew`, which ends its threads."""

    workers: tuple[ThreadPoolExecutor, ...]

    def all(self, work: Callable[[int], object]) -> float:
        """Do ``work(worker)`` on every worker at once and return the seconds until the last one was done."""
        started = time.perf_counter()
        for waiting in [worker.submit(work, number) for number, worker in enumerate(self.workers)]:
            waiting.result()
        return time.perf_counter() - started


@contextmanager
def crew(cpus: Sequence[int]) -> Iterator[Crew]:
    """Give a crew with one thread on each of ``cpus``; where the system cannot pin threads they float."""
    with ExitStack() as stack:
        yield Crew(tuple(stack.enter_context(ThreadPoolExecutor(1, initializer=_pin, initargs=(cpu,))) for cpu in cpus))


def _pin(cpu: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        with suppress(OSError):  # some sandboxes forbid it
            os.sched_setaffinity(0, {cpu})  # 0 is the calling thread, not the process (sched_setaffinity(2))
