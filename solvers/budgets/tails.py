"""Percentiles along a call graph for services that are independent: convolution in series, products in parallel."""

from __future__ import annotations

import numpy as np

from solvers.budgets.problem import Calls, FloatArray

CELLS = 512
"""Cells of the grid of times: a quantile is known to half a cell of twice the longest time asked for."""
PROBABILITIES = np.concatenate([np.linspace(0.005, 0.985, 50), 1.0 - np.geomspace(0.0125, 1e-5, 24)])
"""Where the quantile functions that are composed are given."""


def end_to_end(calls: Calls, quantiles_s: FloatArray, horizon_s: float) -> FloatArray:
    """Cumulative distribution of the latency of every service with its calls: [services, CELLS].

    ``quantiles_s`` [services, probabilities]: each service's own latency at `PROBABILITIES`. Cell k holds P(latency ≤
    (k + 1) horizon / CELLS). Calls in a row convolve, ``weight`` times; calls side by side have the product of their
    distributions; all are independent, also repeated visits of one service (std; the time grid rounds up).
    """
    n = len(quantiles_s)
    edges = (np.arange(CELLS) + 1.0) * horizon_s / CELLS
    found = np.empty((n, CELLS))
    for i in range(n - 1, -1, -1):
        found[i] = _own(quantiles_s[i], edges)
        for g in range(int(calls.group_at[i]), int(calls.group_at[i + 1])):
            inside = range(int(calls.call_at[g]), int(calls.call_at[g + 1]))
            group = np.prod([_in_a_row(found[calls.callee[e]], calls.weight[e]) for e in inside], axis=0)
            found[i] = _sum(found[i], group)
    return found


def quantile(cumulative: FloatArray, share: float, horizon_s: float) -> float:
    """Time at which ``cumulative`` reaches ``share``; infinite where that lies beyond the horizon."""
    k = int(np.searchsorted(cumulative, share))
    if k >= CELLS:
        return float("inf")
    before = float(cumulative[k - 1]) if k else 0.0
    part = (share - before) / max(float(cumulative[k]) - before, 1e-300)
    return (k + min(max(part, 0.0), 1.0)) * horizon_s / CELLS


def union_bound_share(share: float, visits: float) -> float:
    """The percentile that each of ``visits`` must keep for a request to keep ``share``: misses add at most (std)."""
    return 1.0 - (1.0 - share) / visits


def _own(quantiles_s: FloatArray, edges: FloatArray) -> FloatArray:
    if quantiles_s[-1] <= 0.0:
        return np.ones(len(edges))
    rising = np.maximum.accumulate(quantiles_s) * (1.0 + 1e-12 * np.arange(len(quantiles_s)))
    return np.asarray(np.interp(edges, rising, PROBABILITIES, left=0.0, right=1.0))


def _sum(one: FloatArray, other: FloatArray) -> FloatArray:
    """Distribution of the sum of two independent latencies; what lies beyond the horizon stays beyond it."""
    first, second = (np.fft.rfft(np.diff(each, prepend=0.0), 2 * CELLS) for each in (one, other))
    density = np.fft.irfft(first * second, 2 * CELLS)[: CELLS - 1]
    density = np.concatenate([[0.0], density])  # two cells rounded up: the sum lies a cell later
    return np.asarray(np.minimum(np.cumsum(np.maximum(density, 0.0)), 1.0))


def _in_a_row(cumulative: FloatArray, weight: float) -> FloatArray:
    """The sum of whole ``weight`` independent latencies; a weight that is no whole number scales the time axis."""
    whole = round(weight)
    if whole < 1 or abs(weight - whole) > 1e-9:
        at = (np.arange(CELLS) + 1.0) / weight - 1.0
        return np.asarray(np.interp(at, np.arange(CELLS), cumulative, left=0.0))
    found = cumulative
    for _ in range(whole - 1):
        found = _sum(found, cumulative)
    return found
