"""Fits host time to published points per engine and version, and predicts every group by fits that left it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from benchmarks.published_points import Published
from benchmarks.reference import reference_path
from predictors.points import Point, PointPrediction, predict_point
from predictors.step_time.host import HostTime
from profilers.importers import aiconfigurator
from specs.base import Precision
from specs.catalog import find_device
from specs.model import ModelSpec
from specs.profile import LayerProfileSpec

FloatArray = npt.NDArray[np.float64]

# base ms, µs per sequence, µs saved per layer, µs more per quantised layer: start of every fit, steps and bounds.
START = np.array([1.5, 20.0, 10.0, 15.0])
STEPS = np.array([0.4, 8.0, 4.0, 6.0])
LOW, HIGH = np.zeros(4), np.array([6.0, 120.0, 60.0, 80.0])
PRIOR = np.array([1.5, 25.0, 10.0, 15.0])  # one standard deviation of a weak prior around START, worth one point


@dataclass(frozen=True)
class Fold:
    """A published point and its prediction by a fit that has not seen its group."""

    published: Published
    prediction: PointPrediction


@lru_cache(maxsize=32)
def h100_profile(model: ModelSpec, engine: str, weights: Precision, kv_cache: Precision) -> LayerProfileSpec:
    """The H100 kernel tables of the engine at this model's shapes."""
    device = find_device("h100-sxm")
    return aiconfigurator.read(
        [reference_path("op_profiles")], device=device, model=model, engine=engine, weights=weights, kv_cache=kv_cache
    )


def database(point: Point) -> LayerProfileSpec:
    """Evidence of the database tier."""
    return h100_profile(point.model, point.engine, point.precision, point.kv_precision)


def host_of(values: FloatArray) -> HostTime:
    """A host time from fitted values."""
    return HostTime(
        base_s=values[0] * 1e-3, per_sequence_s=values[1] * 1e-6, saved_us_per_layer=float(values[2]),
        saved_us_per_quantised_layer=float(values[3]), source="fitted",
    )  # fmt: skip


def predict(published: Published, values: FloatArray) -> PointPrediction:
    """Predict one point from the kernel tables with that host time."""
    device = find_device("h100-sxm")
    return predict_point(
        published.point, device=device, evidence=database, harness=published.harness, host=host_of(values)
    )


def fit(points: Sequence[Published]) -> FloatArray:
    """Fitted values over all points of one engine and version, by two Gauss–Newton steps on the log of TPOT."""
    values = START
    for _ in range(2):
        values = _solve(values, *_linearised(points, values))
    return values


def out_of_fold(points: Sequence[Published]) -> list[Fold]:
    """Each group (line, ISL, OSL) predicted by a fit on the other groups of its engine and version.

    The model is linearised once, at the fit over all groups; each fold solves its own least squares from there.
    """
    centre = fit(points)
    residual, slope = _linearised(points, centre)
    groups = np.array([one.group for one in points])
    folds: list[Fold] = []
    for group in sorted(set(groups)):
        kept = groups != group
        values = _solve(centre, residual[kept], slope[kept]) if kept.any() else START
        folds += [Fold(one, predict(one, values)) for one, held in zip(points, ~kept, strict=True) if held]
    return folds


def _linearised(points: Sequence[Published], values: FloatArray) -> tuple[FloatArray, FloatArray]:
    residual = _residuals(points, values)
    columns = []
    for i, step in enumerate(STEPS):
        moved = values.copy()
        moved[i] += step
        columns.append((_residuals(points, moved) - residual) / step)
    return residual, np.stack(columns, axis=1)


def _residuals(points: Sequence[Published], values: FloatArray) -> FloatArray:
    predicted = np.array([predict(one, values).tpot_ms for one in points])
    measured = np.array([one.point.measured_tpot_ms for one in points])
    found: FloatArray = np.log(predicted / measured)
    return found


def _solve(values: FloatArray, residual: FloatArray, slope: FloatArray) -> FloatArray:
    """The values with the smallest robust residual of the linear model, held loosely near START by a weak prior."""

    def cost(x: FloatArray) -> FloatArray:
        prior = 0.1 * (x - START) / PRIOR
        stacked: FloatArray = np.r_[residual + slope @ (x - values), prior]
        return stacked

    start = np.clip(values, LOW + 1e-3, HIGH - 1e-3)
    found = least_squares(cost, start, bounds=(LOW, HIGH), loss="soft_l1", f_scale=0.05)
    return np.asarray(found.x, dtype=np.float64)
