"""What a run achieved: percentiles with their sampling error, attainment, goodput, utilisation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from predictors.serving.simulation import Run
from predictors.serving.state import ABORTED, DONE, REJECTED, TIMED_OUT

FloatArray = npt.NDArray[np.float64]

PERCENTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
TIME_BLOCKS = 25
"""Blocks of consecutive requests that the bootstrap draws whole, since neighbours share a queue (Künsch 1989)."""
FEW_ABOVE = 2
"""A percentile with fewer requests than this above it is marked ``few``: a p99 needs 200."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure with the interval of its sampling error; ``few`` when too few requests carry it."""

    value: float
    low: float
    high: float
    few: bool = False


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """Mean and percentiles of one figure, in seconds, over the requests for which it is defined."""

    mean: Estimate
    p50: Estimate
    p90: Estimate
    p95: Estimate
    p99: Estimate
    count: int


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What the planner and the operator look at; see ``measure``."""

    ttft_s: Distribution
    tpot_s: Distribution
    e2e_s: Distribution
    queue_s: Distribution
    itl_s: Distribution
    attainment: Estimate
    goodput_per_s: float
    requests_per_s: float
    output_tokens_per_s: float
    tokens_per_s: float
    kv_cache_utilization: float
    kv_cache_peak: float
    compute_utilization: float
    prefix_hit_ratio: float
    preemptions: int
    mean_running: float
    mean_waiting: float
    longest_queue: int
    completed: int
    rejected: int
    timed_out: int
    aborted: int
    span_s: float


def measure(
    run: Run,
    bounds: FloatArray | None = None,
    *,
    prompt_tokens: npt.NDArray[np.int64],
    warmup_s: float = 0.0,
    confidence: float = 0.9,
    resamples: int = 200,
    seed: int = 0,
) -> Measures:
    """Summarise a run; requests that arrive in the first ``warmup_s`` are left out of percentiles and attainment.

    ``bounds`` [classes, 4] bounds TTFT, TPOT, end-to-end and the longest gap of each request (infinite: none).
    Attainment is the share of requests that meet all of them; one that was refused, given up or not finished has not.
    Intervals at ``confidence`` come from a block bootstrap over time with ``resamples`` draws (0: none, low = high =
    value); the interval of ITL is left out (every gap is counted in a histogram 1.8 % fine). TPOT is undefined, and
    left out, for one output token.
    """
    kept = ~(run.arrival_s - np.nanmin(run.arrival_s) < warmup_s)
    weights = _block_weights(int(kept.sum()), resamples, seed)
    tail = (1.0 - confidence) / 2.0
    spread = (tail, 1.0 - tail)
    met = attained(run, bounds)
    span_s = max(run.span_s, 1e-12)
    totals = run.replicas
    answered = run.status == DONE
    return Measures(
        ttft_s=_distribution(run.ttft_s[kept], weights, spread),
        tpot_s=_distribution(run.tpot_s[kept], weights, spread),
        e2e_s=_distribution(np.where(answered, run.e2e_s, np.nan)[kept], weights, spread),
        queue_s=_distribution(run.queue_s[kept], weights, spread),
        itl_s=_gap_distribution(run),
        attainment=_share(met[kept], weights, spread),
        goodput_per_s=float(met.sum()) / span_s,
        requests_per_s=float(answered.sum()) / span_s,
        output_tokens_per_s=float(run.tokens.sum()) / span_s,
        tokens_per_s=float(run.tokens.sum() + prompt_tokens[answered].sum()) / span_s,
        kv_cache_utilization=float(totals.kv_block_s.sum()) / (float(totals.kv_blocks.sum()) * span_s),
        kv_cache_peak=float((totals.kv_blocks_max / totals.kv_blocks).max()),
        compute_utilization=float(totals.busy_s.mean()) / span_s,
        prefix_hit_ratio=float(run.cached_tokens.sum()) / max(float(prompt_tokens.sum()), 1.0),
        preemptions=int(totals.preemptions.sum()),
        mean_running=float(np.nansum(run.e2e_s - run.queue_s)) / span_s,
        mean_waiting=float(np.nansum(run.queue_s)) / span_s,
        longest_queue=run.longest_queue,
        completed=int(answered.sum()),
        rejected=int((run.status == REJECTED).sum()),
        timed_out=int((run.status == TIMED_OUT).sum()),
        aborted=int((run.status == ABORTED).sum()),
        span_s=run.span_s,
    )


def attained(run: Run, bounds: FloatArray | None) -> npt.NDArray[np.bool_]:
    """Which requests completed within all bounds of their class; [n]. NaN (no TPOT, no gap) meets any bound."""
    done: npt.NDArray[np.bool_] = run.status == DONE
    if bounds is None:
        return done
    of_class = bounds[run.class_index]
    for column, values in enumerate((run.ttft_s, run.tpot_s, run.e2e_s, run.longest_gap_s)):
        done = done & ~(values > of_class[:, column])
    return done


def _block_weights(n: int, resamples: int, seed: int) -> npt.NDArray[np.int32]:
    """How often each resample draws each block of consecutive requests; [resamples, blocks]."""
    blocks = max(1, min(TIME_BLOCKS, n))
    draws = np.random.default_rng(seed).integers(0, blocks, size=(resamples, blocks))
    weights = np.zeros((resamples, blocks), dtype=np.int32)
    np.add.at(weights, (np.arange(resamples)[:, None], draws), 1)
    return weights


def _distribution(values: FloatArray, weights: npt.NDArray[np.int32], spread: tuple[float, float]) -> Distribution:
    block = np.arange(len(values)) * weights.shape[1] // max(len(values), 1)
    defined = ~np.isnan(values)
    values, block = values[defined], block[defined]
    if len(values) == 0:
        none = Estimate(value=math.nan, low=math.nan, high=math.nan, few=True)
        return Distribution(mean=none, p50=none, p90=none, p95=none, p99=none, count=0)
    quantiles = list(PERCENTILES.values())
    points = np.quantile(values, quantiles)
    resampled = _resampled_quantiles(values, block, weights, quantiles)
    estimates = {
        name: _estimate(point, resampled[:, k], spread, few=len(values) * (1.0 - q) < FEW_ABOVE - 1e-9)
        for k, ((name, q), point) in enumerate(zip(PERCENTILES.items(), points, strict=True))
    }
    means = _resampled_means(values, block, weights)
    return Distribution(mean=_estimate(values.mean(), means, spread), count=len(values), **estimates)


def _estimate(value: float, draws: FloatArray, spread: tuple[float, float], *, few: bool = False) -> Estimate:
    if len(draws) == 0:
        return Estimate(value=float(value), low=float(value), high=float(value), few=few)
    low, high = np.quantile(draws, spread)
    return Estimate(value=float(value), low=min(float(low), float(value)), high=max(float(high), float(value)), few=few)


def _resampled_means(values: FloatArray, block: npt.NDArray[np.int64], weights: npt.NDArray[np.int32]) -> FloatArray:
    sums = np.bincount(block, weights=values, minlength=weights.shape[1])
    counts = np.bincount(block, minlength=weights.shape[1])
    drawn = weights @ counts
    return np.asarray((weights @ sums)[drawn > 0] / drawn[drawn > 0], dtype=np.float64)


def _resampled_quantiles(
    values: FloatArray, block: npt.NDArray[np.int64], weights: npt.NDArray[np.int32], quantiles: list[float]
) -> FloatArray:
    """Quantiles of each resample (smallest value that reaches the share); [resamples, quantiles]."""
    rows = []
    if len(weights) > 0:
        order = np.argsort(values)
        values, block = values[order], block[order]
    for counts in weights:
        reached = np.cumsum(counts[block])
        if reached[-1] > 0:
            at = np.searchsorted(reached, np.asarray(quantiles) * reached[-1])
            rows.append(values[np.minimum(at, len(values) - 1)])
    return np.asarray(rows, dtype=np.float64).reshape(-1, len(quantiles))


def _share(met: npt.NDArray[np.bool_], weights: npt.NDArray[np.int32], spread: tuple[float, float]) -> Estimate:
    if len(met) == 0:
        return Estimate(value=math.nan, low=math.nan, high=math.nan, few=True)
    block = np.arange(len(met)) * weights.shape[1] // len(met)
    return _estimate(met.mean(), _resampled_means(met.astype(np.float64), block, weights), spread)


def _gap_distribution(run: Run) -> Distribution:
    """Mean and percentiles of every inter-token gap, from the histogram (geometric middle of the bucket)."""
    count = int(run.gap_counts.sum())
    middles = np.sqrt(run.gap_edges_s[:-1] * run.gap_edges_s[1:])
    if count == 0:
        none = Estimate(value=math.nan, low=math.nan, high=math.nan, few=True)
        return Distribution(mean=none, p50=none, p90=none, p95=none, p99=none, count=0)
    reached = np.cumsum(run.gap_counts)
    estimates = {}
    for name, q in PERCENTILES.items():
        value = float(middles[np.searchsorted(reached, q * count)])
        estimates[name] = Estimate(value=value, low=value, high=value, few=count * (1.0 - q) < FEW_ABOVE)
    mean = float((run.gap_counts * middles).sum() / count)
    return Distribution(mean=Estimate(value=mean, low=mean, high=mean), count=count, **estimates)
