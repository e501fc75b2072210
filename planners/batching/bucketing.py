"""Buckets of prompt lengths by each rule, what a batch of each may hold, and the policies that follow."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from planners.batching.question import Question
from planners.batching.trials import Way
from predictors.serving.buckets import BatchPolicy, Padding, batch_times
from solvers.partitions import bucket_of, least_waste, midpoints, quantiles
from specs.batching import BatchOrder, BoundaryWaste
from specs.trace import FloatArray, IntArray

SAFE = 0.9
"""Share of the memory left that the S_max form uses (BucketServe eq. 5, 2nd)."""
RULES = ("midpoint", "quantile", "optimal")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Requests a batch of each bucket may hold [k]: by blocks, by S_max, by TTFT, and what is used."""

    paged: IntArray
    smax: IntArray
    used: IntArray


def boundaries(question: Question) -> dict[tuple[str, int], FloatArray]:
    """Upper bounds by (rule, number of buckets), two or more buckets; the optimum is exact.

    Where nothing is padded the rules differ in little: beyond two buckets the optimum alone is tried.
    """
    prompts, most = question.requests.prompt_tokens, question.asked.buckets
    longest = float(prompts.max())
    if question.given is not None:
        return {("given", len(question.given)): question.given}
    best = least_waste(prompts, most)
    found: dict[tuple[str, int], FloatArray] = {}
    padded = question.asked.back_end == "padded"
    for k in range(2, most + 1):
        rules = {
            "midpoint": midpoints(prompts, k, longest), "quantile": quantiles(prompts, k), "optimal": best[k - 1],
        }  # fmt: skip
        for rule, partition in rules.items():
            tried = padded or rule == "optimal" or k == 2
            asked = question.asked.boundaries
            if (asked == rule or (asked == "all" and tried)) and len(partition) == k:
                found[rule, k] = partition.uppers
    return found


def waste_by_rule(question: Question) -> tuple[BoundaryWaste, ...]:
    """Padding by rule and number of buckets, and the wait to fill half a batch: what more buckets cost."""
    prompts = question.requests.prompt_tokens
    longest, best = float(prompts.max()), least_waste(prompts, question.asked.buckets)
    rows = []
    for k in range(1, question.asked.buckets + 1):
        halves, equal, exact = midpoints(prompts, k, longest), quantiles(prompts, k), best[k - 1]
        rows.append(
            BoundaryWaste(
                buckets=k, midpoint=_round(halves.waste), quantile=_round(equal.waste), optimal=_round(exact.waste),
                hold_s=_round(accumulation_s(question, exact.uppers, limits_of(question, exact.uppers).used)),
            )
        )  # fmt: skip
    return tuple(rows)


def accumulation_s(question: Question, uppers: FloatArray, limits: IntArray) -> float:
    """Mean wait while a batch fills, Σ_b p_b (B_b − 1) / (2 λ_b), λ_b per replica; seconds (ours)."""
    share = shares(question, uppers)
    rate = _rate_per_replica(question) * np.maximum(share, 1e-12)
    return float((share * (limits - 1) / (2.0 * rate)).sum())


def shares(question: Question, uppers: FloatArray) -> FloatArray:
    """Share of the requests in each bucket [k]."""
    at = bucket_of(question.requests.prompt_tokens, uppers)
    return np.bincount(at, minlength=len(uppers)) / len(at)


def _rate_per_replica(question: Question) -> float:
    arrival_s = question.requests.arrival_s
    span_s = float(arrival_s[-1] - arrival_s[0])
    return max(len(arrival_s) - 1, 1) / max(span_s, 1e-9) / question.pool.replicas


def limits_of(question: Question, uppers: FloatArray) -> Limits:
    """Largest batch of each bucket that memory and the TTFT bound allow, at least 1 and at most max_num_seqs.

    Paged: free KV tokens over the mean blocks of the bucket's requests. S_max: 0.9 of them over (bound + longest
    reserve), BucketServe's eq. 1, 5 and 6 (2nd). TTFT: the largest whose prefill alone keeps the bound, by bisection.
    """
    requests, block = question.requests, question.pool.limits.block_size_tokens
    at = bucket_of(requests.prompt_tokens, uppers)
    reserve = question.reserve if question.whole else np.zeros_like(question.reserve)
    blocks = -(-(requests.prompt_tokens + reserve) // block) * block
    counts = np.maximum(np.bincount(at, minlength=len(uppers)), 1)
    mean = np.bincount(at, weights=blocks, minlength=len(uppers)) / counts
    longest = np.zeros(len(uppers))
    np.maximum.at(longest, at, reserve.astype(np.float64))
    most = question.pool.limits.max_num_seqs
    paged = np.clip(question.kv_tokens // np.maximum(mean, 1.0), 1, most).astype(np.int64)
    smax = np.clip(SAFE * question.kv_tokens // (uppers + longest), 1, most).astype(np.int64)
    used = paged if question.asked.kv_form == "paged" else smax
    return Limits(paged=paged, smax=smax, used=np.minimum(used, _within_ttft(question, uppers, int(used.max()))))


def _within_ttft(question: Question, uppers: FloatArray, most: int) -> IntArray:
    """Largest batch of each bucket whose padded prefill keeps the TTFT bound, by bisection; at least 1."""
    bound_s = float(question.bounds[:, 0].max())
    low, high = np.ones(len(uppers), dtype=np.int64), np.full(len(uppers), most, dtype=np.int64)
    if not np.isfinite(bound_s):
        return high
    one = np.ones(len(uppers), dtype=np.int64)
    while (low < high).any():
        middle = (low + high + 1) // 2
        keeps = batch_times(question.pool, middle, uppers.astype(np.int64), one)[0] <= bound_s
        low, high = np.where(keeps, middle, low), np.where(keeps, high, middle - 1)
        high = np.maximum(high, low)
    return low


def key_of(question: Question, order: BatchOrder) -> FloatArray | None:
    """What orders the requests of a bucket, smallest first; None: by arrival."""
    prompts = question.requests.prompt_tokens.astype(np.float64)
    return {"fcfs": None, "sjf": prompts, "ljf": -prompts, "edf": question.deadline_s}[order]


def padding(question: Question) -> Padding:
    """What the back-end pads a batch to."""
    return "longest" if question.asked.back_end == "padded" else "none"


def way_of(rule: str, uppers: FloatArray, order: BatchOrder = "fcfs", hold_s: float = 0.0) -> Way:
    """The way that batches by these buckets."""
    k = len(uppers)
    text = "one bucket" if k == 1 else f"{k} buckets, {rule}"
    hold = f", waits up to {hold_s:.3g} s to fill" if hold_s else ""

    def policy(question: Question) -> BatchPolicy:
        limits = limits_of(question, uppers).used
        return replace(_base(question, uppers, limits), key=key_of(question, order), hold_s=hold_s)

    return Way(
        method="batches" if k == 1 else "bucket", setting=f"{text}, {order}{hold}", policy=policy, rule=rule,
        order=order, uppers=uppers,
    )  # fmt: skip


def one_bucket(question: Question, order: BatchOrder = "fcfs") -> Way:
    """Batches from one queue: what a back-end without buckets does."""
    return way_of("one bucket", np.asarray([float(question.requests.prompt_tokens.max())]), order)


def online_way(question: Question) -> Way:
    """BucketServe's algorithm 1: one bucket, split at midpoints above N_max waiting requests, merged below it."""
    longest = np.asarray([float(question.requests.prompt_tokens.max())])
    limits = limits_of(question, longest).used

    def policy(asked: Question) -> BatchPolicy:
        return replace(_base(asked, longest, limits), most_queued=int(limits[0]))

    setting = f"algorithm 1 on line: split above {limits[0]} waiting, fcfs"
    return Way(method="bucket", setting=setting, policy=policy, rule="algorithm 1", order="fcfs", uppers=longest)


def routed_ways(question: Question) -> list[Way]:
    """Buckets as routes to replicas of their own, on an engine that batches continuously: 2, 3, … as replicas allow.

    Bounds split the tokens (prompt and output) evenly over the replicas. (ours: the strongest form that buckets can
    take where nothing is padded)
    """
    prompts = question.requests.prompt_tokens
    order = np.argsort(prompts, kind="stable")
    work = np.cumsum((prompts + question.requests.output_tokens)[order])
    replicas, found = question.pool.replicas, []
    for k in range(2, min(replicas, question.asked.buckets) + 1):
        own = np.diff(np.rint(np.arange(k + 1) * replicas / k).astype(np.int64))
        cuts = np.searchsorted(work, np.cumsum(own) / replicas * work[-1])
        uppers = np.unique(prompts[order][np.minimum(cuts, len(prompts) - 1)].astype(np.float64))
        if len(uppers) == k:
            found.append(
                Way(
                    method="bucket", setting=f"{k} buckets as routes to {' + '.join(map(str, own))} replicas",
                    rule="routes", order="fcfs", uppers=uppers, routed=tuple(int(n) for n in own),
                )
            )  # fmt: skip
    return found


def _base(question: Question, uppers: FloatArray, limits: IntArray) -> BatchPolicy:
    return BatchPolicy(
        uppers=uppers, max_batch=limits, padding=padding(question), kv_tokens=_kv_tokens(question),
        paged=question.asked.kv_form == "paged", reserve=question.reserve,
    )  # fmt: skip


def _kv_tokens(question: Question) -> int:
    return int(question.kv_tokens * (1.0 if question.asked.kv_form == "paged" else SAFE))


def _round(value: float) -> float:
    return float(f"{value:.4g}")
