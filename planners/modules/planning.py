"""`plan modules` from its documents to its plan."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from planners.modules import cocoserve, instances, services
from planners.modules.judging import Judged, Way, cheapest
from planners.modules.question import OnProgress, Question, read_question
from planners.modules.report import report
from predictors.layered import CROSSING_MS
from specs.modules import Method, ModulesPlan

Asked = Literal["cocoserve", "layer-services", "whole-instance", "all"]
WAYS: dict[Method, tuple[Callable[[Question], Iterator[Way]], Callable[[Question, Way, Way], float]]] = {
    "whole-instance": (instances.ways, instances.react_s),
    "cocoserve": (cocoserve.ways, cocoserve.react_s),
    "layer-services": (services.ways, services.react_s),
}
"""Each method: its ways to serve in order of cost, and how long it takes from one to another."""


def plan(
    deployment: Path,
    cluster: Path,
    workload: Path,
    *,
    method: Asked = "all",
    horizon_s: float = 600.0,
    step: float = 2.0,
    groups: int = 4,
    hop_ms: float = CROSSING_MS,
    confidence: float = 0.8,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> ModulesPlan:
    """Compare scaling by modules, by layer services and by whole instances at equal attainment on the same GPUs.

    For each method the cheapest way that keeps the SLO, by simulation, and how long it takes to carry ``step`` × the
    load. ``method`` all decides for the cheapest that holds; whole instances are always judged, as the baseline.
    ``horizon_s``: a copy must earn its time within it. ``groups``: layer services. ``hop_ms``: what software adds to
    every crossing between devices. ``confidence`` (one-sided): the SLO is judged at that end of the step times. Raises
    `InputError` for wrong documents, `InfeasibleError` where the deployment or no copy fits. [ours, after CoCoServe
    (arXiv 2507.18006) and arXiv 2507.18007; neither paper's equations are public here]
    """
    started = time.process_time()
    progress = on_progress or (lambda done, total, what: None)
    question = read_question(
        deployment, cluster, workload, horizon_s=horizon_s, step=step, groups=groups, hop_ms=hop_ms,
        confidence=confidence, seed=seed,
    )  # fmt: skip
    if method == "cocoserve":
        cocoserve.refuse_slow_copies(question)
    asked: tuple[Method, ...] = tuple(WAYS) if method == "all" else tuple(dict.fromkeys((method, "whole-instance")))
    found: dict[Method, Judged] = {}
    reactions: dict[Method, float | None] = {}
    for number, name in enumerate(asked):
        progress(number, len(asked), f"simulating {name}")
        ways, react = WAYS[name]
        best = cheapest(question, ways(question))
        if best is None:
            continue
        found[name] = best
        reactions[name] = _reaction(question, best, ways, react)
    return report(question, found, reactions, method, started)


def _reaction(
    question: Question, now: Judged, ways: Callable[[Question], Iterator[Way]],
    react: Callable[[Question, Way, Way], float],
) -> float | None:  # fmt: skip
    """Seconds from a step in load to the way that carries it; None where these GPUs cannot."""
    if not now.holds:
        return None
    larger = question.scaled(question.step)
    kept = (way for way in ways(larger) if way.share >= now.way.share)
    then = cheapest(larger, kept)
    return react(question, now.way, then.way) if then is not None and then.holds else None
