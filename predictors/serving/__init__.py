"""The engine model: continuous batching simulated over a trace, driven by a step-time surface."""

from __future__ import annotations

from predictors.serving.engine import (
    ClosedLoop,
    EarlyStop,
    EngineLimits,
    Patience,
    Pool,
    Requests,
    Speculative,
    Transfer,
)
from predictors.serving.simulation import ReplicaTotals, Run, simulate
from predictors.serving.surface import StepSurface, check_surface

__all__ = [
    "ClosedLoop",
    "EarlyStop",
    "EngineLimits",
    "Patience",
    "Pool",
    "ReplicaTotals",
    "Requests",
    "Run",
    "Speculative",
    "StepSurface",
    "Transfer",
    "check_surface",
    "simulate",
]
