"""Histograms with exponentially growing buckets whose old samples lose weight, and percentiles read from them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
GROWTH = 1.05
"""Each bucket is so much wider than the one before (Kubernetes VPA recommender, code)."""
NOTHING = 1e-4
"""A bucket of less weight counts as empty (Kubernetes VPA recommender, code)."""


@dataclass(frozen=True)
class Buckets:
    """Bucket b begins at ``first`` · (1.05^b − 1) / 0.05; values from ``most`` on share the last bucket."""

    first: float
    most: float

    @property
    def count(self) -> int:
        """How many buckets there are."""
        return math.ceil(math.log(self.most * (GROWTH - 1.0) / self.first + 1.0, GROWTH)) + 1

    def start(self, bucket: npt.ArrayLike) -> FloatArray:
        """Return where ``bucket`` begins, in the unit of ``first``."""
        begun = self.first * (GROWTH ** np.asarray(bucket, dtype=np.float64) - 1.0) / (GROWTH - 1.0)
        return np.asarray(begun, dtype=np.float64)

    def of(self, values: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the bucket of each value ≥ 0; below ``first`` it is the first."""
        value = np.asarray(values, dtype=np.float64)
        found = np.floor(np.log(value * (GROWTH - 1.0) / self.first + 1.0) / np.log(GROWTH)).astype(np.int64)
        return np.where(value < self.first, 0, np.minimum(found, self.count - 1))


def decayed(weight: float, age_s: npt.ArrayLike, half_life_s: float) -> FloatArray:
    """Return ``weight`` · 2^(−age/half-life) for each age in seconds."""
    return np.asarray(weight * np.exp2(-np.asarray(age_s, dtype=np.float64) / half_life_s))


def fill(buckets: Buckets, values: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the weight in each bucket [buckets.count] of ``values`` [n] with ``weights`` [n]."""
    return np.bincount(buckets.of(values), weights=weights, minlength=buckets.count).astype(np.float64)


def percentile(buckets: Buckets, held: FloatArray, share: float) -> float:
    """Return the end of the first bucket up to which ``share`` (0…1) of the weight lies; 0 where nothing is held.

    No interpolation, so the answer is at most one bucket (5 %) too high, never too low (VPA recommender, code).
    """
    solid = np.where(held < NOTHING, 0.0, held)
    if not solid.any():
        return 0.0
    last = int(np.flatnonzero(solid)[-1])
    reached = int(np.searchsorted(np.cumsum(held), share * held.sum()))
    bucket = min(reached, last)
    return float(buckets.start(min(bucket + 1, buckets.count - 1)))
