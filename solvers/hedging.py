"""Joining forecasts as their losses become known: weights that rise with proof, and a newcomer let in by trials."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from solvers.compiled import compiled

FloatArray = npt.NDArray[np.float64]
ETA = 2.0
"""How much a proof weighs: √ln(1 / prior) for some forty forecasts (Gaillard, Stoltz and van Erven 2014, rounded)."""
DECAY = 0.999
"""Old losses count less: by half after 700 places (ours)."""


def hedged(actual: FloatArray, forecasts: FloatArray, lead: int, quantile: float, *, first: float = 0.5) -> FloatArray:
    """Return the mean [n] of quantile ``forecasts`` [k, n], weighted by prior · exp(η · gain / √(lead · Σ gain²)).

    The gain of a forecast is the pinball loss of the first one less its own, summed; known ``lead`` places late. Its
    squares bound how far luck may go, so a rare great gain or loss weighs little (second-order weights: Gaillard,
    Stoltz and van Erven 2014, std); gains hang together over ``lead`` places, so squares count that often (ours). The
    ``first`` forecast has that much of the prior, the others share the rest (ours). A forecast that is NaN has no
    weight at that place.
    """
    known = np.full(forecasts.shape[1], np.nan)
    known[: len(actual)] = actual
    out = np.full(forecasts.shape[1], np.nan)
    prior = np.full(len(forecasts), (1.0 - first) / max(len(forecasts) - 1, 1))
    prior[0] = first
    gained, squares, proof = (np.zeros(len(prior)) for _ in range(3))
    _hedge(known, forecasts, lead, quantile, ETA, DECAY, prior, gained, squares, proof, out)
    return out


@compiled
def _hedge(
    actual: FloatArray, forecasts: FloatArray, lead: int, quantile: float, eta: float, decay: float,
    prior: FloatArray, gained: FloatArray, squares: FloatArray, proof: FloatArray, out: FloatArray,
) -> None:  # fmt: skip
    for t in range(len(out)):
        i = t - lead
        if i >= 0 and not np.isnan(actual[i]) and not np.isnan(forecasts[0, i]):
            base = max(quantile * (actual[i] - forecasts[0, i]), (quantile - 1.0) * (actual[i] - forecasts[0, i]))
            for k in range(len(prior)):
                gained[k] *= decay
                squares[k] *= decay
                if not np.isnan(forecasts[k, i]):
                    missed = actual[i] - forecasts[k, i]
                    gain = base - max(quantile * missed, (quantile - 1.0) * missed)
                    gained[k] += gain
                    squares[k] += gain * gain
                proof[k] = eta * gained[k] / (np.sqrt(lead * squares[k]) + 1e-300)
        most = -np.inf
        for k in range(len(prior)):
            if not np.isnan(forecasts[k, t]):
                most = max(most, proof[k])
        weights, joined = 0.0, 0.0
        for k in range(len(prior)):
            if not np.isnan(forecasts[k, t]):
                share = prior[k] * np.exp(proof[k] - most)
                weights += share
                joined += share * forecasts[k, t]
        if weights > 0.0:
            out[t] = joined / weights


def gated(
    actual: FloatArray, baseline: FloatArray, challenger: FloatArray, lead: int, *, enough: int
) -> tuple[FloatArray, float]:
    """Return the baseline [n], moved to the challenger as trials of both become known, and how far at the end.

    Errors of forecasts made ``lead`` places ahead hang together over as many, so ``lead`` places are one trial. The
    challenger's share is the square of trials / ``enough``, from there on it stands alone (ours): weights learnt from
    a handful of trials are mostly luck.
    """
    known = np.full(len(challenger), np.nan)
    known[: len(actual)] = actual
    both = np.isfinite(known) & np.isfinite(baseline) & np.isfinite(challenger)
    seen = np.concatenate([np.zeros(lead), np.cumsum(both)])[: len(challenger)]
    share = np.minimum(seen / lead / enough, 1.0) ** 2
    mixed = baseline + share * (challenger - baseline)
    mixed = np.where(np.isnan(baseline), challenger, np.where(np.isnan(challenger), baseline, mixed))
    return mixed, float(share[-1])
