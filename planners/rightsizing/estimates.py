"""What one container needs by each method, from its steady samples, with warm-ups and lack of memory counted apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from planners.rightsizing import recommender
from planners.rightsizing.settings import (
    MARGIN,
    OUT_OF_MEMORY_BYTES,
    OUT_OF_MEMORY_RATIO,
    WARM_UP_RATIO,
    WARM_UP_S,
    Settings,
)
from solvers.usage import SEASONAL_SHARE, after_starts, busiest, day_spread, seasonal_share
from specs.rightsizing import Method
from specs.trace import FloatArray
from specs.usage import ContainerUsage

Estimate = Callable[[FloatArray, FloatArray], float]


@dataclass(frozen=True, kw_only=True)
class Steady:
    """Samples of single replicas laid end to end; CPU without warm-ups, whose peak is ``warm_up_cores``."""

    cpu: FloatArray
    cpu_s: FloatArray
    memory: FloatArray
    memory_s: FloatArray
    seasonal: float
    warm_up_cores: float | None


@dataclass(frozen=True, kw_only=True)
class Needs:
    """CPU to request (cores) and memory to request and allow (bytes), each with its 90 % interval."""

    cpu_cores: float
    cpu_low: float
    cpu_high: float
    memory_bytes: float
    memory_low: float
    memory_high: float


def steady(usage: ContainerUsage) -> Steady:
    """Return the samples without warm-ups; those count as warm-ups only where they stand out."""
    time_s = np.tile(usage.time_s, len(usage.cpu_cores))
    cpu = usage.cpu_cores.ravel()
    early = after_starts(time_s, usage.started_s, WARM_UP_S + usage.step_s)
    peak = _warm_up(cpu, early)
    late = np.isfinite(cpu) & ~early if peak is not None else np.isfinite(cpu)
    memory_s, memory = np.tile(usage.time_s, len(usage.memory_bytes)), usage.memory_bytes.ravel()
    known = np.isfinite(memory)
    return Steady(
        cpu=cpu[late], cpu_s=time_s[late], memory=memory[known], memory_s=memory_s[known],
        seasonal=seasonal_share(cpu[late], time_s[late]), warm_up_cores=peak,
    )  # fmt: skip


def _warm_up(cpu: FloatArray, early: np.ndarray) -> float | None:
    known = np.isfinite(cpu)
    if not (known & early).any() or not (known & ~early).any():
        return None
    peak, usual = float(cpu[known & early].max()), float(np.quantile(cpu[known & ~early], 0.95))
    return peak if peak > WARM_UP_RATIO * usual else None


def needs(usage: ContainerUsage, samples: Steady, method: Method, settings: Settings) -> Needs:
    """Return what ``method`` finds, with the interval over days drawn again; out-of-memory kills raise the memory."""
    cpu_of, memory_of = _estimates(usage, samples, method, settings)
    cpu, memory = amounts(usage, samples, method, settings)
    cpu_low, cpu_high = day_spread(samples.cpu, samples.cpu_s, cpu_of, seed=settings.seed)
    low, high = day_spread(samples.memory, samples.memory_s, memory_of, seed=settings.seed)
    return Needs(cpu_cores=cpu, cpu_low=cpu_low, cpu_high=cpu_high,
                 memory_bytes=memory, memory_low=low, memory_high=max(high, memory))  # fmt: skip


def amounts(usage: ContainerUsage, samples: Steady, method: Method, settings: Settings) -> tuple[float, float]:
    """Return cores and bytes that ``method`` finds, without their intervals; a kill raises the memory."""
    cpu_of, memory_of = _estimates(usage, samples, method, settings)
    memory = max(memory_of(samples.memory, samples.memory_s), after_kill(usage))
    return cpu_of(samples.cpu, samples.cpu_s), memory


def _estimates(usage: ContainerUsage, samples: Steady, method: Method, settings: Settings) -> tuple[Estimate, Estimate]:
    def highest(value: FloatArray, time_s: FloatArray) -> float:
        return MARGIN * float(np.nanmax(value))

    def quantile(value: FloatArray, time_s: FloatArray) -> float:
        if samples.seasonal >= SEASONAL_SHARE:
            return MARGIN * busiest(value, time_s, settings.share)
        return MARGIN * float(np.nanquantile(value, settings.share))

    sure = recommender.confidence(usage.days, usage.samples)
    if method == "decaying":
        return (
            lambda value, time_s: recommender.recommend_cpu(value, time_s, sure).target,
            lambda value, time_s: recommender.recommend_memory(value, time_s, sure).target,
        )
    return (highest if method == "peak" else quantile), highest


def after_kill(usage: ContainerUsage) -> float:
    """Bytes that a container needs after it ran out of memory; 0 where it did not (VPA recommender, code)."""
    if not len(usage.killed_s):
        return 0.0
    known = usage.memory_bytes[np.isfinite(usage.memory_bytes)]
    held = (usage.given.memory_request_bytes, usage.given.memory_limit_bytes, float(known.max()) if len(known) else 0.0)
    used = max(one for one in held if one is not None)  # it was killed at its limit, whatever the samples between saw
    return max(used + OUT_OF_MEMORY_BYTES, used * OUT_OF_MEMORY_RATIO)
