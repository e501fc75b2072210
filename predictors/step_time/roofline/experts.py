"""Time of the routed experts of one layer, from the experts that a batch touches, the tiles that their rows fill and
what one SM of an engine's kernel multiplies.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from predictors.step_time.roofline.coefficients import (
    ExpertCoefficients,
    ExpertKernel,
    GemmCoefficients,
    coefficients,
)
from predictors.step_time.roofline.rates import Anchors, bytes_per_weight, memory_gb_per_s, tensor_tflops
from predictors.step_time.roofline.streaming import elementwise_s
from solvers.curves import soft_maximum
from specs.device import DeviceSpec

FloatArray = npt.NDArray[np.float64]
Kernels = Literal["triton", "cutlass"]
"""Triton's fused experts (vLLM, SGLang) or CUTLASS's grouped products (TensorRT-LLM)."""

_SMALL_TILE, _TILE = 16.0, 64.0  # rows of a tile, up to and above 16 rows per expert [std: vLLM's default tiles, 2025]
_RATE_SHARPNESS = 6.0  # assumed: how abruptly the kernel's own rate gives way to what the device sustains
_ACTIVATION_BYTES = 2.0
# Weight-only kernels. MXFP4 under vLLM: Marlin, the default below and beside Hopper, and what recipes set on it: there
# it serves gpt-oss 20 to 35 % faster than OpenAI's Triton kernels [vLLM pull request 27523, 2025-10; InferenceMAX's
# script gptoss_fp4_h200, 2025-12]. TensorRT-LLM calls those on Hopper [its gpt-oss guide, 2025-08]; int4 as Marlin
# [assumed].
_WEIGHT_ONLY = {"int4": {"triton": "marlin", "cutlass": "marlin"},
                "mxfp4": {"triton": "marlin", "cutlass": "openai-mxfp4"}}  # fmt: skip
_MULTIPLIED = {"fp8": "fp8", "int8": "fp8", "fp4": "fp8"}  # int8 and fp4 as fp8 per SM and clock [assumed]: no table


def experts_touched(tokens: npt.ArrayLike, experts: int, top_k: int) -> FloatArray:
    """Expected number of distinct experts that ``tokens`` tokens reach under uniform routing: ``E·(1 − (1 −
    k/E)^tokens)`` [std].
    """
    number = np.asarray(tokens, dtype=np.float64)
    touched: FloatArray = experts * (1.0 - (1.0 - min(top_k / experts, 1.0)) ** number)
    return touched


def experts_s(
    device: DeviceSpec,
    tokens: npt.ArrayLike,
    experts: int,
    top_k: int,
    hidden: int,
    intermediate: int,
    *,
    kernels: Kernels = "triton",
    precision: str = "bf16",
    block_scaled: bool = False,
    gated: bool = True,
    imbalance: float = 1.0,
    local_experts: int | None = None,
    anchors: Anchors | None = None,
    fitted: ExpertCoefficients | None = None,
    rates: GemmCoefficients | None = None,
) -> FloatArray:
    """Seconds of one layer's routed experts, both products with what lies between, for each number of ``tokens`` (any
    shape) [ours].

    ``tokens`` are those of the whole EP group; the GPU holds ``local_experts`` of ``experts`` (default: all), of which
    each is ``intermediate`` wide there. ``imbalance`` ≥ 1 is the load of the fullest GPU of the EP group over the mean;
    without EP every expert is on every GPU and skew costs nothing but tiles, which the coefficients hold.
    ``block_scaled``: weights of 8 bits carry a scale per block, as DeepSeek-V3's.
    """
    number = np.asarray(tokens, dtype=np.float64)
    share = (local_experts or experts) / experts
    skew = imbalance if share < 1.0 else 1.0
    rows = number * top_k * np.minimum(share * skew, 1.0)
    streamed = number * top_k if kernels == "triton" else rows  # Triton's kernels pass over the rows of others too
    return touched_experts_s(
        device, rows, experts_touched(number, experts, top_k) * share, hidden, intermediate, streamed=streamed,
        kernels=kernels, precision=precision, block_scaled=block_scaled, gated=gated, anchors=anchors, fitted=fitted,
        rates=rates,
    )  # fmt: skip


def touched_experts_s(
    device: DeviceSpec,
    rows: FloatArray,
    touched: FloatArray,
    hidden: int | FloatArray,
    intermediate: int | FloatArray,
    *,
    streamed: FloatArray | None = None,
    kernels: Kernels = "triton",
    precision: str = "bf16",
    block_scaled: bool = False,
    gated: bool = True,
    anchors: Anchors | None = None,
    fitted: ExpertCoefficients | None = None,
    rates: GemmCoefficients | None = None,
) -> FloatArray:
    """Seconds where the ``rows`` routed to the GPU and the experts ``touched`` there are known [ours].

    ``t = launch + Σ soft_max(2·padded·n·k / rate, weights / bandwidth) + activations / bandwidth``, over the product to
    gate and up and the one down; ``streamed`` rows (default: ``rows``) pass through the activation and the sum over a
    token's experts. The rate is the smaller of what one SM of that kernel multiplies per clock and what the device
    sustains: Triton's untuned tiles of 64 × 64 wait for the L2 cache, at about a quarter of Hopper's rate.
    """
    rates = rates or coefficients().gemm
    kernel = kernel_of(kernels, precision, block_scaled, fitted)
    rate = _rate_per_s(device, kernel, precision, rates, anchors)
    bytes_per_s = memory_gb_per_s(device, rates, anchors) * 1e9 * kernel.bandwidth_share
    padded, up = padded_rows(rows, touched), (2.0 if gated else 1.0) * np.asarray(intermediate, dtype=np.float64)
    seconds = np.full(np.shape(rows), kernel.launch_us * 1e-6)
    for weights in (up * hidden, intermediate * np.asarray(hidden, dtype=np.float64)):
        held = touched * weights * bytes_per_weight(precision)
        seconds = seconds + soft_maximum(2.0 * padded * weights / rate, held / bytes_per_s, kernel.sharpness)
    passed = _ACTIVATION_BYTES * (3.0 * np.asarray(hidden) + 2.0 * up + 2.0 * np.asarray(intermediate))
    seconds = seconds + elementwise_s(
        device, (rows if streamed is None else streamed) * passed, anchors=anchors, rates=rates
    )
    return np.where(rows > 0, seconds, 0.0)


def padded_rows(rows: FloatArray, touched: FloatArray) -> FloatArray:
    """Rows that are multiplied: each touched expert fills whole tiles, the last one half on average [ours]."""
    tile = np.where(rows <= _SMALL_TILE * touched, _SMALL_TILE, _TILE)
    padded: FloatArray = np.maximum(touched * tile, rows + touched * tile / 2.0)
    return padded


def kernel_of(
    kernels: Kernels, precision: str, block_scaled: bool = False, fitted: ExpertCoefficients | None = None
) -> ExpertKernel:
    """The coefficients of the kernel that an engine runs for weights of ``precision``."""
    known = fitted or coefficients().experts
    if precision in _WEIGHT_ONLY:
        return known.kernels[_WEIGHT_ONLY[precision][kernels]]
    kind = _MULTIPLIED.get(precision, "bf16")
    return known.kernels[f"{kernels}-{kind}{'-block' if block_scaled and kind == 'fp8' else ''}"]


def _rate_per_s(
    device: DeviceSpec, kernel: ExpertKernel, precision: str, rates: GemmCoefficients, anchors: Anchors | None
) -> float:
    own = kernel.flop_per_clock_sm * device.sm_count * device.boost_clock_mhz * 1e6
    sustained = tensor_tflops(device, precision, rates, anchors) * 1e12
    return float((own**-_RATE_SHARPNESS + sustained**-_RATE_SHARPNESS) ** (-1.0 / _RATE_SHARPNESS))
