"""One way of batching simulated, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from planners.batching.question import Question
from predictors.deployment import serve
from predictors.serving import Pool, Run, attained, scaled_surface
from predictors.serving.buckets import BatchPolicy, BatchTotals, serve_prefilled, serve_whole
from predictors.serving.joining import joined
from solvers.partitions import bucket_of
from specs.batching import BatchingFound
from specs.trace import FloatArray

LOAD_STEPS = 7
"""Halvings of the interval in which the largest load is sought: to 2 %."""
LOAD_LEAST, LOAD_MOST = 1.0 / 64.0, 8.0
"""Multiples of the load that are looked at."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way of batching: a method and its setting in words, and how its policy follows from the question.

    Without a ``policy`` the engine batches continuously, first come, first served; ``routed`` then gives each bucket
    replicas of its own: (upper bounds, replicas).
    """

    method: str
    setting: str
    policy: Callable[[Question], BatchPolicy] | None = None
    rule: str | None = None
    order: str | None = None
    uppers: FloatArray | None = None
    routed: tuple[int, ...] = ()

    @property
    def buckets(self) -> int:
        """Number of buckets."""
        return 1 if self.uppers is None else len(self.uppers)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A way that was simulated."""

    way: Way
    run: Run
    policy: BatchPolicy | None
    totals: BatchTotals | None
    attainment: float
    goodput_per_s: float
    e2e_mean_s: float

    @property
    def rank(self) -> tuple[float, float, float, int]:
        """Better is larger: attainment to 0.1 %, then goodput, then the mean time, then fewer buckets."""
        return (round(self.attainment, 3), round(self.goodput_per_s, 3), -self.e2e_mean_s, -self.way.buckets)


def attempt(question: Question, way: Way, time_factor: float = 1.0) -> Trial:
    """Simulate the question's requests, every step time multiplied by ``time_factor``."""
    policy = way.policy(question) if way.policy else None
    run, totals = _serve(question, way, policy, time_factor)
    met = attained(run, question.bounds)
    if question.own_deadlines:
        met = met & (run.arrival_s + run.e2e_s <= question.deadline_s)
    span_s = max(run.span_s, 1e-12)
    return Trial(
        way=way, run=run, policy=policy, totals=totals, attainment=float(met.mean()),
        goodput_per_s=float(met.sum()) / span_s, e2e_mean_s=float(np.nanmean(run.e2e_s)),
    )  # fmt: skip


def _serve(question: Question, way: Way, policy: BatchPolicy | None, factor: float) -> tuple[Run, BatchTotals | None]:
    if way.routed:
        return _routed(question, way, factor), None
    if policy is None:
        return serve(question.compiled, question.requests, time_factor=factor, seed=question.asked.seed), None
    pools = tuple(_scaled(pool, factor) for pool in question.compiled.pools)
    if len(pools) == 1:
        return serve_whole(question.requests, pools[0], policy)
    return serve_prefilled(question.requests, (pools[0], pools[1]), policy, question.compiled.transfer)


def _routed(question: Question, way: Way, factor: float) -> Run:
    """Continuous batching with the requests of each bucket on replicas of their own."""
    assert way.uppers is not None, "routing is by buckets"
    at = bucket_of(question.requests.prompt_tokens, way.uppers)
    runs, rows = [], []
    for bucket, replicas in enumerate(way.routed):
        own = np.flatnonzero(at == bucket)
        compiled = replace(question.compiled, pools=(replace(question.pool, replicas=replicas),))
        part = question.requests.taken(own)
        runs.append(serve(compiled, part, time_factor=factor, seed=question.asked.seed))
        rows.append(own)
    return joined(runs, rows)


def _scaled(pool: Pool, factor: float) -> Pool:
    return replace(pool, surface=scaled_surface(pool.surface, factor))


def largest_load(question: Question, way: Way, attainment: float) -> float:
    """Largest multiple of the load at which the share of requests within their bounds still reaches ``attainment``.

    By bisection in logarithms between a sixty-fourth (0 where that does not hold) and eight times the load.
    """

    def holds(load: float) -> bool:
        return attempt(question.at_load(load), way).attainment >= attainment

    if holds(LOAD_MOST):
        return LOAD_MOST
    low, high = (1.0, LOAD_MOST) if holds(1.0) else (LOAD_LEAST, 1.0)
    if low == LOAD_LEAST and not holds(low):
        return 0.0
    for _ in range(LOAD_STEPS):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def found(trial: Trial, load: float | None = None) -> BatchingFound:
    """A trial as the plan shows it."""
    run, totals = trial.run, trial.totals
    prompt = float(run.replicas.prefill_tokens.sum())
    return BatchingFound(
        method=trial.way.method, setting=trial.way.setting, attainment=_round(trial.attainment),
        ttft_p99_s=_quantile(run.ttft_s), tpot_p99_s=_quantile(run.tpot_s), e2e_p99_s=_quantile(run.e2e_s),
        prompt_waste=_round(totals.prompt_waste) if totals else 0.0,
        decode_waste=_round(totals.decode_waste) if totals else 0.0,
        tokens_per_s=_round((prompt + float(run.tokens.sum())) / max(run.span_s, 1e-12)),
        goodput_per_s=_round(trial.goodput_per_s), mean_batch=_round(totals.mean_size) if totals else None,
        load=None if load is None else _round(load),
    )  # fmt: skip


def _quantile(values: FloatArray, q: float = 0.99) -> float | None:
    defined = values[np.isfinite(values)]
    return _round(float(np.quantile(defined, q))) if len(defined) else None


def _round(value: float) -> float:
    """Four significant digits: more would claim what no prediction has."""
    return float(f"{value:.4g}")
