"""The plan of many models on one cluster: where each engine goes, what it does there, what it rests on."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

from planners.placement.engines import Item, class_of, machines_of, total_gib
from planners.placement.question import GpuClass, OnProgress, Question
from predictors.deployment import Compiled, evidence_of
from predictors.estimate import expected_of, outlook_of
from predictors.serving import scaled_surface
from predictors.step_time.slices import decode_s, prefill_s
from solvers.item_packing import Packing
from specs.deployment import DeploymentInPlan
from specs.placement import (
    Placed,
    PlacementAlternative,
    PlacementDecision,
    PlacementExpected,
    PlacementPlan,
    PlacementWhy,
)
from specs.plan import Evidence, ServingExpected, Status
from specs.stamping import stamped


def report_models(
    question: Question, classes: Sequence[GpuClass], items: Sequence[Item], packing: Packing, slow: list[float],
    kept: list[bool], started: float, on_progress: OnProgress,
) -> PlacementPlan:  # fmt: skip
    """Write the plan of a packing; ``slow`` is how much longer each engine's steps take beside the others.

    ``kept`` says whether each engine's SLO holds at the upper end of the step times.
    """
    placed, deployments, serving, holds = [], [], dict[str, ServingExpected](), dict[str, bool]()
    evidence: list[Evidence] = []
    for at, item in enumerate(items):
        k = class_of(classes, items, packing, at)
        compiled, workload = item.alone[k].compiled, item.workload
        assert compiled is not None
        placed.append(_placed(classes, items, packing, at))
        deployments.append(_deployment(question, classes, items, packing, at))
        evidence += evidence_of(compiled)
        slowed = _slowed(compiled, slow[at])
        outlook = outlook_of(slowed, workload, item.requests, question.seed, on_progress)
        name = item.served.name if item.copies == 1 else f"{item.served.name} ({item.copy + 1} of {item.copies})"
        serving[name] = expected_of(outlook)
        holds[name] = kept[at]
    used = sorted({int(machine) for machine in packing.machine})
    machines = machines_of(classes, len(items))
    prices = [classes[machines[machine][0]].usd_per_hour for machine in used]
    cost = sum(price for price in prices if price is not None) if None not in prices else None
    proven = packing.gap <= 1e-6
    word = "least cost" if question.least == "cost" else "fewest GPUs"
    return PlacementPlan(
        metadata=stamped(question.name, question.inputs),
        status=Status(
            outcome="optimal" if proven else "feasible",
            reason=f"{len(items)} engines on {len(used)} GPUs: {word}"
            + (", proven" if proven else f", within {packing.gap:.1%} of a proven bound"),
            solver={"method": packing.method, "gap": round(packing.gap, 6), "bound": round(packing.bound, 4),
                    "seconds": round(time.process_time() - started, 2)},
        ),
        valid="while every model's load stays as given; bursts of several models at once add up",
        decision=PlacementDecision(
            placed=tuple(placed), deployments=tuple(deployments),
            architectures={item.served.model.name: item.served.model.architecture for item in items},
            gpus=len(used), usd_per_hour=cost,
        ),
        expected=PlacementExpected(serving=serving, holds=holds),
        why=_why(question, classes, items),
        evidence=tuple(dict.fromkeys(evidence)),
    )  # fmt: skip


def _why(question: Question, classes: Sequence[GpuClass], items: Sequence[Item]) -> PlacementWhy:
    apart = PlacementAlternative(
        decision="a GPU of its own for every engine", gpus=len(items), usd_per_hour=_cost_apart(classes, items)
    )
    return PlacementWhy(
        least=question.least, compared=(apart,),
        notes=(
            *question.notes,
            "engines that share a GPU take turns on it: while n others have work, a step lasts n + 1 times as long as "
            "alone [ours, not measured: profile a shared GPU before relying on it]",
        ),
    )  # fmt: skip


def _cost_apart(classes: Sequence[GpuClass], items: Sequence[Item]) -> float | None:
    total = 0.0
    for item in items:
        prices = [
            one.usd_per_hour for one, alone in zip(classes, item.alone, strict=True) if alone.patience >= 0
        ]  # fmt: skip
        known = [price for price in prices if price is not None]
        if not known:
            return None
        total += min(known)
    return total


def _placed(classes: Sequence[GpuClass], items: Sequence[Item], packing: Packing, at: int) -> Placed:
    item, (k, order) = items[at], machines_of(classes, len(items))[packing.machine[at]]
    alone, served = item.alone[k], item.served
    assert alone.compiled is not None
    surface = alone.compiled.pools[0].surface
    held = sum(
        other.alone[k].size_gib for index, other in enumerate(items) if packing.machine[index] == packing.machine[at]
    )
    node, gpu = classes[k].gpus[order]
    return Placed(
        model=served.model.name, pool=classes[k].pool.name, node=node, gpu=gpu, device=classes[k].device.name,
        first_layer=0, last_layer=served.model.layers - 1, weights_gib=round(alone.weights_gib, 3),
        kv_gib=round(alone.kv_gib, 3), free_gib=round(total_gib(classes[k]) - held, 3),
        prefill_ms=round(prefill_s(surface, served.prompt_tokens) * 1e3, 3),
        decode_ms=round(decode_s(surface, 1.0, served.prompt_tokens) * 1e3, 4), busy=round(alone.busy, 4),
    )  # fmt: skip


def _deployment(
    question: Question, classes: Sequence[GpuClass], items: Sequence[Item], packing: Packing, at: int
) -> DeploymentInPlan:
    """The engine of one copy, with the share of its GPU's memory that it may take."""
    item, (k, order) = items[at], machines_of(classes, len(items))[packing.machine[at]]
    base = question.deployment(item.served, classes[k].device)
    share = math.ceil(item.alone[k].size_gib / total_gib(classes[k]) * 100) / 100
    published = {"published": item.served.model.aliases[0]} if item.served.model.aliases else {}
    return DeploymentInPlan(
        **base.model_dump(exclude={"engine", "pool"}),
        engine=base.engine.model_copy(update={"gpu_memory_utilization": min(share, 0.95)}),
        pool=classes[k].pool.name,
        labels={**published, "gpus": str(classes[k].gpus[order][1]), "node": str(classes[k].gpus[order][0])},
    )


def _slowed(compiled: Compiled, slowdown: float) -> Compiled:
    pools = tuple(replace(pool, surface=scaled_surface(pool.surface, slowdown)) for pool in compiled.pools)
    return replace(compiled, pools=pools)
