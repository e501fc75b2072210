"""Time of the grouped matrix products of a mixture of experts, from the experts that a batch touches and their
imbalance.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from predictors.step_time.roofline.coefficients import ExpertCoefficients, GemmCoefficients, coefficients
from predictors.step_time.roofline.gemm import tile_seconds
from predictors.step_time.roofline.rates import Anchors, bytes_per_weight, memory_gb_per_s, tensor_tflops
from solvers.curves import soft_maximum
from specs.device import DeviceSpec

FloatArray = npt.NDArray[np.float64]
_ROWS_PER_EXPERT = 16.0  # the smallest tile of rows in vLLM's fused expert kernel [std: its tuned configurations, 2025]


def experts_touched(tokens: npt.ArrayLike, experts: int, top_k: int) -> FloatArray:
    """Expected number of distinct experts that ``tokens`` tokens reach under uniform routing: ``E·(1 − (1 −
    k/E)^tokens)`` [std].
    """
    number = np.asarray(tokens, dtype=np.float64)
    touched: FloatArray = experts * (1.0 - (1.0 - min(top_k / experts, 1.0)) ** number)
    return touched


def grouped_gemm_s(
    device: DeviceSpec,
    tokens: npt.ArrayLike,
    experts: int,
    top_k: int,
    n: int,
    k: int,
    *,
    precision: str = "bf16",
    imbalance: float = 1.0,
    local_experts: int | None = None,
    anchors: Anchors | None = None,
    fitted: ExpertCoefficients | None = None,
    rates: GemmCoefficients | None = None,
) -> FloatArray:
    """Seconds of one projection ``[k → n]`` over all experts that a GPU holds, for each number of routed ``tokens``
    (any shape) [ours].

    ``tokens`` are those of the whole EP group; the GPU holds ``local_experts`` of ``experts`` (default: all) and gets
    their share. Weights of the touched experts are read once; rows are padded to tiles of 16 per touched expert;
    ``imbalance`` ≥ 1 is the largest expert load over the mean and multiplies the compute of the fullest expert's share.
    """
    number = np.asarray(tokens, dtype=np.float64)
    share = (local_experts or experts) / experts
    touched = experts_touched(number, experts, top_k) * share
    return touched_experts_s(
        device, number * top_k * share, touched, n, k,
        precision=precision, imbalance=imbalance, anchors=anchors, fitted=fitted, rates=rates,
    )  # fmt: skip


def touched_experts_s(
    device: DeviceSpec,
    rows: FloatArray,
    touched: FloatArray,
    n: int,
    k: int,
    *,
    precision: str = "bf16",
    imbalance: float = 1.0,
    anchors: Anchors | None = None,
    fitted: ExpertCoefficients | None = None,
    rates: GemmCoefficients | None = None,
) -> FloatArray:
    """Seconds of one projection ``[k → n]`` of ``rows`` routed rows over ``touched`` experts, where both are known
    [ours].
    """
    fitted, rates = fitted or coefficients().experts, rates or coefficients().gemm
    tflops = tensor_tflops(device, precision, rates, anchors) * fitted.tensor_share
    gb_per_s = memory_gb_per_s(device, rates, anchors) * fitted.bandwidth_share
    padded = np.maximum(rows * imbalance, touched * _ROWS_PER_EXPERT)
    compute = tile_seconds(padded.reshape(-1), n, k, device.sm_count, tflops, gb_per_s, rates).reshape(padded.shape)
    moved = touched * n * k * bytes_per_weight(precision) + 2.0 * rows * (n + k)
    seconds = fitted.launch_us * 1e-6 + soft_maximum(compute, moved / (gb_per_s * 1e9), fitted.sharpness)
    return np.where(rows > 0, seconds, 0.0)
