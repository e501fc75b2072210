"""Leaves each device out of the fit and predicts its projection products from the datasheet, and from two measured
anchors.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.fit_gemms import fit_gemm, log_ratio
from benchmarks.line import Line, Result
from benchmarks.operator_tables import Gemms, gemm_tables, selected, thinned
from predictors.step_time.roofline.coefficients import GemmCoefficients
from predictors.step_time.roofline.gemm import anchors_from_gemms
from predictors.step_time.roofline.rates import Anchors
from specs.catalog import find_device

LINE = Line(
    name="unseen-device",
    what="a device that no fit has seen: sum of the projection products, m ≤ 4096, 16-bit, median error; "
    "from the datasheet alone, and with two measured anchors",
    bar="mean ≤ 12 %, worst ≤ 20 %; anchored mean ≤ 6 %, worst ≤ 10 %",
    data="op_profiles: vidur_mlp_a40/a100, llmservingsim_v0 A6000 and RTX3090, llmservingsim_RTXPRO6000_dense, "
    "aiconfigurator_h100_sxm gemm of three engines",
    best="a smooth roofline: 12 / 23 %; 6 / 12 %",
)
_ANCHOR_WEIGHTS = (
    2**24
)  # products of 16 Mi weights and more are anchors: 32 MiB at 16 bits, beyond the L2 cache of most


def run() -> Result:
    """Predict each device by coefficients fitted on the other five."""
    tables = gemm_tables()
    rows: list[dict[str, object]] = []
    for device in dict.fromkeys(table.device for table in tables):
        fitted = fit_gemm([table for table in tables if table.device != device])
        rows += [_score(table, fitted) for table in tables if table.device == device]
    plain, anchored = _by_device(rows, "error"), _by_device(rows, "anchored_error")
    figures = {
        "mean": float(np.mean(plain)), "worst": max(plain),
        "anchored_mean": float(np.mean(anchored)), "anchored_worst": max(anchored),
    }  # fmt: skip
    holds = (
        figures["mean"] <= 0.12
        and figures["worst"] <= 0.20
        and figures["anchored_mean"] <= 0.06
        and figures["anchored_worst"] <= 0.10
    )
    text = (
        f"mean {figures['mean']:.1%}, worst {figures['worst']:.1%}; "
        f"anchored mean {figures['anchored_mean']:.1%}, worst {figures['anchored_worst']:.1%}"
    )
    return Result(holds=holds, text=text, figures=figures, detail=tuple(rows), notes=_NOTES)


_NOTES = (
    "H100 counts once: the mean of its three engines' tables.",
    "The law's structure and priors were chosen with these six devices in view; each row's coefficients were not.",
    "Anchors: medians over products of 16 Mi weights and more, at the largest and smallest m, which are not scored.",
)


def measured_anchors(table: Gemms, fitted: GemmCoefficients) -> tuple[Anchors, npt.NDArray[np.bool_]]:
    """The table's two anchors, and the mask of the rows that they were taken from."""
    device = find_device(table.device)
    heavy = table.n * table.k >= _ANCHOR_WEIGHTS
    large, few = heavy & (table.m == table.m.max()), heavy & (table.m == table.m.min())
    stream = _product(table, np.flatnonzero(few)[np.argmax(table.n[few] * table.k[few])])
    tflops = [
        anchors_from_gemms(device, _product(table, i), stream, fitted=fitted).tflops for i in np.flatnonzero(large)
    ]
    compute = _product(table, np.flatnonzero(large)[0])
    rates = [
        anchors_from_gemms(device, compute, _product(table, i), fitted=fitted).gb_per_s for i in np.flatnonzero(few)
    ]
    return Anchors(tflops=float(np.median(tflops)), gb_per_s=float(np.median(rates))), large | few


def _product(table: Gemms, i: np.intp) -> tuple[int, int, int, float]:
    return int(table.m[i]), int(table.n[i]), int(table.k[i]), float(table.seconds[i])


def _score(table: Gemms, fitted: GemmCoefficients) -> dict[str, object]:
    """Median errors of one table, over all its token counts and over token counts spaced evenly on a log axis."""
    anchors, used = measured_anchors(table, fitted)
    unused = selected(table, ~np.isin(table.group, table.group[used]))
    return {
        "device": table.device, "source": table.source,
        "error": _median(log_ratio(table, fitted)), "error_log_m": _median(log_ratio(thinned(table), fitted)),
        "anchored_error": _median(log_ratio(unused, fitted, anchors)),
        "anchored_error_log_m": _median(log_ratio(thinned(unused), fitted, anchors)),
        "bias": float(np.expm1(np.median(log_ratio(table, fitted)))),
        "p90": float(np.quantile(np.abs(np.expm1(log_ratio(table, fitted))), 0.9)),
        "anchor_tflops": anchors.tflops, "anchor_gb_per_s": anchors.gb_per_s,
    }  # fmt: skip


def _median(log_ratios: npt.NDArray[np.float64]) -> float:
    return float(np.median(np.abs(np.expm1(log_ratios))))


def _by_device(rows: list[dict[str, object]], key: str) -> list[float]:
    devices = dict.fromkeys(str(row["device"]) for row in rows)
    return [float(np.mean([float(str(row[key])) for row in rows if row["device"] == device])) for device in devices]
