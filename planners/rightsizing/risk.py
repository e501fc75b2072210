"""What requests and limits would have done on samples: time above them, at the limit, and with one replica lost."""

from __future__ import annotations

import numpy as np

from planners.rightsizing.settings import DAY_S, GIB
from specs.rightsizing import ContainerResources, Risk
from specs.trace import FloatArray
from specs.usage import ContainerUsage


def replicas_of(usage: ContainerUsage) -> float:
    """Return the mean number of replicas; 1 where nothing says it."""
    if usage.replicas is not None and np.isfinite(usage.replicas).any():
        return float(np.nanmean(usage.replicas))
    there = np.isfinite(usage.cpu_cores).sum(axis=0)
    return float(there[there > 0].mean()) if (there > 0).any() else 1.0


def with_some_away(usage: ContainerUsage) -> float | None:
    """Return by how much the others' load grows when as many replicas are away as may be; None: none would be left.

    One, or what a disruption budget lets go at once where that is more.
    """
    count, away = replicas_of(usage), max(1.0, usage.away_pods or 1.0)
    return count / (count - away) if round(count) > away else None


def share_above(values: FloatArray, limit: float) -> float:
    """Return the share of the known ``values`` above ``limit``."""
    known = values[np.isfinite(values)]
    return float((known > limit).mean()) if len(known) else 0.0


def risk_of(usage: ContainerUsage, given: ContainerResources) -> Risk:
    """Return the risk that ``given`` would have been on the samples of ``usage``."""
    cpu, memory = usage.cpu_cores, usage.memory_bytes
    request = given.cpu_request_cores or 0.0
    grown = with_some_away(usage)
    lost = None if grown is None else share_above(cpu * grown, request)
    limit = given.memory_limit_gib
    return Risk(
        above_cpu_request=share_above(cpu, request),
        above_memory_request=share_above(memory, (given.memory_request_gib or 0.0) * GIB),
        throttled=None if given.cpu_limit_cores is None else share_above(cpu, given.cpu_limit_cores),
        above_cpu_request_one_lost=lost,
        memory_limit_reached=None if limit is None else _days_above(memory, usage.time_s, limit * GIB),
    )


def _days_above(values: FloatArray, time_s: FloatArray, limit: float) -> float:
    known = np.isfinite(values).any(axis=0)
    if not known.any():
        return 0.0
    day = np.floor(time_s / DAY_S)
    above = (np.nan_to_num(values, nan=-np.inf) > limit).any(axis=0)
    return float(len(np.unique(day[above])) / len(np.unique(day[known])))
