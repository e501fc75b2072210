"""What a decision will do: each figure at its value, and at the ends of its 90 % interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planners.serving.candidates import Decision, usd_per_hour
from planners.serving.decide import FloatArray
from planners.serving.question import Question
from planners.serving.serve import Workbench, serve
from predictors.serving import Run
from predictors.serving.measures import Distribution, Estimate, Measures, measure
from specs.base import Figure
from specs.plan import Percentiles, ServingExpected

BASIS = "90 %: step time and KV at the ends of their intervals, sampling by block bootstrap"
LEVELS = ("mean", "p50", "p90", "p95", "p99")
MILLION = 1e6
RESAMPLES = 200


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """The run at its nominal value, its measures, and the measures at both ends of the 90 % interval."""

    run: Run
    nominal: Measures
    fast: Measures
    slow: Measures


def expect(bench: Workbench, decision: Decision) -> Expectation:
    """Simulate the decision at the value and at both ends of the intervals of step time and KV."""
    run = serve(bench, decision)
    return Expectation(
        run=run,
        nominal=_measure(bench.question, run, RESAMPLES),
        fast=_measure(bench.question, serve(bench, decision, "low"), 0),
        slow=_measure(bench.question, serve(bench, decision, "high"), 0),
    )


def request_bounds(question: Question) -> FloatArray:
    """Per-request bounds [classes, 4] on TTFT, TPOT, end-to-end and the longest gap; infinite where there is none."""
    rows = [
        [getattr(slo.request, m) or np.inf for m in ("ttft_s", "tpot_s", "e2e_s", "itl_s")] for slo in question.slos
    ]
    return np.array(rows, dtype=np.float64)


def _measure(question: Question, run: Run, resamples: int) -> Measures:
    return measure(
        run, request_bounds(question), prompt_tokens=question.requests.prompt_tokens, resamples=resamples,
        seed=question.seed,
    )  # fmt: skip


def expected(question: Question, decision: Decision, found: Expectation) -> ServingExpected:
    """The plan's figures, rounded to four significant digits."""
    nominal = found.nominal
    cost = usd_per_hour(decision)
    return ServingExpected(
        ttft_s=_percentiles(found, "ttft_s"), tpot_s=_percentiles(found, "tpot_s"), e2e_s=_percentiles(found, "e2e_s"),
        itl_s=_percentiles(found, "itl_s"), queue_s=_percentiles(found, "queue_s"),
        attainment=_share(found), goodput_per_s=_plain(found, "goodput_per_s"),
        requests_per_s=_plain(found, "requests_per_s"), tokens_per_s=_plain(found, "tokens_per_s"),
        kv_cache_utilization=_plain(found, "kv_cache_utilization"),
        compute_utilization=_plain(found, "compute_utilization"), preemptions=_plain(found, "preemptions"),
        usd_per_million_output_tokens=_per_million(cost, nominal.output_tokens_per_s),
        usd_per_million_tokens=_per_million(cost, nominal.tokens_per_s),
    )  # fmt: skip


def _percentiles(found: Expectation, metric: str) -> Percentiles:
    value, fast, slow = (getattr(one, metric) for one in (found.nominal, found.fast, found.slow))
    return Percentiles(**{level: _figure(value, fast, slow, level) for level in LEVELS})


def _figure(value: Distribution, fast: Distribution, slow: Distribution, level: str) -> Figure | None:
    own: Estimate = getattr(value, level)
    if not np.isfinite(own.value):
        return None
    low = own.value - _joined(own.value - getattr(fast, level).value, own.value - own.low)
    high = own.value + _joined(getattr(slow, level).value - own.value, own.high - own.value)
    basis = "fewer than two requests beyond it: not a percentile" if own.few else None
    return Figure(value=rounded(own.value), low=rounded(max(low, 0.0)), high=rounded(high), basis=basis)


def _joined(model: float, sampling: float) -> float:
    """Model and sampling errors are independent: their half-widths add in squares. [std]"""
    return float(np.hypot(max(model, 0.0), max(sampling, 0.0)))


def _share(found: Expectation) -> Figure:
    own = found.nominal.attainment
    low = own.value - _joined(own.value - found.slow.attainment.value, own.value - own.low)
    high = own.value + _joined(found.fast.attainment.value - own.value, own.high - own.value)
    return Figure(value=rounded(own.value), low=rounded(max(low, 0.0)), high=rounded(min(high, 1.0)), basis=BASIS)


def _plain(found: Expectation, name: str) -> Figure:
    value, fast, slow = (float(getattr(one, name)) for one in (found.nominal, found.fast, found.slow))
    return Figure(value=rounded(value), low=rounded(min(value, fast, slow)), high=rounded(max(value, fast, slow)))


def _per_million(usd: float | None, tokens_per_s: float) -> Figure | None:
    if usd is None or tokens_per_s <= 0:
        return None
    return Figure(value=rounded(usd / 3600 / tokens_per_s * MILLION))


def rounded(value: float) -> float:
    """Four significant digits: more would claim what no prediction has."""
    return float(f"{value:.4g}")
