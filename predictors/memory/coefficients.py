"""The fitted coefficients of an engine's own memory, and which settings no measurement of them varied."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import yaml

from specs.catalog import CATALOG
from specs.deployment import DeploymentSpec
from specs.device import DeviceSpec
from specs.plan import Evidence

GIB = float(2**30)
MIB = float(2**20)


@dataclass(frozen=True, kw_only=True)
class Coefficients:
    """Coefficients of `catalog/memory.yaml`; units are in the names, meaning and source beside each there."""

    hidden_copies: float
    fixed_gib: float
    non_torch_gib: float
    non_torch_pp_gib: float
    non_torch_tp_gib: float
    non_torch_peer_gib: float
    non_torch_layer_mib: float
    context_gib: float
    context_parallel_gib: float
    graphs_fixed_gib: float
    graphs_layer_mib: float


@dataclass(frozen=True)
class Image:
    """One image as the engine's profiling run feeds it: tokens of its embedding, and pixels of its input."""

    tokens: int
    pixels: int


@cache
def memory_table() -> dict[str, Any]:
    """The whole of `catalog/memory.yaml`."""
    table: dict[str, Any] = yaml.safe_load((CATALOG / "memory.yaml").read_text(encoding="utf-8"))
    return table


@cache
def fitted() -> Coefficients:
    """The coefficients fitted on all measurements."""
    table = memory_table()["coefficients"]
    return Coefficients(**{field.name: float(table[field.name]) for field in fields(Coefficients)})


@cache
def rotary_caches(architecture: str) -> tuple[int, ...]:
    """Cos/sin caches of an architecture as multiples of its context; one where nothing else is known."""
    return tuple(memory_table()["architectures"].get(architecture, {}).get("rotary_caches", (1,)))


@cache
def profiled_image(architecture: str, budget_tokens: int) -> Image:
    """The image that the profiling run feeds ``architecture``; where unknown, one that fills ``budget_tokens``."""
    table = memory_table()
    known = table["architectures"].get(architecture, {})
    if "image_tokens" in known:
        return Image(tokens=known["image_tokens"], pixels=known["image_pixels"])
    return Image(tokens=budget_tokens, pixels=budget_tokens * table["default_pixels_per_image_token"])


def graphs_inside_budget(version: str) -> bool:
    """Whether the engine's estimate of its CUDA graphs is taken from the KV cache, by version."""
    return _version(version) >= _version(memory_table()["cuda_graphs_inside_budget_from"])


def unmeasured(device: DeviceSpec, deployment: DeploymentSpec) -> dict[str, str]:
    """Settings of this deployment that no measurement varied, by name, in words; empty where all were measured."""
    measured, engine, parallel = memory_table()["measured"], deployment.engine, deployment.parallel
    settings: dict[str, object] = {
        "engine": engine.name,
        "version": ".".join(map(str, _version(engine.version)[:2])),
        "device": device.name,
        "max_num_seqs": engine.max_num_seqs,
        "max_num_batched_tokens": engine.max_num_batched_tokens,
        "block_size_tokens": engine.block_size_tokens,
        "cuda_graphs": engine.cuda_graphs,
        "dp": parallel.dp,
        "ep": parallel.ep,
    }
    return {name: f"{name} {value}" for name, value in settings.items() if value != measured[name]}


def assumption(missing: dict[str, str]) -> Evidence | None:
    """An evidence entry that names what no measurement varied; None where all was measured."""
    if not missing:
        return None
    note = f"no measurement varied {', '.join(missing.values())}; the formulas carry over"
    return Evidence(quantity="memory", basis="assumed", source="formulas of the memory ledger", note=note)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.lstrip("v").split(".")[:3] if part.isdigit())
