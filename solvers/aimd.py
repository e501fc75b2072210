"""Additive increase, multiplicative decrease: yields fast and recovers slowly (Chiu and Jain 1989)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Aimd:
    """Steers a share in [0, 1] so that a latency keeps below ``slo_s`` [paper: BrownoutServe, Algorithm 2, SALC].

    Below ``warning_factor`` × ``slo_s`` the share grows by ``increment``, above ``slo_s`` it is multiplied by
    ``shrink``, in between it is kept. The share is capped at 1 [code]; nothing bounds it from below but 0.
    """

    slo_s: float
    increment: float = 0.1
    shrink: float = 0.8
    warning_factor: float = 0.8

    def __call__(self, share: float, latency_s: float) -> float:
        """The next share after ``latency_s`` was seen; NaN (nothing was seen) counts as no load."""
        if not latency_s >= self.slo_s * self.warning_factor:
            return min(1.0, share + self.increment)
        return share * self.shrink if latency_s > self.slo_s else share


def weighted_quantile(values: npt.ArrayLike, weights: npt.ArrayLike, level: float) -> float:
    """The smallest of the ascending ``values`` that a share ``level`` of the weights does not exceed; NaN for none."""
    reached = np.cumsum(np.asarray(weights, dtype=np.float64))
    if len(reached) == 0 or reached[-1] <= 0:
        return float("nan")
    return float(np.asarray(values)[min(int(np.searchsorted(reached, level * reached[-1])), len(reached) - 1)])
