"""The test of a run against the SLO: every bound, at the upper end of its sampling error, and the early stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from planners.serving.question import Question
from predictors.serving import EarlyStop, Run
from specs.workload import PercentileBounds, RequestBounds, Slo

FloatArray = npt.NDArray[np.float64]
DONE = 1  # status of a completed request in a Run
BLOCKS = 32
"""Contiguous blocks of requests between which a share's sampling error is estimated. [std: batch means]"""
LEVELS = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
FEW_REQUESTS = 200
METRICS = ("ttft_s", "tpot_s", "e2e_s", "itl_s")


@dataclass(frozen=True, kw_only=True)
class Check:
    """One bound and the figure held against it, in the same unit; ``at_most`` False: the figure must reach it."""

    name: str
    value: float
    bound: float
    at_most: bool = True

    @property
    def holds(self) -> bool:
        """Whether the bound holds."""
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    @property
    def ratio(self) -> float:
        """How much of the bound is used: 1 at the bound, more beyond; for shares, the share of misses."""
        if self.at_most:
            return self.value / self.bound
        return (1 - self.value) / (1 - self.bound) if self.bound < 1 else float(self.value < 1) * 2

    @property
    def text(self) -> str:
        """For example ``ttft_s.p99 1.62 > 1``."""
        sign = ("<=" if self.holds else ">") if self.at_most else (">=" if self.holds else "<")
        value = f"{self.value:.3g}" if self.at_most else f"{self.value:.4f}"
        return (
            f"{self.name} {value} {sign} {self.bound:g}" if np.isfinite(self.value) else f"{self.name} > {self.bound:g}"
        )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """All checks of one run; ``stopped``: the run was cut short because it was known to fail."""

    checks: tuple[Check, ...]
    stopped: bool = False

    @property
    def holds(self) -> bool:
        """Whether every bound holds."""
        return not self.stopped and all(check.holds for check in self.checks)

    @property
    def worst(self) -> Check:
        """The bound that is used most: the binding constraint."""
        return max(self.checks, key=lambda check: check.ratio)

    @property
    def slack(self) -> float:
        """1 − the worst ratio: negative where a bound breaks."""
        return 1.0 - self.worst.ratio


def judge(question: Question, run: Run, *, sampling: bool = True) -> Verdict:
    """Hold ``run`` against the SLO of every class.

    A percentile counts at the level raised by the one-sided sampling error of its share at the plan's confidence
    (batch means over `BLOCKS` blocks of requests, so bursts are kept together), a mean and the attainment likewise.
    Requests that were not completed have an infinite TTFT or end-to-end time. [ours, after std batch means]
    """
    z = NormalDist().inv_cdf(question.confidence) if sampling else 0.0
    values = observed(run)
    checks: list[Check] = []
    for index, (slo, name) in enumerate(zip(question.slos, question.class_names, strict=True)):
        chosen = run.class_index == (index if question.workload.classes else 0)
        if chosen.any():
            own = {metric: array[chosen] for metric, array in values.items()}
            checks += _checks(slo, f"{name}." if name else "", own, run.status[chosen], z)
    checks += _gap_checks(question.workload.slo.itl_s, run)
    return Verdict(checks=tuple(checks), stopped=run.stopped_early)


def observed(run: Run) -> dict[str, FloatArray]:
    """TTFT, TPOT, end-to-end, longest gap of each request [n]; infinite where it did not get so far, NaN for no gap."""
    done = run.status == DONE
    ttft = np.where(np.isnan(run.ttft_s), np.inf, run.ttft_s)
    return {
        "ttft_s": ttft, "tpot_s": run.tpot_s, "e2e_s": np.where(done, run.e2e_s, np.inf), "itl_s": run.longest_gap_s
    }  # fmt: skip


def _checks(slo: Slo, prefix: str, values: dict[str, FloatArray], status: FloatArray, z: float) -> list[Check]:
    checks = []
    for metric in ("ttft_s", "tpot_s", "e2e_s"):
        bounds: PercentileBounds = getattr(slo, metric)
        if bounds == PercentileBounds():
            continue
        sample = values[metric][~np.isnan(values[metric])]
        if len(sample) == 0:
            continue
        ordered = np.sort(sample)
        for level, bound in bounds.model_dump(exclude_none=True).items():
            value = upper_mean(sample, z) if level == "mean" else upper_quantile(sample, ordered, LEVELS[level], z)
            checks.append(Check(name=f"{prefix}{metric}.{level}", value=value, bound=bound))
    if slo.request != RequestBounds():
        good = attained(slo.request, values) & (status == DONE)
        low = float(good.mean()) - z * share_error(good.astype(np.float64))
        checks.append(Check(name=f"{prefix}attainment", value=low, bound=slo.attainment, at_most=False))
    return checks


def attained(bounds: RequestBounds, values: dict[str, FloatArray]) -> npt.NDArray[np.bool_]:
    """Which requests meet every per-request bound; a request of one token has no TPOT to bound."""
    good = np.ones(len(values["ttft_s"]), dtype=bool)
    for metric in METRICS:
        bound = getattr(bounds, metric)
        if bound is not None:
            good &= ~(values[metric] > bound)
    return good


def share_error(indicator: FloatArray) -> float:
    """Standard error of the mean of a series [n] in time order, by batch means over contiguous blocks. [std]"""
    count = len(indicator)
    blocks = min(BLOCKS, count)
    if blocks < 2:
        return 0.0
    starts = np.arange(blocks) * count // blocks
    sizes = np.diff(starts, append=count)
    deviation = np.add.reduceat(indicator, starts) - indicator.mean() * sizes
    return float(np.sqrt((deviation**2).sum() * blocks / (blocks - 1)) / count)


def upper_quantile(sample: FloatArray, ordered: FloatArray, level: float, z: float) -> float:
    """The quantile at ``level`` raised by z standard errors of the share that exceeds it; ``ordered`` is sorted."""
    value = ordered[_rank(level, len(ordered))]
    if z == 0.0 or not np.isfinite(value):
        return float(value)
    raised = level + z * share_error((sample > value).astype(np.float64))
    return float(ordered[_rank(raised, len(ordered))])


def _rank(level: float, count: int) -> int:
    """Index of the smallest order statistic that a share ``level`` of the sample does not exceed."""
    return min(int(np.ceil(level * count - 1e-9)) - 1, count - 1) if count else 0


def upper_mean(sample: FloatArray, z: float) -> float:
    """The mean plus z of its standard errors."""
    if not np.isfinite(sample).all():
        return float("inf")
    return float(sample.mean()) + z * share_error(sample)


def _gap_checks(bounds: PercentileBounds, run: Run) -> list[Check]:
    checks = []
    total = run.gap_counts.sum()
    for level, bound in bounds.model_dump(exclude_none=True).items():
        if total == 0:
            continue
        upper = run.gap_edges_s[1:]
        if level == "mean":
            value = float((run.gap_counts * upper).sum() / total)
        else:
            value = float(upper[np.searchsorted(np.cumsum(run.gap_counts), LEVELS[level] * total)])
        checks.append(Check(name=f"itl_s.{level}", value=value, bound=bound))
    return checks


def early_stop(question: Question) -> EarlyStop:
    """When a run is known to fail, whatever follows: more misses or exceedances than the SLO allows at all."""
    bounds, misses = _request_bounds(question)
    limits: dict[str, tuple[float, int]] = {}
    if not question.workload.classes:
        for metric in ("ttft_s", "tpot_s", "e2e_s"):
            count = len(question.requests)
            if metric == "tpot_s":
                count = int((question.requests.output_tokens > 1).sum())
            limits |= _percentile_stop(metric, getattr(question.workload.slo, metric), count)
    return EarlyStop(request_bounds=bounds, allowed_misses=misses, **limits)


def _request_bounds(question: Question) -> tuple[FloatArray, int]:
    index = question.requests.class_index
    rows, misses = [], 0
    for number, slo in enumerate(question.slos):
        request = slo.request
        rows.append([np.inf if b is None else b for b in (request.ttft_s, request.tpot_s, request.e2e_s)])
        count = len(question.requests) if index is None else int((index == number).sum())
        misses += int(np.floor((1 - slo.attainment) * count + 1e-9))
    return np.array(rows), misses


def _percentile_stop(metric: str, bounds: PercentileBounds, count: int) -> dict[str, tuple[float, int]]:
    given = bounds.model_dump(exclude_none=True)
    for level in ("p99", "p95", "p90", "p50"):
        if level in given:
            return {metric: (given[level], count - 1 - _rank(LEVELS[level], count))}
    return {}


def few_notes(run: Run) -> list[str]:
    """A sentence where percentiles rest on few requests."""
    count = int((run.status == DONE).sum())
    if count >= FEW_REQUESTS:
        return []
    return [f"p99 rests on {count} requests, fewer than {FEW_REQUESTS}: it is one of the few slowest, not a percentile"]


def names(checks: Sequence[Check]) -> list[str]:
    """Names of the bounds that break."""
    return [check.name for check in checks if not check.holds]
