"""What containers used over time, with what they are given now; arrays in memory, from whichever source."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from specs.trace import FloatArray


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a container is given now; None where it is not set or not known."""

    cpu_request_cores: float | None = None
    cpu_limit_cores: float | None = None
    memory_request_bytes: float | None = None
    memory_limit_bytes: float | None = None


@dataclass(frozen=True, kw_only=True)
class Autoscaler:
    """A horizontal autoscaler: CPU target as a share of the request (None: not known), and its bounds."""

    target: float | None = None
    least: int | None = None
    most: int | None = None


@dataclass(frozen=True, kw_only=True)
class ContainerUsage:
    """One container of one workload on a common grid of times (seconds since 1970, rising by ``step_s``).

    ``cpu_cores`` and ``memory_bytes``: [replicas, n], NaN where there is no sample. With ``largest`` there is one row,
    the replica that used most at each moment. ``replicas``: [n] or None. ``killed_s``: when it ran out of memory.
    ``throttled_share``: share of quota periods cut short over the time, where known. ``surge_pods``: replicas that a
    rollout adds (maxSurge), ``away_pods``: that a disruption budget lets go at once; None: not known.
    """

    namespace: str | None
    workload: str
    container: str
    time_s: FloatArray
    step_s: float
    cpu_cores: FloatArray
    memory_bytes: FloatArray
    largest: bool = False
    replicas: FloatArray | None = None
    given: Given = Given()
    autoscaler: Autoscaler | None = None
    killed_s: FloatArray = field(default_factory=lambda: np.empty(0))
    started_s: FloatArray = field(default_factory=lambda: np.empty(0))
    throttled_share: float | None = None
    surge_pods: float | None = None
    away_pods: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """For example `shop/cart:app`."""
        space = f"{self.namespace}/" if self.namespace else ""
        return f"{space}{self.workload}:{self.container}"

    @property
    def days(self) -> float:
        """Days from the first sample to the last; 0 without samples."""
        known = np.isfinite(self.cpu_cores).any(axis=0) | np.isfinite(self.memory_bytes).any(axis=0)
        return float(np.ptp(self.time_s[known]) + self.step_s) / 86_400.0 if known.any() else 0.0

    @property
    def samples(self) -> int:
        """Moments with a sample of CPU use."""
        return int(np.isfinite(self.cpu_cores).any(axis=0).sum())


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Every container of one source, with what could not be had and why."""

    source: str
    containers: tuple[ContainerUsage, ...]
    inputs: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
