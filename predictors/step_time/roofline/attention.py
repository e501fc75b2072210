"""Time of attention: prefill in tiles of queries over the SMs, decode as a stream of keys and values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from predictors.step_time.roofline.coefficients import (
    DecodeCoefficients,
    GemmCoefficients,
    PrefillCoefficients,
    coefficients,
)
from predictors.step_time.roofline.rates import Anchors, bytes_per_weight, memory_gb_per_s, tensor_tflops
from solvers.curves import soft_maximum
from specs.device import DeviceSpec

FloatArray = npt.NDArray[np.float64]

# With 160 KiB or more of shared memory per SM FlashAttention takes tiles of 128 queries, else of 64. [std: its tile
# tables, 2024]
_WIDE_TILE_CAPABILITIES = ("8.0", "9.0", "10.0", "10.3")
_SPLIT_ARCHITECTURES = (
    "hopper",
)  # FlashAttention 3 splits the keys of a short chunk, at most 8 ways [assumed]; 2 does not
_MMA_ROWS = 16.0  # queries of a group are padded to the rows of one tensor instruction [std: mma.m16n8k16]


def prefill_attention_s(
    device: DeviceSpec,
    chunk: npt.ArrayLike,
    context: npt.ArrayLike,
    *,
    heads: int,
    kv_heads: int,
    head_dim: int,
    value_dim: int | None = None,
    window: int | None = None,
    precision: str = "bf16",
    kv_precision: str = "bf16",
    anchors: Anchors | None = None,
    fitted: PrefillCoefficients | None = None,
    rates: GemmCoefficients | None = None,
) -> FloatArray:
    """Seconds of causal attention of ``chunk`` new tokens after ``context`` cached ones: one sequence, one layer;
    broadcasts [ours].

    FLOPs: ``2·heads·(head_dim + value_dim)`` per pair of query and visible key [std: FlashAttention, Dao 2023]; each
    block of 64 or 128 queries of one head runs on one SM, in whole waves. ``window`` limits the keys that a query sees.
    """
    fitted, rates = fitted or coefficients().prefill_attention, rates or coefficients().gemm
    new, old = np.broadcast_arrays(np.asarray(chunk, dtype=np.float64), np.asarray(context, dtype=np.float64))
    width = head_dim + (value_dim or head_dim)
    per_sm = tensor_tflops(device, precision, rates, anchors) * 1e12 * fitted.tensor_share / device.sm_count
    rows = _query_rows(device)
    block = 2.0 * rows * width * (_visible_keys(new, old, window) + fitted.fill_tokens) / per_sm
    compute = _waves(heads * np.ceil(new / rows), device) * block
    cached = kv_heads * bytes_per_weight(kv_precision) * (np.minimum(old, float(window)) if window else old)
    moved = width * (cached + 2.0 * (heads + kv_heads) * new)
    memory = moved / (memory_gb_per_s(device, rates, anchors) * 1e9)
    return np.where(new > 0, fitted.launch_us * 1e-6 + soft_maximum(compute, memory, 2.0), 0.0)


def decode_attention_s(
    device: DeviceSpec,
    batch: npt.ArrayLike,
    context: npt.ArrayLike,
    *,
    heads: int,
    kv_heads: int,
    head_dim: int,
    value_dim: int | None = None,
    window: int | None = None,
    latent: bool = False,
    precision: str = "bf16",
    kv_precision: str = "bf16",
    anchors: Anchors | None = None,
    fitted: DecodeCoefficients | None = None,
    rates: GemmCoefficients | None = None,
) -> FloatArray:
    """Seconds of attention of one new token for each of ``batch`` sequences with mean ``context``, one layer;
    broadcasts [ours].

    Bytes: ``batch·context·kv_heads·(head_dim + value_dim)`` of cache, or the tensor rate with groups padded to 16
    queries where that is slower, plus a fixed time and one per wave of thread blocks. ``latent`` (MLA): one cached
    vector of ``head_dim`` serves as key, its first ``value_dim`` elements as value, for all heads (``kv_heads`` = 1)
    [std: DeepSeek-V2, 2024].
    """
    fitted, rates = fitted or coefficients().decode_attention, rates or coefficients().gemm
    number, length = np.broadcast_arrays(np.asarray(batch, dtype=np.float64), np.asarray(context, dtype=np.float64))
    seen = np.minimum(length, window) if window else length
    values = value_dim or head_dim
    cached = head_dim if latent else head_dim + values
    gb_per_s = memory_gb_per_s(device, rates, anchors) * fitted.bandwidth_share
    memory = number * seen * kv_heads * cached * bytes_per_weight(kv_precision) / (gb_per_s * 1e9)
    queries = np.ceil(heads / kv_heads / _MMA_ROWS) * _MMA_ROWS
    flops = 2.0 * number * seen * kv_heads * queries * (head_dim + values)
    compute = flops / (tensor_tflops(device, precision, rates, anchors) * 1e12 * fitted.tensor_share)
    waves = np.maximum(1.0, number * kv_heads / device.sm_count)
    seconds = (fitted.launch_us + waves * fitted.wave_us) * 1e-6 + np.maximum(memory, compute)
    return np.where(number > 0, seconds, 0.0)


def _visible_keys(new: FloatArray, old: FloatArray, window: int | None) -> FloatArray:
    """Mean number of keys that a query of the chunk sees under the causal mask and the window."""
    mean = old + (new + 1.0) / 2.0
    return np.minimum(mean, float(window)) if window else mean


def _query_rows(device: DeviceSpec) -> float:
    """Queries of one head that a thread block holds."""
    wide = device.compute_capability in _WIDE_TILE_CAPABILITIES or device.architecture == "hopper"
    return 128.0 if wide else 64.0


def _waves(blocks: FloatArray, device: DeviceSpec) -> FloatArray:
    """Waves of thread blocks over the SMs; whole ones beyond the first where the kernel cannot split the keys."""
    if device.architecture in _SPLIT_ARCHITECTURES:
        return np.maximum(blocks / device.sm_count, 1.0 / 8.0)
    return np.maximum(np.ceil(blocks / device.sm_count), 1.0)
