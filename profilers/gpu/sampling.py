"""A watch over GPUs: samples at a steady pace, handed on at once, and a summary that needs bounded memory."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pynvml

from profilers.gpu.memory import read_memory
from profilers.gpu.nvml import LIMIT_S, LOST, Handle, why, within
from profilers.gpu.reading import MW_IN_W, throttle_reasons
from specs.errors import InputError
from specs.gpu import GpuSample, GpuWatch, Watched

Keep = Callable[[Sequence[GpuSample]], None]
OnProgress = Callable[[float, float, str], None]
INTERVAL_S = 1.0  # NVML averages utilisation over 1/6 to 1 s
RING = 3600  # newest samples whose percentiles are told: an hour
FIGURES = ("busy_share", "memory_used_gib", "power_w", "sm_mhz", "temperature_c")


@dataclass
class Tally:
    """One figure of one GPU: exact count, mean and extremes of all samples, and the newest `RING` of them."""

    count: int = 0
    total: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    newest: deque[float] = field(default_factory=lambda: deque(maxlen=RING))

    def add(self, value: float) -> None:
        """Count one value."""
        self.count += 1
        self.total += value
        self.low, self.high = min(self.low, value), max(self.high, value)
        self.newest.append(value)

    def watched(self) -> Watched:
        """Return the summary; there must be at least one value."""
        p50, p95 = (float(np.percentile(self.newest, share)) for share in (50, 95))
        mean = min(max(self.total / self.count, self.low), self.high)  # rounding must not leave the extremes
        return Watched(mean=mean, low=self.low, high=self.high, p50=p50, p95=p95)


@dataclass
class Course:
    """What is kept of one GPU while it is watched."""

    handle: Handle
    uuid: str | None
    figures: dict[str, Tally] = field(default_factory=lambda: {name: Tally() for name in FIGURES})
    reasons: Counter[str] = field(default_factory=Counter)
    samples: int = 0
    failed: int = 0
    failure: str | None = None

    def add(self, sample: GpuSample) -> None:
        """Count one sample."""
        self.samples += 1
        self.reasons.update(filter(None, sample.throttle_reasons.split("+")))
        for name, tally in self.figures.items():
            value = getattr(sample, name)
            if value is not None:
                tally.add(value)

    def fail(self, reason: str) -> None:
        """Count one reading that the driver refused."""
        self.failed += 1
        self.failure = reason

    def watch(self, seconds: float) -> GpuWatch:
        """Return the summary of ``seconds``."""
        return GpuWatch(
            index=self.handle.index,
            uuid=self.uuid,
            samples=self.samples,
            failed=self.failed,
            failure=self.failure,
            seconds=round(seconds, 1),
            figures={name: tally.watched() for name, tally in self.figures.items() if tally.count},
            throttled_share={name: count / self.samples for name, count in sorted(self.reasons.items())},
        )


def watch_seconds(asked: str) -> float:
    """Return the seconds of `--watch SECONDS|forever`; raises `InputError` for anything else."""
    if asked == "forever":
        return math.inf
    try:
        seconds = float(asked)
    except ValueError:
        seconds = math.nan
    if not (0 < seconds < math.inf):
        raise InputError(
            f"--watch: found {asked!r}, expected seconds above 0, or `forever`", cure="Say `--watch 60`, for example."
        )
    return seconds


def watch(
    handles: Sequence[Handle],
    seconds: float,
    keep: Keep,
    on_progress: OnProgress,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    started_s: float | None = None,
) -> tuple[GpuWatch, ...]:
    """Sample ``handles`` every `INTERVAL_S` for ``seconds`` (infinite: until Ctrl-C, which ends any watch early).

    Each round of samples goes to ``keep`` at once; memory does not grow with the length of the watch. Times are those
    of a steady clock from ``started_s`` (seconds since 1970, else now): they never step back. A round that comes late
    is not made up for.
    """
    courses = [Course(handle, _uuid(handle)) for handle in handles]
    wall_s, start = time.time() if started_s is None else started_s, clock()
    elapsed = 0.0
    try:
        while elapsed < seconds:
            at_s = wall_s + elapsed
            keep(within(LIMIT_S, lambda at_s=at_s: _round(courses, at_s)))  # type: ignore[misc]
            on_progress(min(elapsed, seconds), seconds, f"watching {len(courses)} GPUs")
            due = (math.floor(max(elapsed, clock() - start) / INTERVAL_S) + 1) * INTERVAL_S
            sleep(max(0.0, due - (clock() - start)))
            elapsed = max(due, clock() - start)
    except KeyboardInterrupt:
        elapsed = clock() - start
    return tuple(course.watch(min(elapsed, seconds)) for course in courses)


def sample(device: Any, uuid: str, at_s: float) -> GpuSample:
    """Return the moving figures of one GPU; raises `pynvml.NVMLError` where the GPU is lost."""
    busy = _or_none(lambda: pynvml.nvmlDeviceGetUtilizationRates(device).gpu / 100)
    return GpuSample(
        time_s=round(at_s, 3),
        uuid=uuid,
        busy_share=busy,
        memory_used_gib=memory.used_gib if (memory := read_memory(device, {})) else None,
        power_w=_or_none(lambda: pynvml.nvmlDeviceGetPowerUsage(device) / MW_IN_W),
        sm_mhz=_or_none(lambda: float(pynvml.nvmlDeviceGetClockInfo(device, pynvml.NVML_CLOCK_SM))),
        temperature_c=_or_none(lambda: float(pynvml.nvmlDeviceGetTemperature(device, pynvml.NVML_TEMPERATURE_GPU))),
        throttle_reasons="+".join(_or_none(lambda: throttle_reasons(device)) or ()),
    )


def _round(courses: Sequence[Course], at_s: float) -> list[GpuSample]:
    samples = []
    for course in courses:
        try:
            if isinstance(course.handle.device, pynvml.NVMLError):
                raise course.handle.device
            one = sample(course.handle.device, course.uuid or f"gpu {course.handle.index}", at_s)
        except pynvml.NVMLError as error:
            course.fail(why(error))
            continue
        course.add(one)
        samples.append(one)
    return samples


def _uuid(handle: Handle) -> str | None:
    if isinstance(handle.device, pynvml.NVMLError):
        return None
    try:
        return str(pynvml.nvmlDeviceGetUUID(handle.device))
    except pynvml.NVMLError:
        return None


def _or_none(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except pynvml.NVMLError as error:
        if error.value in LOST:
            raise
        return None
