"""How sure a median is that was taken in blocks, and how far the blocks lie apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# The standard error of a median of n normal values is sqrt(pi / 2n) times their deviation. [std]
MEDIAN_FACTOR = math.sqrt(math.pi / 2.0)
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

    Repeats within a block share the machine's mood, so blocks, not repeats, count as independent (ours).
    """
    medians = np.array([np.median(block) for block in blocks])
    low, median, high = np.percentile(np.concatenate([np.asarray(block) for block in blocks]), (25, 50, 75))
    centre = max(float(median), 1e-12)
    error = math.inf
    if len(medians) > 1:
        error = MEDIAN_FACTOR * float(medians.std(ddof=1)) / math.sqrt(len(medians)) / centre
    return Spread(float(median), error, float(high - low) / centre, float(np.ptp(medians)) / centre)
