"""What would happen if a deployment ran: estimates that are printed as a table, YAML or JSON."""

from __future__ import annotations

from typing import Literal

from specs.base import Document, Spec
from specs.deployment import Parallel
from specs.plan import Evidence
from specs.profile import Basis


class MemoryFigure(Spec):
    """One part of a GPU's memory in GiB (2³⁰ bytes), with its 90 % interval, basis and source."""

    name: str
    gib: float
    low_gib: float
    high_gib: float
    basis: Basis
    source: str


class GpuMemory(Spec):
    """Memory of the tightest GPU of one role.

    ``budget_gib`` is what the engine may take, ``used_gib`` what is taken of the device's ``total_gib``.
    ``max_concurrency``: requests of ``max_model_len`` tokens that the KV cache holds at once.
    ``largest_model_len``: longest request that it holds. ``shortfall_gib``: what is missing, 0 where it fits.
    """

    role: Literal["mixed", "prefill", "decode"]
    parallel: Parallel
    pipeline_rank: int
    total_gib: float
    budget_gib: float
    used_gib: float
    items: tuple[MemoryFigure, ...]
    weights_gib: dict[str, float]  # the first item in detail
    kv_blocks: int
    kv_block_tokens: int
    kv_bytes_per_block: int
    kv_bytes_per_token: float
    kv_tokens: int
    max_model_len: int
    max_concurrency: float
    largest_model_len: int
    fits: bool
    shortfall_gib: float
    reason: str


class MemoryEstimate(Document):
    """The memory ledger of a deployment: one GPU of each role."""

    kind: Literal["MemoryEstimate"] = "MemoryEstimate"
    model: str
    device: str
    gpus: tuple[GpuMemory, ...]
    evidence: tuple[Evidence, ...] = ()
