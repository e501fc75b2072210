"""Usage of containers made up for the tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from specs.usage import ContainerUsage, Given

STEP_S = 900.0
GIB = 2.0**30


def usage(
    days: float = 8.0, *, cpu: Any = None, memory: Any = None, replicas: int = 1, seed: int = 3, **fields: Any
) -> ContainerUsage:
    """A container with lognormal CPU around 0.2 cores and about half a GiB, unless ``cpu`` and ``memory`` say."""
    rng = np.random.default_rng(seed)
    time_s = 1.8e9 + STEP_S * np.arange(round(days * 86_400 / STEP_S), dtype=np.float64)
    shape = (replicas, len(time_s))
    used = 0.2 * rng.lognormal(0.0, 0.3, shape) if cpu is None else np.broadcast_to(cpu, shape).copy()
    held = 0.5 * GIB + 1e7 * rng.normal(size=shape) if memory is None else np.broadcast_to(memory, shape).copy()
    standing = {"given": Given(cpu_request_cores=1.0, memory_request_bytes=GIB, memory_limit_bytes=GIB)}
    return ContainerUsage(
        namespace="shop", workload="cart", container="app", time_s=time_s, step_s=STEP_S, cpu_cores=used,
        memory_bytes=held, **(standing | fields),
    )  # fmt: skip
