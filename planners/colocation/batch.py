"""What Koordinator lets best-effort pods use on a node, and the chance that a node's pods want more than it has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from specs.cluster import CpuPool

Policy = Literal["usage", "request", "maxUsageRequest"]
POLICIES: tuple[Policy, ...] = ("usage", "request", "maxUsageRequest")
CPU_RECLAIM, MEMORY_RECLAIM = 0.60, 0.65
"""Reclaim thresholds, Koordinator's defaults. [code: koordinator a7a1b76b, noderesource/plugins/util]"""


def batch(
    capacity: float, reclaim: float, system: float, policy: Policy, used: Sequence[float], requested: Sequence[float]
) -> float:  # fmt: skip
    """Return the batch capacity of one resource of a node, in its unit.

    With S = capacity · (1 − reclaim) the safety margin and sums over the pods that are not best-effort:
    usage max(0, C − S − system − Σ used), request max(0, C − S − system − Σ requested), maxUsageRequest
    max(0, C − S − system − Σ max(used, requested)). [code: koordinator a7a1b76b]
    """
    taken = {
        "usage": sum(used),
        "request": sum(requested),
        "maxUsageRequest": sum(max(pair) for pair in zip(used, requested, strict=True)),
    }[policy]
    return max(0.0, capacity - capacity * (1.0 - reclaim) - system - taken)


def batch_of(
    pool: CpuPool, policy: Policy, used: Sequence[tuple[float, float]], requested: Sequence[tuple[float, float]]
) -> tuple[float, float]:
    """Return batch CPU (cores) and memory (GiB) of a node of ``pool`` with pods that use and request (cores, GiB)."""
    cpu = batch(
        pool.cpu_cores, CPU_RECLAIM, pool.system_cpu_cores, policy, [u[0] for u in used], [r[0] for r in requested]
    )
    memory = batch(
        pool.memory_gib, MEMORY_RECLAIM, pool.system_memory_gib, policy, [u[1] for u in used], [r[1] for r in requested]
    )
    return cpu, memory


def risk(room: float, mean: float, deviation: float) -> float:
    """Return the chance that a normal demand of ``mean`` and ``deviation`` exceeds ``room``. [std]"""
    if deviation <= 0:
        return float(mean > room)
    return 0.5 * math.erfc((room - mean) / (deviation * math.sqrt(2.0)))
