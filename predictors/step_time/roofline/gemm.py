"""Time of a dense matrix product: tiles in waves over the SMs against bytes from memory, with a soft maximum of the
two.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from predictors.step_time.roofline.coefficients import GemmCoefficients, coefficients
from predictors.step_time.roofline.rates import Anchors, bytes_per_weight, memory_gb_per_s, tensor_tflops
from specs.device import DeviceSpec
from specs.errors import InputError

FloatArray = npt.NDArray[np.float64]

# Tile shapes (rows of m, columns of n) that cuBLAS and CUTLASS choose from for 16-bit products. [std]
_TILES = (
    (256, 128),
    (128, 256),
    (128, 128),
    (128, 64),
    (64, 256),
    (64, 128),
    (64, 64),
    (32, 128),
    (32, 64),
    (16, 128),
    (16, 64),
)
_SPLITS = (1, 2, 3, 4, 6, 8)
_ACTIVATION_BYTES = 2.0
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
    weights; activations enter and leave at 16 bits, and a pass that quantises them is not counted.
    """
    fitted = fitted or coefficients().gemm
    tokens = np.asarray(m, dtype=np.float64)
    tflops, gb_per_s = tensor_tflops(device, precision, fitted, anchors), memory_gb_per_s(device, fitted, anchors)
    width = bytes_per_weight(precision)
    seconds = products_s(tokens.reshape(-1), n, k, width, device.sm_count, tflops, gb_per_s, fitted)
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
    p = fitted.sharpness
    seconds: FloatArray = fitted.launch_us * 1e-6 + (compute**p + memory**p) ** (1.0 / p)
    return seconds


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

    The tile and wave losses of the first, and the launch time of both, are taken off, so that `gemm_s` returns the
    measured times.
    """
    fitted = fitted or coefficients().gemm
    (m, n, k, seconds), (few, wide, deep, streamed) = compute, streaming
    moved = float(_bytes(np.array([float(few)]), wide, deep, 2.0)[0])
    gb_per_s = moved / (streamed - fitted.launch_us * 1e-6) / 1e9
    at_one = float(tile_seconds(np.array([float(m)]), n, k, device.sm_count, 1.0, gb_per_s, fitted)[0])
    p, memory = fitted.sharpness, float(_bytes(np.array([float(m)]), n, k, 2.0)[0]) / (gb_per_s * 1e9)
    if (seconds - fitted.launch_us * 1e-6) <= 1.05 * memory or streamed <= fitted.launch_us * 1e-6:
        raise InputError(
            f"anchor [{m}, {k}] × [{k}, {n}] in {seconds * 1e6:.0f} µs: not bound by the tensor rate of {device.name}",
            cure="Measure a product of 2048 tokens or more, and a stream of at least 10 MB of weights.",
        )
    alone = ((seconds - fitted.launch_us * 1e-6) ** p - memory**p) ** (1.0 / p)
    return Anchors(tflops=at_one / alone, gb_per_s=gb_per_s)
