"""The items of a GPU's memory besides the KV cache, each with its interval, its basis and its source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from predictors.memory.activations import activation_bytes
from predictors.memory.coefficients import GIB, graphs_inside_budget, memory_table
from predictors.memory.overheads import context_bytes, graph_bytes, non_torch_bytes
from predictors.memory.placement import Placement
from specs.profile import Basis

UNMEASURED_WIDENS = 3.0  # intervals grow by this where a deployment leaves what was measured [ours, assumed]
ENGINE_ITEMS: dict[str, Callable[[Placement], float]] = {
    "activations": activation_bytes,
    "non-torch": non_torch_bytes,
    "CUDA context": context_bytes,
    "CUDA graphs": graph_bytes,
}
# Settings that each item depends on: an item is assumed where its deployment leaves what was measured of them.
_ENGINE = frozenset({"engine", "version"})
DEPENDS_ON: dict[str, frozenset[str]] = {
    "activations": _ENGINE | {"max_num_seqs", "max_num_batched_tokens", "dp", "ep"},
    "non-torch": _ENGINE | {"device", "dp", "ep"},
    "CUDA context": frozenset({"device", "dp", "ep"}),
    "CUDA graphs": _ENGINE | {"device", "max_num_seqs", "max_num_batched_tokens", "cuda_graphs", "dp", "ep"},
}


@dataclass(frozen=True)
class MemoryItem:
    """One part of a GPU's memory in bytes, with its 90 % interval, basis and source."""

    name: str
    bytes: float
    low: float
    high: float
    basis: Basis
    source: str


def items(place: Placement, weights: dict[str, float], missing: dict[str, str]) -> Iterator[MemoryItem]:
    """Yield all items but the KV cache; ``missing`` names what no measurement varied, which makes them assumed."""
    total = sum(weights.values())
    half = total * float(memory_table()["weights_error"])
    source = f"tensors of {place.model.name}; {place.model.source}"
    yield MemoryItem("weights", total, total - half, total + half, "datasheet", source)
    for name, size_of in ENGINE_ITEMS.items():
        yield _engine_item(name, size_of(place), bool(DEPENDS_ON[name] & missing.keys()))


def inside_budget(version: str) -> frozenset[str]:
    """Names of the items that the engine subtracts from its budget before it sizes the KV cache."""
    base = frozenset({"weights", "activations", "non-torch"})
    return base | {"CUDA graphs"} if graphs_inside_budget(version) else base


def _engine_item(name: str, size: float, assumed: bool) -> MemoryItem:
    table = memory_table()
    half = table["errors_gib"][name] * GIB * (UNMEASURED_WIDENS if assumed else 1.0) if size else 0.0
    basis: Basis = "assumed" if assumed else "calibrated"
    return MemoryItem(name, size, max(0.0, size - half), size + half, basis, table["measured"]["source"])
