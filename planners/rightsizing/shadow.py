"""The recommendation from earlier history, held against the last days, before anything is applied."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from planners.rightsizing.deciding import decide, refusal
from planners.rightsizing.estimates import needs, steady
from planners.rightsizing.risk import risk_of
from planners.rightsizing.settings import DAY_S, GIB, Settings
from specs.rightsizing import Shadow
from specs.trace import FloatArray
from specs.usage import ContainerUsage

BoolArray = npt.NDArray[np.bool_]
SLACK = 2.0
"""CPU may be above the request for so many times the share that was accepted before a shadow fails (ours)."""


def shadow_of(usage: ContainerUsage, settings: Settings) -> Shadow | None:
    """Return how the recommendation of the days before would have done in the last ``shadow_days``; None: too short."""
    turn_s = usage.time_s[-1] - settings.shadow_days * DAY_S
    before, after = _cut(usage, usage.time_s <= turn_s), _cut(usage, usage.time_s > turn_s)
    if refusal(before, settings) is not None or not after.samples or not np.isfinite(after.memory_bytes).any():
        return None
    samples = steady(before)
    new = decide(before, samples, needs(before, samples, settings.method, settings), settings).recommended
    assert new is not None
    assert new.cpu_request_cores is not None
    assert new.memory_limit_gib is not None
    risk = risk_of(after, new)
    high_gib = float(np.nanmax(after.memory_bytes)) / GIB
    accepted = SLACK * (1.0 - settings.share)
    return Shadow(
        days=round(after.days, 2), risk=risk, cpu_request_cores=new.cpu_request_cores,
        cpu_used_p95_cores=float(np.nanquantile(after.cpu_cores, 0.95)),
        memory_limit_gib=new.memory_limit_gib, memory_used_high_gib=high_gib,
        held=high_gib <= new.memory_limit_gib and risk.above_cpu_request <= accepted,
    )  # fmt: skip


def _cut(usage: ContainerUsage, kept: BoolArray) -> ContainerUsage:
    time_s = usage.time_s[kept]

    def inside(events_s: FloatArray) -> FloatArray:
        return events_s[(events_s >= time_s[0]) & (events_s <= time_s[-1])] if len(time_s) else np.empty(0)

    return dataclasses.replace(
        usage, time_s=time_s, cpu_cores=usage.cpu_cores[:, kept], memory_bytes=usage.memory_bytes[:, kept],
        replicas=None if usage.replicas is None else usage.replicas[kept],
        killed_s=inside(usage.killed_s), started_s=inside(usage.started_s),
    )  # fmt: skip
