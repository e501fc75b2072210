"""Many models on one cluster: which model on which GPU, sharing as far as memory and every SLO allow."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from planners.placement.engines import Item, class_of, items_of, machines_of, measures_of, total_gib
from planners.placement.question import GpuClass, OnProgress, Question
from planners.placement.report_models import report_models
from predictors.slo import bounds_of
from solvers.item_packing import Packing, cheapest_packing
from specs.placement import PlacementPlan, PlacementWhy
from specs.plan import Status
from specs.stamping import stamped

FloatArray = npt.NDArray[np.float64]
SETTLED = 4
"""Rounds in which slowdowns and the time each engine is busy are brought to agree."""
ROUNDS = 6
TIGHTER = 0.7
"""What a model bears of others is multiplied by this when its SLO broke in the simulation. [ours]"""


def place_models(question: Question, started: float, on_progress: OnProgress) -> PlacementPlan:
    """Place every model whole; infeasible where one fits nowhere or the cluster is too small."""
    classes = tuple(one for one in question.classes if one.gpus)
    items: list[Item] = []
    for number, served in enumerate(question.served):
        on_progress(number, len(question.served), f"simulating {served.model.name} alone")
        found = items_of(question, served, classes)
        if isinstance(found, str):
            return _refused(question, found, started)
        items += found
    patience = np.array([[one.patience for one in item.alone] for item in items])
    for round_ in range(ROUNDS):
        packing = _pack(question, classes, items, patience)
        if packing is None:
            return _refused(question, _too_small(items, classes), started)
        slow, holds = _slowdowns(question, classes, items, packing)
        broken = [at for at, kept in enumerate(holds) if not kept]
        if not broken or round_ == ROUNDS - 1:
            return report_models(question, classes, items, packing, slow, holds, started, on_progress)
        patience[broken] *= TIGHTER
    raise AssertionError("the last round reports")


def _pack(
    question: Question, classes: Sequence[GpuClass], items: Sequence[Item], patience: FloatArray
) -> Packing | None:
    size = np.array([[one.size_gib for one in item.alone] for item in items])
    size[patience < 0] = np.inf
    load = np.array([[one.busy for one in item.alone] for item in items])
    capacity = np.array([total_gib(one) for one in classes])
    cost = np.array([one.usd_per_hour or 0.0 for one in classes]) if question.least == "cost" else np.ones(len(classes))
    kind = np.array([k for k, _ in machines_of(classes, len(items))])
    apart = tuple(
        (a, b)
        for a in range(len(items))
        for b in range(a + 1, len(items))
        if items[a].served.model.name == items[b].served.model.name
    )
    return cheapest_packing(
        size, load, np.maximum(patience, 0.0), kind=kind, capacity=capacity, cost=cost, apart=apart,
        most_load=float(len(items)),
    )  # fmt: skip


def _slowdowns(
    question: Question, classes: Sequence[GpuClass], items: Sequence[Item], packing: Packing
) -> tuple[list[float], list[bool]]:
    """How much longer each engine's steps take beside the others on its GPU, and whether its SLO then holds.

    1 + Σ of the shares of time that the others are busy, simulated at their own slowdown. [ours]
    """
    busy = [item.alone[class_of(classes, items, packing, at)].busy for at, item in enumerate(items)]
    slow, holds = [1.0] * len(items), [True] * len(items)
    for _ in range(SETTLED):
        before = slow
        slow = [
            1.0 + sum(busy[j] for j in range(len(items)) if j != i and packing.machine[j] == packing.machine[i])
            for i in range(len(items))
        ]
        if max(abs(a - b) for a, b in zip(slow, before, strict=True)) < 0.01:
            break
        for at, item in enumerate(items):
            compiled, workload = item.alone[class_of(classes, items, packing, at)].compiled, item.workload
            if compiled is None or slow[at] == before[at]:
                continue
            found, _ = measures_of(compiled, workload, item.requests, slow[at], question)
            busy[at] = min(found.compute_utilization, 1.0)
            holds[at] = all(one.holds for one in bounds_of(workload.slo, found))
    return slow, holds


def _too_small(items: Sequence[Item], classes: Sequence[GpuClass]) -> str:
    need = sum(min(one.size_gib for one in item.alone) for item in items)
    busy = sum(min(one.busy for one in item.alone) for item in items)
    free = sum(len(one.gpus) * total_gib(one) for one in classes)
    return (
        f"{len(items)} engines need {need:.0f} GiB and {busy:.2f} GPUs' time at least; the cluster has {free:.0f} GiB "
        f"on {sum(len(one.gpus) for one in classes)} GPUs, and no arrangement keeps every SLO"
    )


def _refused(question: Question, reason: str, started: float) -> PlacementPlan:
    return PlacementPlan(
        metadata=stamped(question.name, question.inputs),
        status=Status(
            outcome="infeasible", reason=reason, conflicts=(reason,),
            smallest_change="one more GPU, or the largest model placed alone, by its layers",
            solver={"seconds": round(time.process_time() - started, 2)},
        ),
        why=PlacementWhy(least=question.least, notes=question.notes),
    )  # fmt: skip
