"""The ledger of one GPU: every item of its memory, and what the engine leaves for the KV cache."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from predictors.memory.activations import activation_bytes
from predictors.memory.coefficients import (
    GIB,
    Coefficients,
    assumption,
    fitted,
    graphs_inside_budget,
    memory_table,
    unmeasured,
)
from predictors.memory.kv_cache import BlockLayout, block_layout
from predictors.memory.overheads import context_bytes, graph_bytes, non_torch_bytes, total_bytes
from predictors.memory.sharding import Rank, check_divisible, ranks
from predictors.memory.storage import storage
from predictors.memory.weights import rank_weights
from specs.deployment import DeploymentSpec, Parallel
from specs.device import DeviceSpec
from specs.errors import InputError
from specs.model import ModelSpec
from specs.plan import Evidence
from specs.profile import Basis

UNMEASURED_WIDENS = 3.0  # intervals grow by this where the deployment leaves what was measured [ours, assumed]


@dataclass(frozen=True)
class MemoryItem:
    """One part of a GPU's memory in bytes, with its 90 % interval, basis and source."""

    name: str
    bytes: float
    low: float
    high: float
    basis: Basis
    source: str


@dataclass(frozen=True, kw_only=True)
class MemoryLedger:
    """Memory of the tightest GPU of one replica, in bytes.

    ``requested_bytes`` is the engine's budget, `gpu_memory_utilization` of the device's total; ``kv_bytes`` what the budget leaves
    for the KV cache (negative where nothing is left). ``max_concurrency``: requests of ``max_model_len`` tokens held at once.
    ``shortfall_bytes``: what is missing for one such request, or on the device; 0 where ``fits``. ``weights`` details the first item.
    """

    items: tuple[MemoryItem, ...]
    weights: dict[str, float]
    rank: int
    device_bytes: float
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

    @property
    def total_bytes(self) -> float:
        """Memory of the device as CUDA reports it."""
        return self.device_bytes

    def item(self, name: str) -> MemoryItem:
        """The item called ``name``."""
        return next(item for item in self.items if item.name == name)


def ledger(model: ModelSpec, device: DeviceSpec, deployment: DeploymentSpec, *, role: str = "mixed") -> MemoryLedger:
    """Return the memory of the tightest GPU of ``deployment``, or of its ``role`` ("prefill", "decode") where roles are apart.

    vLLM's rule: KV cache = utilization · total - weights - activation peak - what libraries took meanwhile, on every rank, and the
    smallest number of blocks counts [std: vLLM gpu_worker.py]. CUDA graphs come on top up to 0.20, out of the KV cache from 0.21.
    A model that does not fit is a result (``fits``, ``shortfall_bytes``), not an error. Raises `InputError` where the parallel
    degrees do not divide the model, or max_model_len exceeds its context.
    """
    return ledger_by(fitted(), model, device, _of_role(deployment, role))


def ledger_by(
    coefficients: Coefficients, model: ModelSpec, device: DeviceSpec, deployment: DeploymentSpec
) -> MemoryLedger:
    """As `ledger`, with given coefficients, so that a fit can be scored on what it has not seen."""
    check_divisible(model, deployment.parallel)
    _check_length(model, deployment)
    every = [_rank_ledger(coefficients, model, device, deployment, rank) for rank in ranks(model, deployment.parallel)]
    tightest = min(every, key=lambda one: (one.kv_blocks, one.kv_bytes))
    return tightest


def largest_model_len(model: ModelSpec, device: DeviceSpec, deployment: DeploymentSpec, *, role: str = "mixed") -> int:
    """Longest request, in tokens, that the KV cache holds at once; 0 where the model does not fit, at most its context."""
    deployment = _of_role(deployment, role)
    open_ended = deployment.model_copy(update={"engine": deployment.engine.model_copy(update={"max_model_len": None})})
    book = ledger_by(fitted(), model, device, open_ended)
    layouts = [_layout(model, open_ended, rank) for rank in ranks(model, open_ended.parallel)]
    chunk, low, high = open_ended.engine.max_num_batched_tokens, 0, model.max_context_tokens
    while low < high:
        middle = (low + high + 1) // 2
        fits = all(layout.blocks_per_request(middle, chunk) <= book.kv_blocks for layout in layouts)
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def _of_role(deployment: DeploymentSpec, role: str) -> DeploymentSpec:
    if deployment.roles == "mixed" or role == "mixed":
        return deployment
    parallel: Parallel = getattr(deployment.roles, role).parallel
    return deployment.model_copy(update={"parallel": parallel})


def _check_length(model: ModelSpec, deployment: DeploymentSpec) -> None:
    asked = deployment.engine.max_model_len
    if asked and asked > model.max_context_tokens:
        raise InputError(
            f"engine.max_model_len {asked} exceeds the {model.max_context_tokens} tokens of {model.name}",
            cure=f"Set it to {model.max_context_tokens} or less.",
        )


def _layout(model: ModelSpec, deployment: DeploymentSpec, rank: Rank) -> BlockLayout:
    return block_layout(model, deployment.engine, deployment.precision.kv_cache, deployment.parallel.tp, rank)


def _rank_ledger(
    coefficients: Coefficients, model: ModelSpec, device: DeviceSpec, deployment: DeploymentSpec, rank: Rank
) -> MemoryLedger:
    weights = rank_weights(model, deployment.precision, deployment.parallel, rank)
    missing = unmeasured(device, deployment)
    items = tuple(_items(coefficients, model, device, deployment, rank, sum(weights.values()), missing))
    total = total_bytes(device)
    requested = deployment.engine.gpu_memory_utilization * total
    inside = [item for item in items if item.name in _inside_budget(deployment)]
    kv_bytes = requested - sum(item.bytes for item in inside)
    spread = sum((item.high - item.bytes) ** 2 for item in inside) ** 0.5
    outside = sum(item.bytes for item in items if item not in inside)
    return _close(model, deployment, rank, items, weights, total, requested, kv_bytes, spread, outside, missing)


def _close(
    model: ModelSpec, deployment: DeploymentSpec, rank: Rank, items: tuple[MemoryItem, ...], weights: dict[str, float],
    total: float, requested: float, kv_bytes: float, spread: float, outside: float, missing: tuple[str, ...],
) -> MemoryLedger:  # fmt: skip
    layout = _layout(model, deployment, rank)
    length = deployment.engine.max_model_len or model.max_context_tokens
    per_request = layout.blocks_per_request(length, deployment.engine.max_num_batched_tokens)
    blocks = max(0, int(kv_bytes // layout.bytes_per_block))
    used = requested + outside if kv_bytes >= 0 else requested - kv_bytes + outside
    shortfall, reason = _shortfall(per_request * layout.bytes_per_block - kv_bytes, used - total, length)
    cache = MemoryItem(
        "KV cache", max(0.0, kv_bytes), max(0.0, kv_bytes - spread), max(0.0, kv_bytes + spread),
        "calibrated", "what the budget leaves",
    )  # fmt: skip
    return MemoryLedger(
        items=(*items, cache), weights=weights, rank=rank.index, device_bytes=total, used_bytes=used, requested_bytes=requested,
        kv_bytes=kv_bytes, kv_bytes_low=kv_bytes - spread, kv_bytes_high=kv_bytes + spread, kv_blocks=blocks,
        kv_tokens=layout.tokens(blocks), block_tokens=layout.block_tokens, bytes_per_block=layout.bytes_per_block,
        max_model_len=length, max_concurrency=blocks / per_request, fits=shortfall <= 0, shortfall_bytes=max(0.0, shortfall),
        reason=reason, evidence=_evidence(kv_bytes, spread, missing),
    )  # fmt: skip


def _shortfall(request: float, device: float, length: int) -> tuple[float, str]:
    """The larger of what one request of ``length`` tokens lacks and what the device lacks, and which it is."""
    if max(request, device) <= 0:
        return 0.0, "fits"
    if request >= device:
        return request, f"the KV cache lacks {request / GIB:.2f} GiB for one request of {length} tokens"
    return device, f"the device lacks {device / GIB:.2f} GiB for CUDA context and graphs beside the engine's budget"


def _inside_budget(deployment: DeploymentSpec) -> tuple[str, ...]:
    base = ("weights", "activations", "non-torch")
    return (*base, "CUDA graphs") if graphs_inside_budget(deployment.engine.version) else base


def _items(
    coefficients: Coefficients, model: ModelSpec, device: DeviceSpec, deployment: DeploymentSpec, rank: Rank,
    weights: float, missing: tuple[str, ...],
) -> Iterator[MemoryItem]:  # fmt: skip
    engine, parallel = deployment.engine, deployment.parallel
    errors, measured = memory_table()["errors_gib"], str(memory_table()["measured"]["source"])
    spread = weights * float(memory_table()["weights_error"])
    yield MemoryItem(
        "weights", weights, weights - spread, weights + spread, "datasheet", f"tensors of {model.name}: {model.source}"
    )
    activations = activation_bytes(
        model, device, engine, parallel, rank, storage(model, deployment.precision), coefficients
    )
    found = {
        "activations": (activations, errors["activations"]),
        "non-torch": (non_torch_bytes(parallel, coefficients), errors["non_torch"]),
        "CUDA context": (context_bytes(parallel, coefficients), errors["context"]),
        "CUDA graphs": (graph_bytes(model.architecture, engine, rank, coefficients), errors["graphs"]),
    }
    for name, (size, error) in found.items():
        half = error * GIB * (UNMEASURED_WIDENS if missing else 1.0)
        basis: Basis = "assumed" if missing else "calibrated"
        yield MemoryItem(name, size, max(0.0, size - half), size + half, basis, measured)


def _evidence(kv_bytes: float, spread: float, missing: tuple[str, ...]) -> tuple[Evidence, ...]:
    measured = memory_table()["measured"]
    error = spread / kv_bytes if kv_bytes > 0 else None
    own = Evidence(
        quantity="memory", basis="calibrated", source=f"{measured['source']} ({measured['date']})", error=error
    )
    assumed = assumption(missing)
    return (own, assumed) if assumed else (own,)
