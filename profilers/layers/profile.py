"""Profiles the layers of a model on one device: sets the grid, surveys it, keeps a checkpoint, makes the document."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from profilers.anchors.torch_rates import cuda_devices, load_torch
from profilers.devices import INSTALL
from profilers.host.reading import read_host, this_machine
from profilers.layers.checkpoint import checkpoint_path, load, save
from profilers.layers.clocks import Torch
from profilers.layers.document import document
from profilers.layers.memory import PhaseRecorder, free_bytes
from profilers.layers.passes import Passes, copies_of, require_room
from profilers.layers.shapes import Shape, start_shapes
from profilers.layers.survey import TARGET, Laps, OnProgress, Survey, survey
from profilers.layers.tensors import cache_bytes, check, ends_bytes, layer_bytes
from profilers.layers.watching import watch, watched
from specs.base import plain
from specs.catalog import reported_device
from specs.errors import MissingHardwareError
from specs.model import ModelSpec
from specs.profile import LayerProfile, Machine

CACHE_SHARE = 0.3  # of the free memory: the largest KV cache of one shape
SHARED_LAST_CACHE_BYTES = 64 * 2**20  # where a CPU does not tell its caches; larger than most [assumed]


@dataclass(frozen=True)
class Target:
    """The device that is measured: torch's name of it, the catalogue's, and the bytes of its last cache."""

    torch: Torch
    place: str
    name: str
    cache_bytes: float

    @property
    def cuda(self) -> bool:
        """Whether it is a GPU."""
        return self.place.startswith("cuda")


def profile_layers(
    model: ModelSpec,
    *,
    device: str,
    tp: int = 1,
    budget_s: float = 120.0,
    write: Path | None = None,
    on_progress: OnProgress,
    command: str = "tonnage profile layers",
    named: str | None = None,
) -> LayerProfile:
    """Measure one decoder layer, embedding, head and norm of ``model`` on ``device`` (`cpu` or `cuda`).

    ``tp``: measure one shard of so many. ``write``: the target file, beside which a checkpoint is kept until the
    profile is whole; a run that was killed goes on from it, and the time it had spent counts. ``named``: how the
    model was named, for a later look for drift.
    Raises `InputError` for a model that cannot be measured or a checkpoint of another run, `MissingHardwareError`
    without torch, the device, memory enough, or quiet enough.
    """
    check(model, tp)
    target = find_target(device)
    machine = _machine(target, command)
    request = request_of(model, target.name, tp, machine)
    path = checkpoint_path(write) if write else None
    found = load(path, request) if path else Survey()
    memory = PhaseRecorder(target.torch, target.place)
    _require_memory(model, tp, target)
    on_progress(0.0, budget_s, "making random weights")
    passes = Passes(target.torch, model, tp, target.place, target.cache_bytes)
    memory.note("weights")
    found = survey(
        _start(model, tp, target), recorded(passes.run, memory), budget_s=budget_s, on_progress=on_progress,
        found=found, on_round=(lambda now: save(path, request, now)) if path else lambda now: None,
    )  # fmt: skip
    repeats = watch(watched(found.blocks), passes.run, budget_s=budget_s, on_progress=on_progress)
    memory.context()
    profile = document(
        model, found, tp=tp, device=target.name, machine=machine, target=TARGET, memory=tuple(memory.phases.values()),
        timing_by_events=target.cuda, left_out=_left_out(model, tp), measured_as=named, repeats=repeats,
    )  # fmt: skip
    if path:
        path.unlink(missing_ok=True)
    return profile


def find_target(device: str) -> Target:
    """Return the device to measure; raises `MissingHardwareError` where torch or the device is absent."""
    torch = load_torch()
    if torch is None:
        raise MissingHardwareError("profile layers runs a layer with torch, which is not installed", cure=INSTALL)
    if device == "cpu":
        return Target(torch, "cpu", "cpu", _cpu_cache_bytes())
    unknown: dict[str, str] = {}
    places = cuda_devices(torch, unknown)
    if not places:
        why = unknown.get("gpus", "torch finds no CUDA device")
        raise MissingHardwareError(f"--device cuda: {why}", cure="Run it on a machine with one, or use --device cpu.")
    properties = torch.cuda.get_device_properties(places[0])
    return Target(torch, places[0], reported_device(properties.name), float(properties.L2_cache_size))


def request_of(model: ModelSpec, device: str, tp: int, machine: Machine) -> dict[str, Any]:
    """Return what must be equal for a checkpoint to be gone on with."""
    text = json.dumps(plain(model), sort_keys=True)
    return {
        "model": f"{model.name} {hashlib.sha256(text.encode()).hexdigest()[:16]}", "device": device, "tp": tp,
        "machine": machine.hostname_sha, "versions": machine.versions,
    }  # fmt: skip


def recorded(run: Callable[[Shape], Laps], memory: PhaseRecorder) -> Callable[[Shape], Laps]:
    """Return ``run`` with the memory of each new shape noted under its family."""
    seen: set[Shape] = set()

    def noted(shape: Shape) -> Laps:
        laps = run(shape)
        if shape not in seen:
            seen.add(shape)
            memory.note(shape.family)
        return laps

    return noted


def _machine(target: Target, command: str) -> Machine:
    machine = this_machine(command, packages=("torch", "tonnage"))
    found = dict(machine.versions)
    if target.cuda:
        found["cuda"] = str(target.torch.version.cuda)
        return machine.model_copy(update={"gpu": target.name, "versions": found})
    return machine.model_copy(update={"versions": {**found, "threads": str(target.torch.get_num_threads())}})


def _cpu_cache_bytes() -> float:
    """Bytes of the last cache level that one thread can fill."""
    caches = [cache for cache in read_host().cpu.caches if cache.kind != "instruction"]
    if not caches:
        return SHARED_LAST_CACHE_BYTES
    last = max(cache.level for cache in caches)
    return max(cache.size_kib for cache in caches if cache.level == last) * 1024.0


def _require_memory(model: ModelSpec, tp: int, target: Target) -> None:
    copies = copies_of(model, tp, target.cache_bytes)
    needed = copies * layer_bytes(model, tp) + ends_bytes(model, tp)
    require_room(needed, free_bytes(target.torch, target.place), model.name)


def _start(model: ModelSpec, tp: int, target: Target) -> list[Shape]:
    room = CACHE_SHARE * free_bytes(target.torch, target.place)
    return start_shapes(
        model.max_context_tokens, prefill_kinds(model), range(len(model.attention)),
        lambda shape: cache_bytes(model, shape, tp) <= room,
    )  # fmt: skip


def prefill_kinds(model: ModelSpec) -> list[int]:
    """Kinds of attention whose prefill is measured: those without a window, which torch would compute in full."""
    return [kind for kind, attention in enumerate(model.attention) if attention.window_tokens is None]


def _left_out(model: ModelSpec, tp: int) -> list[str]:
    found = ["all_reduce: one device has nobody to talk to"] if tp > 1 else []
    if len(prefill_kinds(model)) < len(model.attention):
        found.append("prefill_attention of layers with a window: torch computes it in full, engines do not")
    if any(attention.sinks for attention in model.attention):
        found.append("attention sinks: attention was measured without")
    if model.moe is not None and model.mlp is not None and model.mlp.layers:
        found.append("gate_up_proj, activation, down_proj: of the model's two feed-forwards the experts were measured")
    return found
