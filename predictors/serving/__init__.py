"""The engine model: continuous batching simulated over a trace, driven by a step-time surface."""

from __future__ import annotations

from predictors.serving.arrivals import (
    constant_lengths,
    gamma_arrivals,
    histogram_lengths,
    lognormal_lengths,
    series_arrivals,
    synthesize,
    uniform_lengths,
)
from predictors.serving.control import Control, Window
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
from predictors.serving.measures import Distribution, Estimate, Measures, attained, measure
from predictors.serving.simulation import ReplicaTotals, Run, gap_edges_s, simulate
from predictors.serving.surface import StepSurface, check_surface, scaled_surface

__all__ = [
    "ClosedLoop",
    "Control",
    "Distribution",
    "EarlyStop",
    "EngineLimits",
    "Estimate",
    "Measures",
    "Patience",
    "Pool",
    "ReplicaTotals",
    "Requests",
    "Run",
    "Speculative",
    "StepSurface",
    "Transfer",
    "Window",
    "attained",
    "check_surface",
    "constant_lengths",
    "gamma_arrivals",
    "gap_edges_s",
    "histogram_lengths",
    "lognormal_lengths",
    "measure",
    "scaled_surface",
    "series_arrivals",
    "simulate",
    "synthesize",
    "uniform_lengths",
]
