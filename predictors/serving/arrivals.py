"""Synthetic requests: gamma arrivals at a rate or along a rate series, and ways to draw lengths."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from predictors.serving.engine import Requests
from specs.errors import InputError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Sampler = Callable[[np.random.Generator, int], IntArray]
"""Draws so many token counts, each at least 1."""

MOST_REQUESTS = 20_000_000
"""Drawn arrivals end here: about 1 GB of arrays in the simulator [ours]."""

P99_Z = 2.3263478740408408
"""99th percentile of the standard normal."""


def synthesize(arrival_s: FloatArray, prompt_tokens: Sampler, output_tokens: Sampler, *, seed: int) -> Requests:
    """Requests at the given times with independently drawn lengths."""
    prompts, outputs = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2))
    return Requests(
        arrival_s=np.asarray(arrival_s, dtype=np.float64),
        prompt_tokens=prompt_tokens(prompts, len(arrival_s)),
        output_tokens=output_tokens(outputs, len(arrival_s)),
    )


def gamma_arrivals(rate_per_s: float, *, cv: float = 1.0, duration_s: float, seed: int) -> FloatArray:
    """Renewal arrivals over ``duration_s``: gamma gaps of shape 1/cv² and scale cv²/rate (std); cv 1 is Poisson."""
    return _unit_renewals(rate_per_s * duration_s, cv, seed) / rate_per_s


def series_arrivals(t_s: FloatArray, rate_per_s: FloatArray, *, cv: float = 1.0, seed: int) -> FloatArray:
    """Arrivals along a rate that is linear between the points (t_s, rate_per_s).

    Time change (std): renewals of unit rate, mapped through the inverse of the cumulated rate, so the expected
    number in any window is the rate's integral, and the burstiness ``cv`` is that of the operational time.
    """
    t, rate = np.asarray(t_s, dtype=np.float64), np.asarray(rate_per_s, dtype=np.float64)
    if len(t) < 2 or (np.diff(t) <= 0).any() or (rate < 0).any() or not np.isfinite(rate).all():
        raise InputError(
            "a rate series needs two or more ascending times and rates of at least 0",
            cure="correct the series: columns t_s, rate_per_s",
        )
    cumulated = np.concatenate([[0.0], np.cumsum(np.diff(t) * (rate[1:] + rate[:-1]) / 2.0)])
    return _invert_cumulated(_unit_renewals(float(cumulated[-1]), cv, seed), t, rate, cumulated)


def _unit_renewals(length: float, cv: float, seed: int) -> FloatArray:
    """Renewal times of rate 1 in [0, length); the first gap is an ordinary one."""
    if length > MOST_REQUESTS:
        raise InputError(
            f"the arrivals would be about {length:.3g} requests, more than {MOST_REQUESTS:,}",
            cure="Lower the rate or the duration: a plan needs the burst, not years of traffic.",
        )
    rng = np.random.default_rng(seed)
    shape = 1.0 / cv**2
    times = np.zeros(0)
    while len(times) == 0 or times[-1] < length:
        start = times[-1] if len(times) else 0.0
        more = max(16, math.ceil((length - start) * 1.05 + 4.0 * cv * math.sqrt(length)))
        times = np.concatenate([times, start + np.cumsum(rng.gamma(shape, cv**2, size=more))])
    return times[times < length]


def _invert_cumulated(units: FloatArray, t: FloatArray, rate: FloatArray, cumulated: FloatArray) -> FloatArray:
    """Times at which the integral of the piecewise-linear rate reaches ``units``."""
    k = np.clip(np.searchsorted(cumulated, units, side="right") - 1, 0, len(t) - 2)
    slope = (rate[k + 1] - rate[k]) / (t[k + 1] - t[k])
    rest = units - cumulated[k]
    root = np.sqrt(np.maximum(rate[k] ** 2 + 2.0 * slope * rest, 0.0))
    return np.asarray(np.minimum(t[k] + 2.0 * rest / np.maximum(rate[k] + root, 1e-300), t[k + 1]), dtype=np.float64)


def constant_lengths(tokens: int) -> Sampler:
    """Always the same length."""
    return lambda _, n: np.full(n, tokens, dtype=np.int64)


def uniform_lengths(low: int, high: int) -> Sampler:
    """Every length from low to high equally likely."""
    return lambda rng, n: rng.integers(low, high, size=n, endpoint=True)


def lognormal_lengths(mean: float, p99: float) -> Sampler:
    """Log-normal by mean and 99th percentile, rounded, at least 1.

    σ solves ln(p99/mean) = z σ − σ²/2, the smaller root; InputError where p99 is below the mean or too far above.
    """
    ratio = math.log(p99 / mean)
    if not 0.0 < ratio <= P99_Z**2 / 2.0:
        raise InputError(
            f"no log-normal has mean {mean:g} and p99 {p99:g}", cure="give a p99 between 1 and 14.9 times the mean"
        )
    sigma = P99_Z - math.sqrt(P99_Z**2 - 2.0 * ratio)
    mu = math.log(mean) - sigma**2 / 2.0
    return lambda rng, n: np.maximum(1, np.rint(rng.lognormal(mu, sigma, size=n))).astype(np.int64)


def histogram_lengths(tokens: npt.ArrayLike, weights: npt.ArrayLike) -> Sampler:
    """Lengths drawn from a histogram."""
    values, share = np.asarray(tokens, dtype=np.int64), np.asarray(weights, dtype=np.float64)
    if len(values) == 0 or (values < 1).any() or (share < 0).any() or not share.sum() > 0:
        raise InputError(
            "a length histogram needs token counts of at least 1 and weights of at least 0, not all 0",
            cure="correct the histogram: columns tokens, count",
        )
    return lambda rng, n: rng.choice(values, size=n, p=share / share.sum())
