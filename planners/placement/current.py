"""The device map that is used now: read, held against the memory of each GPU, and timed like any other placement."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from planners.placement.layers import Bench
from specs.errors import InfeasibleError, InputError
from specs.placement import PlacementAlternative

IntArray = npt.NDArray[np.int64]
GIB = 2**30
LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|block)\.(\d+)$")
"""How Hugging Face models name decoder layers: model.layers.0, transformer.h.0, transformer.blocks.0. [std]"""


def judged(bench: Bench) -> tuple[PlacementAlternative, ...]:
    """The current map as an alternative, none where none was given.

    Raises `InputError` for a map that leaves a layer out or names a GPU that is not free, `InfeasibleError` where a
    GPU cannot hold its layers.
    """
    if bench.question.current is None:
        return ()
    gpus = [(index, order) for index, one in enumerate(bench.classes) for order in range(len(one.gpus))]
    devices = read_map(bench.question.current, bench.served.model.layers, len(gpus))
    _check_room(bench, devices, gpus)
    stages = _stages(bench, devices, gpus)
    total = sum(stages)
    crossings = int((np.diff(devices) != 0).sum())
    if bench.question.objective == "throughput":
        total += (bench.question.micro_batches - 1) * max(stages)
    used = len(set(devices.tolist()))
    return (
        PlacementAlternative(
            decision=f"now: {bench.question.current.name}, {crossings} crossings", gpus=used,
            request_s=float(f"{total:.5g}"),
        ),
    )  # fmt: skip


def read_map(path: Path, layers: int, gpus: int) -> IntArray:
    """The GPU of each layer [L] of a Hugging Face device map, GPUs counted over the cluster's free ones."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: is not JSON: {error}", cure="A device map is {module: GPU}.") from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: holds a {type(data).__name__}, expected {{module: GPU}}")
    found = np.full(layers, -1, dtype=np.int64)
    for name, where in data.items():
        match = LAYER.search(name)
        if match is None:
            continue
        layer = int(match[1])
        if layer >= layers:
            raise InputError(f"{path}: {name}: the model has {layers} layers", cure="Is it the map of another model?")
        if not isinstance(where, int) or isinstance(where, bool) or not 0 <= where < gpus:
            raise InputError(
                f"{path}: {name}: found {where!r}, expected a GPU from 0 to {gpus - 1}",
                cure="Number the free GPUs of the cluster's pools in order; offloading to cpu or disk is not planned.",
            )
        found[layer] = where
    if (found < 0).any():
        missing = int(np.argmax(found < 0))
        raise InputError(f"{path}: layer {missing} has no GPU", cure="Give every decoder layer.")
    return found


def _check_room(bench: Bench, devices: IntArray, gpus: list[tuple[int, int]]) -> None:
    need = bench.weights + bench.kv
    for gpu in dict.fromkeys(devices.tolist()):
        room = float(bench.capacity[gpus[gpu][0]])
        layers = np.flatnonzero(devices == gpu)
        total = np.cumsum(need[layers])
        if total[-1] > room:
            at = int(layers[int(np.argmax(total > room))])
            raise InfeasibleError(
                f"{bench.question.current}: GPU {gpu} ({bench.classes[gpus[gpu][0]].device.name}) lacks "
                f"{(total[-1] - room) / GIB:.1f} GiB for its {len(layers)} layers and the KV of {bench.batch} "
                f"requests: layer {at} is the first without room",
                cure="Move layers to another GPU, or plan without --current.",
            )


def _stages(bench: Bench, devices: IntArray, gpus: list[tuple[int, int]]) -> list[float]:
    """Seconds of each run of layers that stay on one GPU, with the hop before it."""
    found: list[float] = []
    for layer, gpu in enumerate(devices.tolist()):
        at = gpus[gpu]
        if layer and gpu == devices[layer - 1]:
            found[-1] += float(bench.layer_s[at[0], layer])
            continue
        link = bench.hop_s(bench.hop(gpus[int(devices[layer - 1])], at)) if layer else 0.0
        found.append(float(bench.layer_s[at[0], layer]) + link)
    return found
