"""Joining forecasts as their losses become known: weights that fall with loss, and a gate that waits for trials."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from solvers.compiled import compiled

FloatArray = npt.NDArray[np.float64]
ETA = 0.05
"""Weights fall by e for each 20 mean losses of the baseline that a forecast lost more (ours)."""
DECAY = 0.999
"""Old losses count less: by half after 700 places (ours)."""


def hedged(actual: FloatArray, forecasts: FloatArray, lead: int, quantile: float) -> FloatArray:
    """Return the mean [n] of quantile ``forecasts`` [k, n], weighted by exp(−η · loss so far) (Vovk; Littlestone, std).

    Losses are pinball losses relative to the first forecast's mean loss, known ``lead`` places late. A forecast that
    is NaN has no weight at that place.
    """
    known = np.full(forecasts.shape[1], np.nan)
    known[: len(actual)] = actual
    out = np.full(forecasts.shape[1], np.nan)
    _hedge(known, forecasts, lead, quantile, ETA, DECAY, np.zeros(len(forecasts)), out)
    return out


@compiled
def _hedge(
    actual: FloatArray, forecasts: FloatArray, lead: int, quantile: float, eta: float, decay: float,
    lost: FloatArray, out: FloatArray,
) -> None:  # fmt: skip
    total, weight = 0.0, 0.0
    for t in range(len(out)):
        i = t - lead
        if i >= 0 and not np.isnan(actual[i]) and not np.isnan(forecasts[0, i]):
            base = max(quantile * (actual[i] - forecasts[0, i]), (quantile - 1.0) * (actual[i] - forecasts[0, i]))
            total, weight = total * decay + base, weight * decay + 1.0
            for k in range(len(lost)):
                lost[k] *= decay
                if not np.isnan(forecasts[k, i]):
                    missed = actual[i] - forecasts[k, i]
                    lost[k] += max(quantile * missed, (quantile - 1.0) * missed) - base
        unit = total / max(weight, 1.0) + 1e-300
        least = np.inf
        for k in range(len(lost)):
            if not np.isnan(forecasts[k, t]):
                least = min(least, lost[k] / unit)
        weights, joined = 0.0, 0.0
        for k in range(len(lost)):
            if not np.isnan(forecasts[k, t]):
                share = np.exp(-eta * (lost[k] / unit - least))
                weights += share
                joined += share * forecasts[k, t]
        if weights > 0.0:
            out[t] = joined / weights


def gated(
    actual: FloatArray, baseline: FloatArray, challenger: FloatArray, lead: int, *, least: int
) -> tuple[FloatArray, float]:
    """Return the baseline [n], moved to the challenger as trials of both become known, and how far at the end.

    Errors of forecasts made ``lead`` places ahead hang together over as many, so ``lead`` places are one trial. With
    fewer than ``least`` trials the baseline stands alone, from twice as many on the challenger does, in between the
    mixture is linear (ours): weights learnt from a handful of trials are luck.
    """
    known = np.full(len(challenger), np.nan)
    known[: len(actual)] = actual
    both = np.isfinite(known) & np.isfinite(baseline) & np.isfinite(challenger)
    seen = np.concatenate([np.zeros(lead), np.cumsum(both)])[: len(challenger)]
    share = np.clip(seen / lead / least - 1.0, 0.0, 1.0)
    mixed = baseline + share * (challenger - baseline)
    mixed = np.where(np.isnan(baseline), challenger, np.where(np.isnan(challenger), baseline, mixed))
    return mixed, float(share[-1])
