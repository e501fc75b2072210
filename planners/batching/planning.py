"""Puts a batching plan together: simulate every way, keep the best, say why."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from planners.batching.bucketing import boundaries, online_way, way_of
from planners.batching.ordering import ways as ordered_ways
from planners.batching.question import Asked, OnProgress, Question, read_question
from planners.batching.report import report
from planners.batching.trials import Trial, Way, attempt
from specs.batching import BatchingPlan, BatchOrder

ORDERS: tuple[BatchOrder, ...] = ("fcfs", "sjf", "ljf", "edf")
HOLD_SHARE = 0.1
"""A batch may wait this share of the TTFT bound to fill, where waiting is tried."""
CONTINUOUS = Way(method="fcfs", setting="continuous batching, ragged")


def plan(
    workload: Path,
    deployment: Path,
    *,
    asked: Asked | None = None,
    store: str | None = None,
    on_progress: OnProgress | None = None,
) -> BatchingPlan:
    """Return whether and how to batch `workload` on `deployment`.

    Raises `InputError` for what is wrong in the documents, boundaries that leave a prompt uncovered and deadlines
    that are past on arrival; `InfeasibleError` where the model does not fit. (ours, after BucketServe and UELLM)
    """
    started = time.process_time()
    question = read_question(workload, deployment, asked or Asked(), store=store)
    trials = simulate_all(question, on_progress or (lambda done, total, what: None))
    return report(question, trials, started, on_progress or (lambda done, total, what: None))


def simulate_all(question: Question, on_progress: OnProgress) -> list[Trial]:
    """Continuous batching first, then every way that the method asks for."""
    listed = [CONTINUOUS, *_listed(question)]
    trials = []
    for number, way in enumerate(listed):
        on_progress(number, len(listed) + len(ORDERS) + 1, f"simulating {way.method}: {way.setting}")
        trials.append(attempt(question, way))
    if question.asked.method in ("bucket", "all"):
        trials += _refined(question, trials)
    return trials


def _listed(question: Question) -> list[Way]:
    method, found = question.asked.method, []
    if method in ("bucket", "all"):
        order = question.asked.order or "fcfs"
        found += [way_of(question, rule, uppers, order) for (rule, _), uppers in boundaries(question).items()]
        if question.asked.boundaries in ("all", "online"):
            found.append(online_way(question))
    elif question.asked.back_end == "padded":
        longest = np.asarray([float(question.requests.prompt_tokens.max())])
        found.append(way_of(question, "one bucket", longest))
    if method in ("slo-odbs", "all") and question.whole:
        found += ordered_ways(question)
    return found


def _refined(question: Question, trials: list[Trial]) -> list[Trial]:
    """The best buckets again, in the other orders and with a wait for fuller batches."""
    bucketed = [one for one in trials if one.way.method == "bucket" and one.way.rule != "algorithm 1"]
    if not bucketed:
        return []
    best = max(bucketed, key=lambda one: one.rank)
    assert best.way.policy is not None
    assert best.way.rule is not None
    uppers, rule = best.way.policy.uppers, best.way.rule
    orders = [] if question.asked.order else [order for order in ORDERS if order != "fcfs"]
    found = [attempt(question, way_of(question, rule, uppers, order)) for order in orders]
    bound_s = float(question.bounds[:, 0].max())
    if bound_s < float("inf"):
        order = question.asked.order or "fcfs"
        found.append(attempt(question, way_of(question, rule, uppers, order, HOLD_SHARE * bound_s)))
    return found
