"""The arithmetic of Kubernetes' VPA recommender: decaying histograms, margins, bounds and confidence (code)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from solvers.histograms import Buckets, decayed, fill, percentile

FloatArray = npt.NDArray[np.float64]
CPU = Buckets(first=0.01, most=1000.0)  # cores
MEMORY = Buckets(first=1e7, most=1e12)  # bytes
HALF_LIFE_S = 86_400.0
CPU_WEIGHT, MEMORY_WEIGHT = 0.1, 1.0
INTERVAL_S = 86_400.0  # memory counts by its peak in each
INTERVALS = 8
MARGIN = 1.15
SAMPLES_PER_DAY = 1440.0


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """Target, lower and upper bound of one resource, in its unit."""

    target: float
    lower: float
    upper: float


def confidence(days: float, samples: int) -> float:
    """Return min(days, samples / 1440): how much history there is, in days."""
    return min(days, samples / SAMPLES_PER_DAY)


def recommend_cpu(values: FloatArray, time_s: FloatArray, sure: float) -> Recommendation:
    """Recommend cores from samples [n] of single replicas; ``sure``: `confidence`."""
    known = np.isfinite(values)
    weights = decayed(CPU_WEIGHT, time_s.max() - time_s[known], HALF_LIFE_S)
    return _bounds(CPU, fill(CPU, values[known], weights), sure)


def recommend_memory(values: FloatArray, time_s: FloatArray, sure: float) -> Recommendation:
    """Recommend bytes from samples [n] of one replica (or the largest): by the peak of each day, of the last eight."""
    peaks, ends_s = daily_peaks(values, time_s)
    kept = slice(max(0, len(peaks) - INTERVALS), None)
    weights = decayed(MEMORY_WEIGHT, ends_s.max() - ends_s[kept], HALF_LIFE_S)
    return _bounds(MEMORY, fill(MEMORY, peaks[kept], weights), sure)


def daily_peaks(values: FloatArray, time_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the highest sample of each interval of 24 h from the first sample on, and when the interval ends."""
    known = np.isfinite(values)
    value, at = values[known], time_s[known]
    day = np.floor((at - at.min()) / INTERVAL_S).astype(np.int64)
    peaks = np.full(int(day.max()) + 1, -np.inf)
    np.maximum.at(peaks, day, value)
    there = np.isfinite(peaks)
    ends_s = at.min() + (np.arange(len(peaks)) + 1.0) * INTERVAL_S
    return peaks[there], ends_s[there]


def _bounds(buckets: Buckets, held: FloatArray, sure: float) -> Recommendation:
    """P90 as target; P50 and P95 as bounds, further apart the less history there is."""
    spread = max(sure, 1e-6)
    return Recommendation(
        target=percentile(buckets, held, 0.90) * MARGIN,
        lower=percentile(buckets, held, 0.50) * MARGIN * (1.0 + 0.001 / spread) ** -2.0,
        upper=percentile(buckets, held, 0.95) * MARGIN * (1.0 + 1.0 / spread),
    )
