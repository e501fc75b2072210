"""Engines that may share GPUs: what one copy of a model needs alone on each class, and where it was put."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from planners.placement.question import GpuClass, Question, Served
from planners.placement.refusals import GIB
from predictors.deployment import Compiled, compile_deployment, serve
from predictors.serving import Requests
from predictors.serving.measures import Measures, measure
from predictors.slo import bounds_of, request_bounds
from predictors.step_time.error import upper_end
from predictors.workload import closed_loop_of
from solvers.item_packing import Packing
from specs.errors import InfeasibleError
from specs.workload import ClosedArrivals, WorkloadSpec

KV_MARGIN = 1.25
"""KV is reserved for this much more than the most that a model alone held at once. [ours]"""
MOST_BORNE = 15.0
"""No more than this many others can be always busy on one GPU. [assumed]"""


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
    workload: WorkloadSpec
    copy: int
    copies: int
    requests: Requests
    alone: tuple[Alone, ...]


def items_of(question: Question, served: Served, classes: Sequence[GpuClass]) -> list[Item] | str:
    """As many copies as let one of them keep its SLO alone on some class; a sentence where none does."""
    assert served.requests is not None
    assert served.workload is not None
    most = sum(len(one.gpus) for one in classes)
    for copies in range(1, most + 1):
        if copies > len(served.requests):
            break
        share = thinned(served.requests, copies, 0)
        workload = _divided(served.workload, copies)
        alone = tuple(_alone(question, served, workload, share, one) for one in classes)
        if all(one.compiled is None for one in alone):
            return f"{served.model.name} fits no GPU whole: {alone[0].reason}"
        if any(one.patience >= 0 for one in alone):
            return [
                Item(
                    served=served,
                    workload=workload,
                    copy=copy,
                    copies=copies,
                    requests=thinned(served.requests, copies, copy),
                    alone=alone,
                )
                for copy in range(copies)
            ]
    return f"the SLO of {served.name} holds on no single GPU of the cluster, however its load is split"


def _divided(workload: WorkloadSpec, copies: int) -> WorkloadSpec:
    """A copy's share of the workload: of a closed loop its part of the clients, else the workload as it is."""
    arrivals = workload.arrivals
    if not isinstance(arrivals, ClosedArrivals):
        return workload
    clients = max(1, round(arrivals.concurrency / copies))
    return workload.model_copy(update={"arrivals": arrivals.model_copy(update={"concurrency": clients})})


def _alone(
    question: Question, served: Served, workload: WorkloadSpec, requests: Requests, device_class: GpuClass
) -> Alone:
    nowhere = Alone(compiled=None, size_gib=math.inf, busy=1.0, patience=-1.0)
    try:
        compiled = compile_deployment(
            served.model, device_class.device, question.deployment(served, device_class.device)
        )
        measures, peak_blocks = measures_of(compiled, workload, requests, 1.0, question)
    except InfeasibleError as error:
        return replace(nowhere, reason=error.message)
    book = compiled.ledgers[0]
    kv = KV_MARGIN * peak_blocks * book.bytes_per_block
    ratios = [
        one.found / one.bound
        for one in bounds_of(workload.slo, measures)
        if one.name != "attainment" and np.isfinite(one.found)
    ]
    kept = all(one.holds for one in bounds_of(workload.slo, measures))
    patience = min(1 / max(ratios, default=1e-3) - 1, MOST_BORNE)
    return Alone(
        compiled=compiled, size_gib=(book.used_bytes - max(0.0, book.kv_bytes) + kv) / GIB,
        busy=measures.compute_utilization, patience=max(0.0, patience) if kept else -1.0,
        weights_gib=sum(book.weights.values()) / GIB, kv_gib=kv / GIB,
    )  # fmt: skip


def measures_of(
    compiled: Compiled, workload: WorkloadSpec, requests: Requests, slowdown: float, question: Question
) -> tuple[Measures, int]:
    """Figures of the requests at a slowdown and the step time's upper end, and the most KV blocks held at once."""
    error, seed = max(one.relative_error for one in compiled.step_times), question.seed
    factor = slowdown * upper_end(error, question.confidence)
    run = serve(compiled, requests, closed_loop=closed_loop_of(workload), time_factor=factor, seed=seed)
    found = measure(run, request_bounds(workload), prompt_tokens=requests.prompt_tokens, resamples=0, seed=seed)
    return found, int(run.replicas.kv_blocks_max.max())


def thinned(requests: Requests, copies: int, copy: int) -> Requests:
    """Every ``copies``-th request, from the ``copy``-th on; prefixes are not carried."""
    index, hits = requests.class_index, requests.hit_tokens
    chosen = slice(copy, None, copies)
    return Requests(
        arrival_s=requests.arrival_s[chosen], prompt_tokens=requests.prompt_tokens[chosen],
        output_tokens=requests.output_tokens[chosen], class_index=None if index is None else index[chosen],
        hit_tokens=None if hits is None else hits[chosen],
    )  # fmt: skip


def machines_of(classes: Sequence[GpuClass], items: int) -> list[tuple[int, int]]:
    """GPUs as (class, order of use); more of a class than there are items would be idle."""
    return [(k, order) for k, one in enumerate(classes) for order in range(min(len(one.gpus), items))]


def total_gib(device_class: GpuClass) -> float:
    """Memory of one GPU of the class."""
    device = device_class.device
    return device.usable_memory_gib or device.memory_gib


def class_of(classes: Sequence[GpuClass], items: Sequence[Item], packing: Packing, at: int) -> int:
    """The class of an item's GPU."""
    return machines_of(classes, len(items))[int(packing.machine[at])][0]
