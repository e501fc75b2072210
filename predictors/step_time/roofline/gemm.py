"""Time of a dense matrix product: tiles in waves over the SMs against bytes from memory, with a soft maximum of the
two.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from predictors.step_time.roofline.coefficients import GemmCoefficients, coefficients
from predictors.step_time.roofline.rates import (
    Anchors,
    bytes_per_weight,
    memory_gb_per_s,
    quantises_activations,
    tensor_tflops,
)
from predictors.step_time.roofline.streaming import elementwise_s
from solvers.curves import soft_maximum
from specs.device import DeviceSpec
from specs.errors import InputError

FloatArray = npt.NDArray[np.float64]

# Tile shapes (rows of m, columns of n) that cuBLAS and CUTLASS choose from for 16-bit products. [std]
_TILES = (
    (256, 128), (128, 256), (128, 128), (128, 64), (64, 256), (64, 128),
    (64, 64), (32, 128), (32, 64), (16, 128), (16, 64),
)  # fmt: skip
_SPLITS = (1, 2, 3, 4, 6, 8)
_ACTIVATION_BYTES = 2.0
_ANCHOR_STEPS = 60  # each step shrinks the error by the share of the resource that does not bind
_ANCHOR_TOLERANCE = 1e-4
_ROWS = np.array([t[0] for t in _TILES], dtype=np.float64)[:, None, None]
_COLUMNS = np.array([t[1] for t in _TILES], dtype=np.float64)[:, None, None]
_SPLIT = np.array(_SPLITS, dtype=np.float64)[None, :, None]


def gemm_s(
    device: DeviceSpec,
    m: npt.ArrayLike,
    n: int,
    k: int,
    *,
    precision: str = "bf16",
    anchors: Anchors | None = None,
    fitted: GemmCoefficients | None = None,
) -> FloatArray:
    """Seconds of ``[m, k] × [k, n]`` for each number of tokens in ``m`` (any shape; 0 tokens take 0 s) [ours].

    ``t = launch + (compute^p + memory^p)^(1/p)``: the roofline of Williams et al. 2009 with its corner rounded;
    compute is the cheapest tile shape and split of k, in whole waves over the SMs. ``precision`` is that of the
    weights; activations enter and leave at 16 bits, and a pass over 3 bytes of each quantises them where the tensor
    units multiply that precision (an engine that fuses it is faster).
    """
    fitted = fitted or coefficients().gemm
    tokens = np.asarray(m, dtype=np.float64)
    tflops, gb_per_s = tensor_tflops(device, precision, fitted, anchors), memory_gb_per_s(device, fitted, anchors)
    width = bytes_per_weight(precision)
    seconds = products_s(tokens.reshape(-1), n, k, width, device.sm_count, tflops, gb_per_s, fitted)
    if quantises_activations(device, precision):
        seconds = seconds + elementwise_s(device, 3.0 * k * tokens.reshape(-1), anchors=anchors, rates=fitted)
    return np.where(tokens > 0, seconds.reshape(tokens.shape), 0.0)


def products_s(
    m: FloatArray,
    n: int | FloatArray,
    k: int | FloatArray,
    weight_bytes: float,
    sm_count: int,
    tflops: float,
    gb_per_s: float,
    fitted: GemmCoefficients,
) -> FloatArray:
    """Seconds of each product ``[m, k] × [k, n]`` (1-D ``m``; ``n`` and ``k`` scalars or of its shape) at the given
    sustained rates.
    """
    compute = tile_seconds(m, n, k, sm_count, tflops, gb_per_s, fitted)
    memory = _bytes(m, n, k, weight_bytes) / (gb_per_s * 1e9)
    return fitted.launch_us * 1e-6 + soft_maximum(compute, memory, fitted.sharpness)


def _bytes(m: FloatArray, n: int | FloatArray, k: int | FloatArray, weight_bytes: float) -> FloatArray:
    """Bytes that a product must move: weights once, inputs and outputs once at 16 bits."""
    return np.asarray(weight_bytes * n * k + _ACTIVATION_BYTES * (m * k + m * n), dtype=np.float64)


def tile_seconds(
    m: FloatArray,
    n: int | FloatArray,
    k: int | FloatArray,
    sm_count: int,
    tflops: float,
    gb_per_s: float,
    fitted: GemmCoefficients,
) -> FloatArray:
    """Compute time of each m, seconds: waves of the best tile shape and split of k [std: wave quantisation, NVIDIA DL
    performance guide].

    Non-decreasing in m, because every candidate is.
    """
    per_sm = tflops * 1e12 / sm_count
    depth = np.ceil(np.asarray(k) / _SPLIT / 64.0) * 64.0 + fitted.prologue_k
    overhead = 1.0 + fitted.tile_overhead * np.maximum(64.0 / _ROWS + 64.0 / _COLUMNS - 0.75, 0.0)
    waves = np.ceil(np.ceil(m / _ROWS) * np.ceil(np.asarray(n) / _COLUMNS) * _SPLIT / sm_count)
    seconds = waves * (2.0 * _ROWS * _COLUMNS * depth) * overhead / per_sm
    partial_sums = np.where(_SPLIT > 1, fitted.split_k * 2.0 * _SPLIT * m * n / (gb_per_s * 1e9), 0.0)
    best: FloatArray = (seconds + partial_sums).min(axis=(0, 1))
    return best


def anchors_from_gemms(
    device: DeviceSpec,
    compute: tuple[int, int, int, float],
    streaming: tuple[int, int, int, float],
    *,
    fitted: GemmCoefficients | None = None,
) -> Anchors:
    """Anchors from two timed 16-bit products ``(m, n, k, seconds)``: one large (m ≥ 2048), one of few tokens over a
    large weight (m ≤ 8).

    The two rates at which `gemm_s` returns the measured times, found by scaling each with the time of its product.
    Raises `InputError` where the products do not determine both rates.
    """
    fitted = fitted or coefficients().gemm
    tflops, gb_per_s = device.peak_tflops.get("bf16") or device.peak_tflops["fp16"], device.memory_bandwidth_gb_per_s
    for _ in range(_ANCHOR_STEPS):
        large = _product_s(device, compute, tflops, gb_per_s, fitted) / compute[3]
        thin = _product_s(device, streaming, tflops, gb_per_s, fitted) / streaming[3]
        if max(abs(large - 1.0), abs(thin - 1.0)) < _ANCHOR_TOLERANCE:
            return Anchors(tflops=tflops, gb_per_s=gb_per_s)
        tflops, gb_per_s = tflops * large, gb_per_s * thin
    raise InputError(
        f"the anchors {compute} and {streaming} (m, n, k, seconds) do not determine the rates of {device.name}: "
        "the first must be bound by the tensor rate, the second by memory",
        cure="Measure a product of 2048 tokens or more, and one of 1 token over at least 32 MB of weights.",
    )


def _product_s(
    device: DeviceSpec, product: tuple[int, int, int, float], tflops: float, gb_per_s: float, fitted: GemmCoefficients
) -> float:
    m, n, k, _ = product
    return float(products_s(np.array([float(m)]), n, k, 2.0, device.sm_count, tflops, gb_per_s, fitted)[0])
