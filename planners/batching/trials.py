"""One way of batching simulated, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from planners.batching.question import Question
from predictors.deployment import serve
from predictors.serving import Pool, Run, attained, scaled_surface
from predictors.serving.buckets import BatchPolicy, BatchTotals, serve_prefilled, serve_whole
from specs.batching import BatchingFound

LOAD_STEPS = 7
"""Halvings of the interval in which the largest load is sought: 1 % of it."""
LOAD_MOST = 8.0
"""Largest multiple of the load that is looked at."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way of batching: a method and its setting in words, and the policy (None: continuous batching, FCFS)."""

    method: str
    setting: str
    policy: BatchPolicy | None = None
    rule: str | None = None
    order: str | None = None


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A way that was simulated."""

    way: Way
    run: Run
    totals: BatchTotals | None
    attainment: float
    goodput_per_s: float
    e2e_mean_s: float

    @property
    def rank(self) -> tuple[float, float, float, int]:
        """Better is larger: attainment to 0.1 %, then goodput, then the mean time, then fewer buckets."""
        buckets = 0 if self.way.policy is None else len(self.way.policy.uppers)
        return (round(self.attainment, 3), round(self.goodput_per_s, 3), -self.e2e_mean_s, -buckets)


def attempt(question: Question, way: Way, time_factor: float = 1.0) -> Trial:
    """Simulate the question's requests, every step time multiplied by ``time_factor``."""
    run, totals = _serve(question, way.policy, time_factor)
    met = attained(run, question.bounds)
    if question.own_deadlines:
        met = met & (run.arrival_s + run.e2e_s <= question.deadline_s)
    span_s = max(run.span_s, 1e-12)
    return Trial(
        way=way, run=run, totals=totals, attainment=float(met.mean()), goodput_per_s=float(met.sum()) / span_s,
        e2e_mean_s=float(np.nanmean(run.e2e_s)),
    )  # fmt: skip


def _serve(question: Question, policy: BatchPolicy | None, factor: float) -> tuple[Run, BatchTotals | None]:
    if policy is None:
        return serve(question.compiled, question.requests, time_factor=factor, seed=question.asked.seed), None
    pools = tuple(_scaled(pool, factor) for pool in question.compiled.pools)
    if len(pools) == 1:
        return serve_whole(question.requests, pools[0], policy)
    return serve_prefilled(question.requests, (pools[0], pools[1]), policy, question.compiled.transfer)


def _scaled(pool: Pool, factor: float) -> Pool:
    return replace(pool, surface=scaled_surface(pool.surface, factor))


def largest_load(question: Question, way: Way, attainment: float) -> float:
    """Largest multiple of the load at which the share of requests within their bounds still reaches ``attainment``.

    By bisection below `LOAD_MOST`, in logarithms; 0 where a sixty-fourth of the load does not hold either. A key by
    deadline moves with the arrivals.
    """
    low, high = 1.0 / 64.0, LOAD_MOST
    if not _holds(question, way, attainment, low):
        return 0.0
    if _holds(question, way, attainment, high):
        return high
    low, high = (1.0, high) if _holds(question, way, attainment, 1.0) else (low, 1.0)
    for _ in range(LOAD_STEPS):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if _holds(question, way, attainment, middle) else (low, middle)
    return low


def _holds(question: Question, way: Way, attainment: float, load: float) -> bool:
    asked = question.at_load(load)
    policy = way.policy
    if policy is not None and policy.key is not None:
        moved = asked.requests.arrival_s - question.requests.arrival_s
        weight = 1.0 if way.order in ("edf", "slo-dbs", "slo-odbs", "fcfs") else 0.0
        policy = replace(policy, key=policy.key + weight * moved)
    return attempt(asked, replace(way, policy=policy)).attainment >= attainment


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


def _quantile(values: np.ndarray, q: float = 0.99) -> float | None:
    defined = values[np.isfinite(values)]
    return _round(float(np.quantile(defined, q))) if len(defined) else None


def _round(value: float) -> float:
    """Four significant digits: more would claim what no prediction has."""
    return float(f"{value:.4g}")
