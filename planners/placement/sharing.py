"""Many models on one cluster: which model on which GPU, sharing as far as memory and every SLO allow."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from planners.placement.question import GpuClass, OnProgress, Question, Served
from planners.placement.refusals import GIB
from predictors.deployment import Compiled, compile_deployment, evidence_of, serve
from predictors.estimate import bounds_found, expected_of, outlook_of
from predictors.serving import Requests, scaled_surface
from predictors.serving.measures import Measures, measure
from predictors.slo import bounds_of, request_bounds
from predictors.step_time.slices import decode_s, prefill_s
from predictors.workload import closed_loop_of
from solvers.packing import Packing, cheapest_packing
from specs.deployment import DeploymentInPlan
from specs.errors import InfeasibleError
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
from specs.workload import WorkloadSpec

FloatArray = npt.NDArray[np.float64]
KV_MARGIN = 1.25
"""KV is reserved for this much more than the most that a model alone held at once. [ours]"""
MOST_BORNE = 15.0
"""No more than this many others can be always busy on one GPU. [assumed]"""
SETTLED = 4
"""Rounds in which slowdowns and the time each engine is busy are brought to agree."""
ROUNDS = 6
TIGHTER = 0.7
"""What a model bears of others is multiplied by this when its SLO broke in the simulation. [ours]"""


@dataclass(frozen=True, kw_only=True)
class Alone:
    """One copy of a model alone on one GPU of a class: memory it needs, share of the time it takes, what it bears."""

    compiled: Compiled | None  # None: it does not fit
    size_gib: float
    busy: float
    patience: float  # how much slower than alone its steps may get before a bound breaks, less 1; negative: too slow
    weights_gib: float = 0.0
    kv_gib: float = 0.0
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One copy of a model with its share of the requests, on each class."""

    served: Served
    copy: int
    copies: int
    requests: Requests
    alone: tuple[Alone, ...]


def place_models(question: Question, started: float, on_progress: OnProgress) -> PlacementPlan:
    """Place every model whole; infeasible where one fits nowhere or the cluster is too small."""
    classes = tuple(one for one in question.classes if one.gpus)
    items: list[Item] = []
    for number, served in enumerate(question.served):
        on_progress(number, len(question.served), f"simulating {served.model.name} alone")
        found = _items(question, served, classes)
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
            return _report(question, classes, items, packing, slow, started, on_progress)
        patience[broken] *= TIGHTER
    raise AssertionError("the last round reports")


def thinned(requests: Requests, copies: int, copy: int) -> Requests:
    """Every ``copies``-th request, from the ``copy``-th on; prefixes are not carried."""
    index, hits = requests.class_index, requests.hit_tokens
    chosen = slice(copy, None, copies)
    return Requests(
        arrival_s=requests.arrival_s[chosen], prompt_tokens=requests.prompt_tokens[chosen],
        output_tokens=requests.output_tokens[chosen], class_index=None if index is None else index[chosen],
        hit_tokens=None if hits is None else hits[chosen],
    )  # fmt: skip


def _items(question: Question, served: Served, classes: Sequence[GpuClass]) -> list[Item] | str:
    """As many copies as let one of them keep its SLO alone on some class; a sentence where none does."""
    assert served.requests is not None
    most = sum(len(one.gpus) for one in classes)
    for copies in range(1, most + 1):
        if copies > len(served.requests):
            break
        share = thinned(served.requests, copies, 0)
        alone = tuple(_alone(question, served, share, one) for one in classes)
        if all(one.compiled is None for one in alone):
            return f"{served.model.name} fits no GPU whole: {alone[0].reason}"
        if any(one.patience >= 0 for one in alone):
            return [
                Item(
                    served=served,
                    copy=copy,
                    copies=copies,
                    requests=thinned(served.requests, copies, copy),
                    alone=alone,
                )
                for copy in range(copies)
            ]
    return f"the SLO of {served.name} holds on no single GPU of the cluster, however its load is split"


def _alone(question: Question, served: Served, requests: Requests, device_class: GpuClass) -> Alone:
    assert served.workload is not None
    nowhere = Alone(compiled=None, size_gib=math.inf, busy=1.0, patience=-1.0)
    try:
        compiled = compile_deployment(
            served.model, device_class.device, question.deployment(served, device_class.device)
        )
        measures, peak_blocks = _measures(compiled, served.workload, requests, 1.0, question.seed)
    except InfeasibleError as error:
        return replace(nowhere, reason=error.message)
    book = compiled.ledgers[0]
    kv = KV_MARGIN * peak_blocks * book.bytes_per_block
    ratios = [
        one.found / one.bound
        for one in bounds_of(served.workload.slo, measures)
        if one.name != "attainment" and np.isfinite(one.found)
    ]
    kept = all(one.holds for one in bounds_of(served.workload.slo, measures))
    patience = min(1 / max(ratios, default=1e-3) - 1, MOST_BORNE)
    return Alone(
        compiled=compiled, size_gib=(book.used_bytes - max(0.0, book.kv_bytes) + kv) / GIB,
        busy=measures.compute_utilization, patience=max(0.0, patience) if kept else -1.0,
        weights_gib=sum(book.weights.values()) / GIB, kv_gib=kv / GIB,
    )  # fmt: skip


def _measures(
    compiled: Compiled, workload: WorkloadSpec, requests: Requests, slowdown: float, seed: int
) -> tuple[Measures, int]:
    run = serve(compiled, requests, closed_loop=closed_loop_of(workload), time_factor=slowdown, seed=seed)
    found = measure(run, request_bounds(workload), prompt_tokens=requests.prompt_tokens, resamples=0, seed=seed)
    return found, int(run.replicas.kv_blocks_max.max())


def _machines(classes: Sequence[GpuClass], items: int) -> list[tuple[int, int]]:
    """GPUs as (class, order of use); more of a class than there are items would be idle."""
    return [(k, order) for k, one in enumerate(classes) for order in range(min(len(one.gpus), items))]


def _pack(
    question: Question, classes: Sequence[GpuClass], items: Sequence[Item], patience: FloatArray
) -> Packing | None:
    size = np.array([[one.size_gib for one in item.alone] for item in items])
    size[patience < 0] = np.inf
    load = np.array([[one.busy for one in item.alone] for item in items])
    capacity = np.array([_total_gib(one) for one in classes])
    cost = np.array([one.usd_per_hour or 0.0 for one in classes]) if question.least == "cost" else np.ones(len(classes))
    kind = np.array([k for k, _ in _machines(classes, len(items))])
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


def _total_gib(device_class: GpuClass) -> float:
    device = device_class.device
    return device.usable_memory_gib or device.memory_gib


def _class_of(classes: Sequence[GpuClass], items: Sequence[Item], packing: Packing, at: int) -> int:
    return _machines(classes, len(items))[int(packing.machine[at])][0]


def _slowdowns(
    question: Question, classes: Sequence[GpuClass], items: Sequence[Item], packing: Packing
) -> tuple[list[float], list[bool]]:
    """How much longer each engine's steps take beside the others on its GPU, and whether its SLO then holds.

    1 + Σ of the shares of time that the others are busy, simulated at their own slowdown. [ours]
    """
    busy = [item.alone[_class_of(classes, items, packing, at)].busy for at, item in enumerate(items)]
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
            compiled, workload = item.alone[_class_of(classes, items, packing, at)].compiled, item.served.workload
            if compiled is None or workload is None or slow[at] == before[at]:
                continue
            found, _ = _measures(compiled, workload, item.requests, slow[at], question.seed)
            busy[at] = min(found.compute_utilization, 1.0)
            holds[at] = all(one.holds for one in bounds_of(workload.slo, found))
    return slow, holds


def _report(
    question: Question, classes: Sequence[GpuClass], items: Sequence[Item], packing: Packing, slow: list[float],
    started: float, on_progress: OnProgress,
) -> PlacementPlan:  # fmt: skip
    placed, deployments, serving, holds = [], [], dict[str, ServingExpected](), dict[str, bool]()
    evidence: list[Evidence] = []
    for at, item in enumerate(items):
        k = _class_of(classes, items, packing, at)
        compiled, workload = item.alone[k].compiled, item.served.workload
        assert compiled is not None
        assert workload is not None
        placed.append(_placed(classes, items, packing, at))
        deployments.append(_deployment(question, classes, items, packing, at))
        evidence += evidence_of(compiled)
        slowed = _slowed(compiled, slow[at])
        outlook = outlook_of(slowed, workload, item.requests, question.seed, on_progress)
        name = item.served.name if item.copies == 1 else f"{item.served.name} ({item.copy + 1} of {item.copies})"
        serving[name] = expected_of(outlook)
        holds[name] = all(bound.holds for bound in bounds_found(workload, outlook))
    used = sorted({int(machine) for machine in packing.machine})
    machines = _machines(classes, len(items))
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
    item, (k, order) = items[at], _machines(classes, len(items))[packing.machine[at]]
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
        kv_gib=round(alone.kv_gib, 3), free_gib=round(_total_gib(classes[k]) - held, 3),
        prefill_ms=round(prefill_s(surface, served.prompt_tokens) * 1e3, 3),
        decode_ms=round(decode_s(surface, 1.0, served.prompt_tokens) * 1e3, 4), busy=round(alone.busy, 4),
    )  # fmt: skip


def _deployment(
    question: Question, classes: Sequence[GpuClass], items: Sequence[Item], packing: Packing, at: int
) -> DeploymentInPlan:
    """The engine of one copy, with the share of its GPU's memory that it may take."""
    item, (k, order) = items[at], _machines(classes, len(items))[packing.machine[at]]
    base = question.deployment(item.served, classes[k].device)
    share = math.ceil(item.alone[k].size_gib / _total_gib(classes[k]) * 100) / 100
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


def _too_small(items: Sequence[Item], classes: Sequence[GpuClass]) -> str:
    need = sum(min(one.size_gib for one in item.alone) for item in items)
    busy = sum(min(one.busy for one in item.alone) for item in items)
    free = sum(len(one.gpus) * _total_gib(one) for one in classes)
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
