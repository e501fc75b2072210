"""Latency against load of one service, fitted: loads gathered, the form chosen, its error told."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from solvers.latency_curves import LatencyCurve, fit
from specs.application import LatencyCurveSpec, LoadPoint, Quantity

QUANTILES: dict[Quantity, float | None] = {"mean": None, "p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
MOST_LOADS = 24
"""More loads than this are gathered into as many groups of neighbours, by their medians: a fit needs no more."""


def fit_curves(points: Sequence[LoadPoint]) -> tuple[tuple[LatencyCurveSpec, ...], list[str]]:
    """Fit one curve per quantity that the points have; notes name those that could not be fitted, and why."""
    curves, notes = [], []
    for quantity in QUANTILES:
        given = [(one.rate_per_s, one.latency_s[quantity]) for one in points if quantity in one.latency_s]
        loads, latencies = gathered(given)
        if loads.size >= 2:
            curves.append(_curve(quantity, loads, latencies))
        elif given:
            notes.append(f"{quantity} against load: one load only, a curve needs two")
    return tuple(curves), notes


def gathered(points: Sequence[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Return loads, rising and distinct, and the latency at each: means of equal loads, medians of groups."""
    if not points:
        return np.empty(0), np.empty(0)
    ordered = np.array(sorted(points))
    loads = np.unique(ordered[:, 0])
    if loads.size <= MOST_LOADS:
        return loads, np.array([ordered[ordered[:, 0] == load, 1].mean() for load in loads])
    groups = np.array_split(ordered, MOST_LOADS)
    medians = np.array([np.median(group, axis=0) for group in groups])
    kept, first = np.unique(medians[:, 0], return_index=True)
    return kept, medians[first, 1]


def _curve(quantity: Quantity, loads: np.ndarray, latencies: np.ndarray) -> LatencyCurveSpec:
    found: LatencyCurve = fit(loads, latencies, QUANTILES[quantity])
    return LatencyCurveSpec.model_validate(
        {
            "quantity": quantity, "form": found.form, "parameters": found.parameters, "knots": found.knots,
            "low_per_s": float(loads.min()), "high_per_s": float(loads.max()), "loads": int(loads.size),
            "error": found.error if math.isfinite(found.error) else None,
            "errors": {form: error for form, error in found.errors.items() if math.isfinite(error)},
        }
    )  # fmt: skip
