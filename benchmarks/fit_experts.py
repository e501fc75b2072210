"""Fits the kernels of routed experts, each over the models of its tables left out in turn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.expert_tables import KERNELS, ExpertTable, Kernel, h100_tables, pro_table
from predictors.step_time.roofline.coefficients import ExpertCoefficients, ExpertKernel, GemmCoefficients
from predictors.step_time.roofline.experts import touched_experts_s
from specs.catalog import find_device

FloatArray = npt.NDArray[np.float64]
ROWS_PER_TABLE = 300  # drawn from each model's table, seed 0: enough for four coefficients
_START, _LOW, _HIGH = (30.0, 1.0, 1500.0, 2.0), (0.0, 0.3, 50.0, 1.0), (200.0, 1.3, 10000.0, 8.0)
_SCALE = (10.0, 0.1, 300.0, 1.0)


def log_ratio(table: ExpertTable, kernel: Kernel, fitted: ExpertKernel, rates: GemmCoefficients) -> FloatArray:
    """Log of predicted over measured seconds of a layer's experts."""
    found = touched_experts_s(
        find_device(table.device), table.rows, table.touched, table.hidden, table.intermediate,
        kernels=kernel.kernels, precision=kernel.precision, block_scaled=kernel.block_scaled,
        fitted=ExpertCoefficients(kernels={kernel.name: fitted}), rates=rates,
    )  # fmt: skip
    ratio: FloatArray = np.log(found / table.seconds)
    return ratio


def fit_kernel(tables: Sequence[ExpertTable], kernel: Kernel, rates: GemmCoefficients) -> ExpertKernel:
    """Coefficients of one kernel from ``tables``, models weighing alike."""
    from scipy.optimize import least_squares

    drawn = [_drawn(table) for table in tables]

    def residuals(x: FloatArray) -> FloatArray:
        parts = (log_ratio(t, kernel, _named(x), rates) / np.sqrt(t.seconds.size) for t in drawn)
        return np.concatenate(list(parts))

    found = least_squares(
        residuals, _START, bounds=(_LOW, _HIGH), loss="soft_l1", f_scale=0.1 / np.sqrt(ROWS_PER_TABLE), x_scale=_SCALE
    )
    return _named(found.x)


def fit_experts(rates: GemmCoefficients) -> ExpertCoefficients:
    """All kernels, from all tables."""
    return ExpertCoefficients(kernels={k.name: fit_kernel(tables_of(k), k, rates) for k in KERNELS})


def tables_of(kernel: Kernel) -> list[ExpertTable]:
    """The tables that a kernel is fitted on: H100's, and RTX PRO 6000's where the kernel is the same."""
    return [*h100_tables(kernel), *([pro_table()] if kernel.name == "triton-bf16" else [])]


def experts_left_out(rates: GemmCoefficients) -> dict[str, list[FloatArray]]:
    """By kernel, the log ratios of each model's table (or other device's) by coefficients fitted on the others."""
    return {kernel.name: _left_out(tables_of(kernel), kernel, rates) for kernel in KERNELS}


def _left_out(tables: list[ExpertTable], kernel: Kernel, rates: GemmCoefficients) -> list[FloatArray]:
    pooled = []
    for held in tables:
        fitted = fit_kernel([table for table in tables if table is not held], kernel, rates)
        pooled.append(log_ratio(held, kernel, fitted, rates))
    return pooled


def _named(x: FloatArray) -> ExpertKernel:
    launch_us, bandwidth_share, flop_per_clock_sm, sharpness = (float(value) for value in x)
    return ExpertKernel(
        launch_us=launch_us, bandwidth_share=bandwidth_share, flop_per_clock_sm=flop_per_clock_sm, sharpness=sharpness
    )  # fmt: skip


def _drawn(table: ExpertTable) -> ExpertTable:
    kept = np.random.default_rng(0).permutation(table.seconds.size)[:ROWS_PER_TABLE]
    return ExpertTable(
        device=table.device, model=table.model, hidden=table.hidden, rows=table.rows[kept],
        touched=table.touched[kept], intermediate=table.intermediate[kept], seconds=table.seconds[kept],
    )  # fmt: skip


__all__ = ["experts_left_out", "fit_experts", "fit_kernel", "log_ratio", "tables_of"]
