"""What does not fit: by how many GiB and from which layer on, and the smallest change that would do."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from planners.placement.layers import Bench, Choice
from specs.placement import PlacementPlan, PlacementWhy
from specs.plan import Status
from specs.stamping import stamped

GIB = 2**30
FloatArray = npt.NDArray[np.float64]


def refused_layers(bench: Bench, started: float, reason: str | None = None) -> PlacementPlan:
    """An infeasible plan: what is missing, from which layer on, and what would make it fit."""
    question = bench.question
    conflict = reason or overflow(bench)
    return PlacementPlan(
        metadata=stamped(question.name, question.inputs),
        status=Status(
            outcome="infeasible", reason=conflict, conflicts=(conflict,),
            smallest_change=_smallest_change(bench) if reason is None else "a smaller load, or faster GPUs",
            solver={"seconds": round(time.process_time() - started, 2)},
        ),
        why=why(bench),
    )  # fmt: skip


def why(bench: Bench) -> PlacementWhy:
    """The question in figures."""
    question, served = bench.question, bench.served
    return PlacementWhy(
        objective=question.objective, variant=question.variant, least=question.least, batch=float(bench.batch),
        prompt_tokens=round(served.prompt_tokens, 1), output_tokens=round(served.output_tokens, 1),
        notes=question.notes,
    )  # fmt: skip


def overflow(bench: Bench) -> str:
    """Where the GPUs run out when filled in order of their size: the first layer without a place, and the GiB."""
    layer, missing = _filled(bench, bench.weights + bench.kv, _largest_first(bench))
    tokens = bench.served.prompt_tokens + bench.served.output_tokens
    batch = f"{bench.batch} request{'s' * (bench.batch != 1)} of {tokens:.0f} tokens"
    count = len(_largest_first(bench))
    return (
        f"{bench.served.model.name} with KV for {batch} lacks {missing / GIB:.1f} GiB: layer {layer} is the first "
        f"without room on {count} GPU{'s' * (count != 1)}"
    )


def stays_behind(bench: Bench, best: Choice) -> str:
    """The workload's rate keeps more requests in flight than any batch can serve in time."""
    return (
        f"{bench.served.rate_per_s:.3g} requests per second keep more than {bench.batch} in flight on one placement, "
        f"and each of them then takes longer than {best.value_s:.3g} s: the queue grows"
    )


def _largest_first(bench: Bench) -> list[float]:
    """Capacities of the GPUs that may be used together, largest first."""
    found = [float(room) for room, one in zip(bench.capacity, bench.classes, strict=True) for _ in range(len(one.gpus))]
    return sorted(found, reverse=True)[: bench.chain.most]


def _filled(bench: Bench, need: FloatArray, rooms: list[float]) -> tuple[int, float]:
    """First layer without room and the bytes of all that are left; (L, 0) where everything has a place."""
    layer = 0
    for room in rooms:
        total = np.cumsum(need[layer:])
        layer += int(np.searchsorted(total, room * (1 + 1e-12), side="right"))
        if layer == len(need):
            return layer, 0.0
    if rooms and need[layer] > max(rooms):
        return layer, float(need[layer] - max(rooms))
    return layer, float(need[layer:].sum())


def _smallest_change(bench: Bench) -> str | None:
    """The largest batch that fits, or as many more GPUs of the roomiest pool as would do."""
    largest = _largest_batch(bench)
    if largest:
        return f"KV for {largest} requests at a time instead of {bench.batch}, which fits"
    rooms, roomiest = _largest_first(bench), int(np.argmax(bench.capacity))
    if float((bench.weights + bench.kv).max()) > bench.capacity[roomiest]:
        return "larger GPUs, a smaller precision of weights, or shorter requests: one layer alone exceeds a GPU"
    for more in range(1, bench.served.model.layers + 1):
        grown = sorted([*rooms, *[float(bench.capacity[roomiest])] * more], reverse=True)
        if _filled(bench, bench.weights + bench.kv, grown)[1] == 0.0:
            return f"{more} more free GPU{'s' * (more != 1)} in pool {bench.classes[roomiest].pool.name}"
    return None


def _largest_batch(bench: Bench) -> int:
    """By bisection on the filling of the GPUs; 0 where not even one request fits."""
    low, high, per = 0, bench.batch - 1, bench.kv / bench.batch
    while low < high:
        middle = (low + high + 1) // 2
        fits = _filled(bench, bench.weights + middle * per, _largest_first(bench))[1] == 0.0
        low, high = (middle, high) if fits else (low, middle - 1)
    return low
