"""The main path of a brownout plan: read, compile, replay every setting under the burst, report the cheapest."""

from __future__ import annotations

import time
from pathlib import Path

from planners.brownout.choosing import search
from planners.brownout.question import OnProgress, Question, read_question
from planners.brownout.report import abstained, refused, report
from planners.brownout.trials import bench_of
from specs.brownout import BrownoutPlan
from specs.engine import EngineProfileSpec

WAYS = (2, 4, 8)
"""Experts per united expert that the paper distils."""


def plan(
    workload: Path,
    deployment: Path,
    experts: Path,
    accuracy: Path | None = None,
    *,
    burst: float = 2.0,
    per_layer: bool = False,
    seed: int = 0,
    store: str | None = None,
    on_progress: OnProgress | None = None,
) -> BrownoutPlan:
    """Plan the united experts and thresholds that keep the workload's SLO while its rate is ``burst`` times as high.

    The rate is multiplied from 30 % of the trace on. After BrownoutServe (arXiv 2507.17133): Algorithm 1 chooses the
    experts, Algorithm 2 moves the thresholds. Raises `InputError` for what is wrong in the documents, a dense model or
    experts of another one; `InfeasibleError` where the model does not fit the deployment at all.
    """
    started, progress = time.process_time(), on_progress or (lambda done, total, what: None)
    question = read_question(
        workload, deployment, experts, accuracy, burst=burst, per_layer=per_layer, seed=seed, store=store
    )  # fmt: skip
    if isinstance(question.profile, EngineProfileSpec):
        return abstained(question, started)
    progress(0, 1, "compiling step times")
    bench = bench_of(question)
    found = search(bench, ways_of(question), progress)
    return report(bench, found, started, progress) if found.best else refused(bench, found, started)


def ways_of(question: Question) -> tuple[int, ...]:
    """The ways that the paper distils and whose losses the table knows."""
    known = tuple(way for way in WAYS if way in question.accuracy.spec.ways)
    return known or question.accuracy.spec.ways
