"""A published closed-loop point: one configuration under a fixed concurrency, with its measured TTFT and TPOT."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class RolePoint:
    """One role of a disaggregated point: its tensor parallelism, its workers and their batch (0: not stated)."""

    tp: int
    workers: int = 1
    batch: int = 0


@dataclass(frozen=True, kw_only=True)
class PointRow:
    """One row of a table of points.

    ``isl`` and ``osl`` are prompt and output tokens, ``concurrency`` the requests in flight over all replicas;
    ``ttft_s`` and ``tpot_s`` are the measured means, None where the row gives none. What a row leaves out is None:
    ``prompts_per_concurrency`` and ``length_spread`` (lowest and highest length as shares of ISL and OSL) describe the
    harness. ``columns`` are the row's cells as they stand.
    """

    row: int
    model: str
    isl: int
    osl: int
    concurrency: int
    precision: str = "bf16"
    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int = 1
    moe_tp: int = 1
    engine: str | None = None
    engine_version: str | None = None
    prefill: RolePoint | None = None
    decode: RolePoint | None = None
    prompts_per_concurrency: float | None = None
    length_spread: tuple[float, float] | None = None
    ttft_s: float | None = None
    tpot_s: float | None = None
    columns: dict[str, str | int | float] = field(default_factory=dict)
