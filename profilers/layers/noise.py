"""How sure a median is that was taken in blocks, and how far the blocks lie apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# The standard error of a median of n normal values is sqrt(pi / 2n) times their deviation. [std]
MEDIAN_FACTOR = math.sqrt(math.pi / 2.0)
NORMAL_IQR = 1.349  # interquartile range of a normal distribution in deviations [std]
FEW_BLOCKS = 1.5  # n / (n − 1.5) undoes how short the quartiles of n blocks fall: 0 to 26 % above for 3 to 12 [ours]
Blocks = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Spread:
    """Seconds of one call, and its noise relative to the median.

    ``median_error``: standard error of the median over blocks, infinite for fewer than two. ``spread``: interquartile
    range of all repeats. ``block_spread``: largest less smallest block median.
    """

    median_s: float
    median_error: float
    spread: float
    block_spread: float


def spread_of(blocks: Blocks) -> Spread:
    """Return median and noise of ``blocks`` of repeats (seconds).

    Repeats within a block share the machine's mood, so blocks, not repeats, count as independent (ours). Their
    deviation comes from their quartiles, because a block that others interrupt lies far out and moves no median.
    """
    medians = np.array([np.median(block) for block in blocks])
    low, median, high = np.percentile(np.concatenate([np.asarray(block) for block in blocks]), (25, 50, 75))
    centre = max(float(median), 1e-12)
    error = math.inf
    if len(medians) > 1:
        error = MEDIAN_FACTOR * _deviation(medians) / math.sqrt(len(medians)) / centre
    return Spread(float(median), error, float(high - low) / centre, float(np.ptp(medians)) / centre)


def _deviation(medians: npt.NDArray[np.float64]) -> float:
    first, third = np.percentile(medians, (25, 75))
    return float(third - first) / NORMAL_IQR * len(medians) / (len(medians) - FEW_BLOCKS)
