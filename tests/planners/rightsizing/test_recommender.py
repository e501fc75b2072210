"""The VPA recommender's arithmetic, on generated input with its seed, against a second writing of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from planners.rightsizing.recommender import confidence, daily_peaks, recommend_cpu, recommend_memory

DAY_S = 86_400.0


class Second:
    """One histogram written the recommender's own way: weights in a dict, decayed when they are added."""

    def __init__(self, first: float, reference_s: float) -> None:
        self.first, self.reference_s = first, reference_s
        self.held: dict[int, float] = {}

    def add(self, value: float, weight: float, at_s: float) -> None:
        bucket = 0 if value < self.first else math.floor(math.log(value * 0.05 / self.first + 1) / math.log(1.05))
        bucket = min(bucket, 175)
        self.held[bucket] = self.held.get(bucket, 0.0) + weight * 2.0 ** ((at_s - self.reference_s) / DAY_S)

    def percentile(self, share: float) -> float:
        total, partial, end = sum(self.held.values()), 0.0, 0
        for bucket in sorted(self.held):
            partial, end = partial + self.held[bucket], bucket
            if partial >= share * total:
                break
        return self.first * (1.05 ** min(end + 1, 175) - 1) / 0.05


@pytest.fixture
def history() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(20261123)
    time_s = 1.8e9 + 60.0 * np.arange(8 * 1440)
    return time_s, 0.3 * rng.lognormal(0.0, 0.6, len(time_s)), 4e8 * rng.lognormal(0.0, 0.2, len(time_s))


def test_cpu_is_p90_of_the_decaying_histogram_with_its_margin(history: tuple[np.ndarray, ...]) -> None:
    time_s, cpu, _ = history
    second = Second(0.01, time_s[-1])
    for at_s, value in zip(time_s, cpu, strict=True):
        second.add(value, 0.1, at_s)
    found = recommend_cpu(cpu, time_s, 8.0)
    assert found.target == pytest.approx(second.percentile(0.9) * 1.15)
    assert found.lower == pytest.approx(second.percentile(0.5) * 1.15 * (1 + 0.001 / 8.0) ** -2)
    assert found.upper == pytest.approx(second.percentile(0.95) * 1.15 * (1 + 1 / 8.0))


def test_memory_counts_by_the_peak_of_each_day_of_the_last_eight(history: tuple[np.ndarray, ...]) -> None:
    time_s, _, memory = history
    peaks, ends_s = daily_peaks(memory, time_s)
    assert len(peaks) == 8
    assert peaks[3] == memory[3 * 1440 : 4 * 1440].max()
    second = Second(1e7, ends_s[-1])
    for at_s, value in zip(ends_s, peaks, strict=True):
        second.add(value, 1.0, at_s)
    assert recommend_memory(memory, time_s, 8.0).target == pytest.approx(second.percentile(0.9) * 1.15)


def test_a_day_before_the_last_eight_does_not_count() -> None:
    time_s = 1.8e9 + 3600.0 * np.arange(10 * 24, dtype=np.float64)
    memory = np.full(len(time_s), 1e8)
    memory[:24] = 1e11
    assert recommend_memory(memory, time_s, 10.0).upper < 1e9


@pytest.mark.parametrize(("hours", "lower", "upper"), [(12, 0.996, 3.0), (24, 0.998, 2.0), (168, 0.9997, 1.1429)])
def test_bounds_widen_as_history_shortens(hours: int, lower: float, upper: float) -> None:
    time_s = 1.8e9 + 60.0 * np.arange(hours * 60, dtype=np.float64)
    sure = confidence(hours / 24.0, len(time_s))
    assert sure == pytest.approx(hours / 24.0)
    found = recommend_cpu(np.full(len(time_s), 0.5), time_s, sure)
    assert found.lower / found.target == pytest.approx(lower, rel=1e-3)
    assert found.upper / found.target == pytest.approx(upper, rel=1e-3)


def test_confidence_is_limited_by_samples_too() -> None:
    assert confidence(7.0, 144) == pytest.approx(0.1)
