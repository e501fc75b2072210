"""Fits the coefficients that matrix products share on every device, each device weighing the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, fields

import numpy as np
import numpy.typing as npt

from benchmarks.operator_tables import Gemms, group_sums, thinned
from predictors.step_time.roofline.coefficients import GemmCoefficients
from predictors.step_time.roofline.gemm import products_s
from predictors.step_time.roofline.rates import Anchors, memory_gb_per_s, tensor_tflops
from specs.catalog import find_device

FloatArray = npt.NDArray[np.float64]

# Prior mean and standard deviation of each coefficient [ours]: what CUTLASS, cuBLAS and stream benchmarks show in
# general; an ECC word of 32 bytes per 256 costs 1/9 of the bus. Five devices do not determine every coefficient;
# these hold the rest.
PRIOR = GemmCoefficients(
    tensor_ceiling=0.95, watts_per_tflop=0.8, hbm=0.85, gddr=0.9, inline_ecc=8 / 9, launch_us=4.0, sharpness=3.0,
    tile_overhead=0.4, prologue_k=32.0, split_k=0.2,
)  # fmt: skip
PRIOR_SD = GemmCoefficients(
    tensor_ceiling=0.1, watts_per_tflop=0.2, hbm=0.04, gddr=0.04, inline_ecc=0.05, launch_us=1.5, sharpness=1.0,
    tile_overhead=0.3, prologue_k=32.0, split_k=0.2,
)  # fmt: skip
_LOW = (0.5, 0.2, 0.5, 0.5, 0.6, 0.0, 1.2, 0.0, 0.0, 0.0)
_HIGH = (1.1, 3.0, 1.0, 1.0, 1.0, 12.0, 6.0, 1.0, 300.0, 3.0)
DEVICE_SD = 0.05  # how far a device as a whole may differ from the shared law, as a log ratio


def predicted_sums(table: Gemms, fitted: GemmCoefficients, anchors: Anchors | None = None) -> FloatArray:
    """Predicted seconds of each group of projections."""
    device = find_device(table.device)
    tflops, gb_per_s = tensor_tflops(device, "bf16", fitted, anchors), memory_gb_per_s(device, fitted, anchors)
    n, k = table.n.astype(np.float64), table.k.astype(np.float64)
    return group_sums(table, products_s(table.m, n, k, 2.0, device.sm_count, tflops, gb_per_s, fitted))


def log_ratio(table: Gemms, fitted: GemmCoefficients, anchors: Anchors | None = None) -> FloatArray:
    """Log of predicted over measured, by group."""
    ratio: FloatArray = np.log(predicted_sums(table, fitted, anchors) / group_sums(table, table.seconds))
    return ratio


def fit_gemm(tables: Sequence[Gemms]) -> GemmCoefficients:
    """Maximum a posteriori coefficients; each device weighs the same, whatever the number of its tables and rows."""
    from scipy.optimize import least_squares

    thin = [thinned(table) for table in tables]
    per_device = {t.device: sum(other.device == t.device for other in thin) for t in thin}
    mean, sd = np.array(astuple(PRIOR)), np.array(astuple(PRIOR_SD))

    def residuals(x: FloatArray) -> FloatArray:
        fitted = _gemm(x)
        weights = [DEVICE_SD * np.sqrt((t.group.max() + 1) * per_device[t.device]) for t in thin]
        parts = [log_ratio(t, fitted) / weight for t, weight in zip(thin, weights, strict=True)]
        return np.concatenate([*parts, (x - mean) / sd])

    found = least_squares(
        residuals, mean, bounds=(_LOW, _HIGH), loss="soft_l1", f_scale=0.5, diff_step=[1e-2] * mean.size
    )
    return _gemm(found.x)


def _gemm(x: FloatArray) -> GemmCoefficients:
    names = (field.name for field in fields(GemmCoefficients))
    return GemmCoefficients(**{name: float(value) for name, value in zip(names, x, strict=True)})
