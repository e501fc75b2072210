"""Puts a batching plan together: find the load at which the plain way breaks, try every way there, keep the best."""

from __future__ import annotations

import time
from pathlib import Path

from planners.batching.bucketing import boundaries, one_bucket, online_way, routed_ways, way_of
from planners.batching.ordering import ways as ordered_ways
from planners.batching.question import Asked, OnProgress, Question, read_question
from planners.batching.report import Choice, report
from planners.batching.trials import Trial, Way, attempt, largest_load
from specs.batching import BatchingPlan, BatchOrder

ORDERS: tuple[BatchOrder, ...] = ("fcfs", "sjf", "ljf", "edf")
HOLD_SHARE = 0.1
"""A batch may wait this share of the TTFT bound to fill, where waiting is tried."""
BEYOND = 1.1
"""Ways are compared at this multiple of the largest load that the plain way holds, where they differ."""
WORTH = 0.02
"""A way must hold this much more load than the plain one to be preferred: what the bisection can tell."""
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
    return report(question, choose(question, on_progress or (lambda done, total, what: None)), started)


def choose(question: Question, on_progress: OnProgress) -> Choice:
    """Compare every way at the load at which the plain one breaks, and keep the best if it holds more load."""
    target = question.workload.slo.attainment
    ragged = question.asked.back_end == "ragged"
    plain = CONTINUOUS if ragged else one_bucket(question, question.asked.order or "fcfs")
    listed = _listed(question)
    steps = len(listed) + len(ORDERS) + 3
    on_progress(0, steps, "seeking the load at which the plain way breaks")
    plain_load = largest_load(question, plain, target)
    load = max(1.0, plain_load * BEYOND)
    there = question.at_load(load)
    trials = []
    for number, way in enumerate([CONTINUOUS, *([] if ragged else [plain]), *listed]):
        on_progress(number + 1, steps, f"simulating {way.method}: {way.setting}")
        trials.append(attempt(there, way))
    trials += _refined(there, trials)
    best = max(trials if ragged else trials[1:], key=lambda one: one.rank).way
    on_progress(steps - 1, steps, "seeking the largest load that the best way holds")
    best_load = plain_load if best is plain else largest_load(question, best, target)
    if best_load < plain_load * (1.0 + WORTH):
        gained = attempt(question, best).attainment - attempt(question, plain).attainment if plain_load < 1 else 0.0
        if gained < WORTH:
            best, best_load = plain, plain_load
    own_load = plain_load if ragged else largest_load(question, CONTINUOUS, target)
    return Choice(
        load=load, trials=tuple(trials),
        best=attempt(question, best), plain=attempt(question, plain), continuous=attempt(question, CONTINUOUS),
        best_load=best_load, plain_load=plain_load, continuous_load=own_load,
    )  # fmt: skip


def _listed(question: Question) -> list[Way]:
    method, found = question.asked.method, []
    if method in ("bucket", "all"):
        order = question.asked.order or "fcfs"
        found += [way_of(rule, uppers, order) for (rule, _), uppers in boundaries(question).items()]
        if question.asked.boundaries in ("all", "online"):
            found.append(online_way(question))
        if question.asked.back_end == "ragged" and question.whole and question.asked.boundaries == "all":
            found += routed_ways(question)
    if method in ("slo-odbs", "all") and question.whole:
        found += ordered_ways(question)
    return found


def _refined(question: Question, trials: list[Trial]) -> list[Trial]:
    """The best buckets again, in the other orders and with a wait for fuller batches."""
    bucketed = [one for one in trials if one.way.method == "bucket" and one.policy and one.way.rule != "algorithm 1"]
    if not bucketed:
        return []
    best = max(bucketed, key=lambda one: one.rank).way
    assert best.uppers is not None
    assert best.rule is not None
    orders = [] if question.asked.order else [order for order in ORDERS if order != "fcfs"]
    found = [attempt(question, way_of(best.rule, best.uppers, order)) for order in orders]
    bound_s = float(question.bounds[:, 0].max())
    if bound_s < float("inf"):
        order = question.asked.order or "fcfs"
        found.append(attempt(question, way_of(best.rule, best.uppers, order, HOLD_SHARE * bound_s)))
    return found
