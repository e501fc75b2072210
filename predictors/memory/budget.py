"""The ledger of one GPU: every item of its memory, and what the engine leaves for the KV cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from predictors.memory.coefficients import GIB, Coefficients, assumption, fitted, memory_table, unmeasured
from predictors.memory.items import MemoryItem, inside_budget, items
from predictors.memory.kv_cache import BlockLayout, block_layout
from predictors.memory.overheads import total_bytes
from predictors.memory.placement import Placement
from predictors.memory.sharding import Rank, check_divisible, ranks
from predictors.memory.weights import rank_weights
from specs.deployment import DeploymentSpec, Roles
from specs.device import DeviceSpec
from specs.errors import InputError
from specs.model import ModelSpec
from specs.plan import Evidence
from specs.profile import Basis


class _Capacity(TypedDict):
    kv_blocks: int
    kv_tokens: int
    block_tokens: int
    bytes_per_block: int
    max_model_len: int
    max_concurrency: float
    fits: bool
    shortfall_bytes: float
    reason: str


@dataclass(frozen=True, kw_only=True)
class MemoryLedger:
    """Memory of the tightest GPU of one replica, in bytes.

    ``total_bytes`` is the device's memory as CUDA reports it, ``used_bytes`` what of it is taken.
    ``requested_bytes`` is the engine's budget, `gpu_memory_utilization` of the total, and ``kv_bytes`` what it leaves
    for the KV cache (negative where nothing is left), with its 90 % interval. ``kv_blocks`` of ``bytes_per_block``
    hold ``kv_tokens``; ``max_concurrency`` requests of ``max_model_len`` tokens fit at once.
    ``shortfall_bytes`` is what one such request, or the device, lacks: 0 where it ``fits``; ``reason`` says which.
    ``weights`` details the first item; ``rank`` is the tightest pipeline rank.
    """

    items: tuple[MemoryItem, ...]
    weights: dict[str, float]
    rank: int
    total_bytes: float
    used_bytes: float
    requested_bytes: float
    kv_bytes: float
    kv_bytes_low: float
    kv_bytes_high: float
    kv_blocks: int
    kv_tokens: int
    block_tokens: int
    bytes_per_block: int
    max_model_len: int
    max_concurrency: float
    fits: bool
    shortfall_bytes: float
    reason: str
    evidence: tuple[Evidence, ...]

    def item(self, name: str) -> MemoryItem:
        """The item called ``name``."""
        return next(item for item in self.items if item.name == name)


def ledger(model: ModelSpec, device: DeviceSpec, deployment: DeploymentSpec, *, role: str = "mixed") -> MemoryLedger:
    """Return the memory of the tightest GPU of ``deployment``, or of its ``role`` ("prefill", "decode").

    vLLM's rule: KV cache = utilization · total - weights - activation peak - what libraries took meanwhile, on every
    rank, and the smallest number of blocks counts [std: vLLM gpu_worker.py]. CUDA graphs come on top up to version
    0.20 and out of the KV cache from 0.21. What does not fit is a result, not an error. Raises `InputError` where
    the parallel degrees do not divide the model, or max_model_len exceeds its context.
    """
    return ledger_by(fitted(), model, device, _of_role(deployment, role))


def ledger_by(
    coefficients: Coefficients, model: ModelSpec, device: DeviceSpec, deployment: DeploymentSpec
) -> MemoryLedger:
    """As `ledger`, with given coefficients, so that a fit can be scored on what it has not seen."""
    check_divisible(model, deployment.parallel)
    _check_length(model, deployment)
    places = (
        Placement(model=model, device=device, deployment=deployment, rank=rank, fitted=coefficients)
        for rank in ranks(model, deployment.parallel)
    )
    return min(map(_rank_ledger, places), key=lambda book: (book.kv_blocks, book.kv_bytes))


def largest_model_len(model: ModelSpec, device: DeviceSpec, deployment: DeploymentSpec, *, role: str = "mixed") -> int:
    """Longest request, in tokens, that the KV cache holds; 0 where the model does not fit, at most its context."""
    engine = deployment.engine.model_copy(update={"max_model_len": None})
    deployment = _of_role(deployment, role).model_copy(update={"engine": engine})
    blocks = ledger_by(fitted(), model, device, deployment).kv_blocks
    layouts = [_layout(model, deployment, rank) for rank in ranks(model, deployment.parallel)]
    low, high = 0, model.max_context_tokens
    while low < high:
        middle = (low + high + 1) // 2
        need = max(layout.blocks_per_request(middle, engine.max_num_batched_tokens) for layout in layouts)
        low, high = (middle, high) if need <= blocks else (low, middle - 1)
    return low


def _of_role(deployment: DeploymentSpec, role: str) -> DeploymentSpec:
    if not isinstance(deployment.roles, Roles) or role == "mixed":
        return deployment
    chosen = deployment.roles.prefill if role == "prefill" else deployment.roles.decode
    return deployment.model_copy(update={"parallel": chosen.parallel})


def _check_length(model: ModelSpec, deployment: DeploymentSpec) -> None:
    asked = deployment.engine.max_model_len
    if asked and asked > model.max_context_tokens:
        raise InputError(
            f"engine.max_model_len {asked} exceeds the {model.max_context_tokens} tokens of {model.name}",
            cure=f"Set it to {model.max_context_tokens} or less.",
        )


def _layout(model: ModelSpec, deployment: DeploymentSpec, rank: Rank) -> BlockLayout:
    return block_layout(model, deployment.engine, deployment.precision.kv_cache, deployment.parallel.tp, rank)


def _rank_ledger(place: Placement) -> MemoryLedger:
    weights = rank_weights(place.model, place.deployment.precision, place.parallel, place.rank)
    missing = unmeasured(place.device, place.deployment)
    found = tuple(items(place, weights, missing))
    total, names = total_bytes(place.device), inside_budget(place.engine.version)
    requested = place.engine.gpu_memory_utilization * total
    kv_bytes = requested - sum(item.bytes for item in found if item.name in names)
    spread = sum((item.high - item.bytes) ** 2 for item in found if item.name in names) ** 0.5
    used = sum(item.bytes for item in found) + max(0.0, kv_bytes)
    cache = _cache_item(kv_bytes, spread, any(item.basis == "assumed" for item in found if item.name in names))
    return MemoryLedger(
        items=(*found, cache), weights=weights, rank=place.rank.index, total_bytes=total, used_bytes=used,
        requested_bytes=requested, kv_bytes=kv_bytes, kv_bytes_low=kv_bytes - spread, kv_bytes_high=kv_bytes + spread,
        evidence=_evidence(kv_bytes, spread, missing), **_capacity(place, kv_bytes, used - total),
    )  # fmt: skip


def _capacity(place: Placement, kv_bytes: float, over_device: float) -> _Capacity:
    """What the cache holds, and whether one longest request and the device's own items fit."""
    layout = _layout(place.model, place.deployment, place.rank)
    length = place.engine.max_model_len or place.model.max_context_tokens
    per_request = layout.blocks_per_request(length, place.engine.max_num_batched_tokens)
    blocks = max(0, int(kv_bytes // layout.bytes_per_block))
    shortfall, reason = _shortfall(per_request * layout.bytes_per_block - kv_bytes, over_device, length)
    return _Capacity(
        kv_blocks=blocks, kv_tokens=layout.tokens(blocks), block_tokens=layout.block_tokens,
        bytes_per_block=layout.bytes_per_block, max_model_len=length, max_concurrency=blocks / per_request,
        fits=shortfall <= 0, shortfall_bytes=shortfall, reason=reason,
    )  # fmt: skip


def _shortfall(request: float, device: float, length: int) -> tuple[float, str]:
    """The larger of what one request of ``length`` tokens lacks and what the device lacks, and which it is."""
    if max(request, device) <= 0:
        return 0.0, "fits"
    if request >= device:
        return request, f"{request / GIB:.2f} GiB are missing to hold the model and one request of {length} tokens"
    return device, f"{device / GIB:.2f} GiB are missing for CUDA context and graphs beside the engine's budget"


def _cache_item(kv_bytes: float, spread: float, assumed: bool) -> MemoryItem:
    low, middle, high = (max(0.0, kv_bytes + side * spread) for side in (-1, 0, 1))
    basis: Basis = "assumed" if assumed else "calibrated"
    return MemoryItem("KV cache", middle, low, high, basis, "what the engine's budget leaves")


def _evidence(kv_bytes: float, spread: float, missing: dict[str, str]) -> tuple[Evidence, ...]:
    measured = memory_table()["measured"]
    source = f"{measured['source']} ({measured['date']})"
    error = spread / kv_bytes if kv_bytes > 0 else None
    own = Evidence(quantity="memory", basis="calibrated", source=source, error=error)
    assumed = assumption(missing)
    return (own, assumed) if assumed else (own,)
