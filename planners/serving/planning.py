"""`plan serving` from its documents to its plan."""

from __future__ import annotations

import time
from pathlib import Path

from planners.serving.bounds import demand
from planners.serving.candidates import Layout, device_of, layouts
from planners.serving.mix import cheapest_mix
from planners.serving.opening import Tally
from planners.serving.question import Objective, OnProgress, Question, Survive, read_question
from planners.serving.refusals import refused
from planners.serving.report import report
from planners.serving.roles import cheapest_roles
from planners.serving.search import cheapest_mixed, sturdiest
from planners.serving.serve import Workbench
from specs.plan import ServingPlan
from specs.profile import Basis


def plan(
    workload: Path,
    cluster: Path,
    *,
    objective: Objective = "cost",
    confidence: float = 0.8,
    survive: Survive | None = None,
    require: Basis | None = None,
    profiles: tuple[Path, ...] = (),
    store: str | None = None,
    current: Path | None = None,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> ServingPlan:
    """Choose the deployment of least cost (or fewest GPUs) that keeps the workload's SLO over its whole trace.

    The SLO is held at the upper end of the interval for ``confidence`` (one-sided): step times and KV at that end,
    the sampling error of each percentile on top. ``survive`` keeps it through the loss of a replica or a node.
    ``require``: the weakest evidence that is accepted; where none is at hand the plan abstains. ``profiles``:
    LayerProfile documents, or ids of them in ``store``, to rest on. ``current``: the Deployment that runs now.
    Infeasible and abstained plans are returned, not raised. Raises `InputError` for wrong documents. [ours; Mélange's
    mix: Griggs et al. 2024]
    """
    started = time.process_time()
    progress = on_progress or (lambda done, total, what: None)
    question = read_question(
        workload, cluster, objective=objective, confidence=confidence, survive=survive, require=require,
        profiles=profiles, store=store, seed=seed,
    )  # fmt: skip
    bench, tally = Workbench(question), Tally()
    asked, offered = demand(question), every_layout(question)
    best = cheapest_mixed(bench, asked, offered, tally, progress)
    if best is not None:
        best = sturdiest(bench, tally.opened[best.decision[0].layout.label], best, tally)
    for cheaper in (cheapest_roles, cheapest_mix):
        best = cheaper(bench, asked, offered, best, tally, progress) or best
    if best is None:
        return refused(bench, asked, offered, tally, started)
    return report(bench, asked, offered, best, tally, current, started, progress)


def every_layout(question: Question) -> list[Layout]:
    """All layouts of the question's pools, in the order of the cluster document."""
    found: list[Layout] = []
    for pool in question.cluster.pools:
        found += layouts(pool, question.model, device_of(pool, question.base))
    return found
