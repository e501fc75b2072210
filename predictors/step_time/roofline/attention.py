"""Time of attention: prefill in tiles of queries over the SMs, decode as a stream of keys and values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from predictors.step_time.roofline.coefficients import DecodeCoefficients, GemmCoefficients, PrefillCoefficients, coefficients
from predictors.step_time.roofline.rates import Anchors, bytes_per_weight, memory_gb_per_s, tensor_tflops
from specs.device import DeviceSpec

FloatArray = npt.NDArray[np.float64]

_WIDE_TILE_CAPABILITIES = ("8.0", "9.0", "10.0", "10.3")  # 160 KiB or more of shared memory per SM: FlashAttention takes 128 queries, else 64
_SPLIT_ARCHITECTURES = ("hopper",)  # FlashAttention 3 splits the keys of a short chunk; FlashAttention 2 as vLLM calls it does not
_MMA_ROWS = 16.0  # queries of a group are padded to the rows of one tensor instruction
_KEYS_PER_DECODE_SPLIT = 256.0  # one thread block of split-KV decoding reads at least this many keys [assumed]


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
    """Seconds of causal attention of ``chunk`` new tokens after ``context`` cached ones, one sequence, one layer; broadcasts [ours].

    FLOPs: ``2·heads·(head_dim + value_dim)`` per pair of query and visible key [std: FlashAttention, Dao 2023]; each block of 64 or
    128 queries of one head runs on one SM, in whole waves. ``window`` limits the keys that a query sees.
    """
    fitted, rates = fitted or coefficients().prefill_attention, rates or coefficients().gemm
    new, old = np.broadcast_arrays(np.asarray(chunk, dtype=np.float64), np.asarray(context, dtype=np.float64))
    per_sm = tensor_tflops(device, precision, rates, anchors) * 1e12 * fitted.tensor_share / device.sm_count
    rows = 128.0 if device.compute_capability in _WIDE_TILE_CAPABILITIES or device.architecture == "hopper" else 64.0
    keys = _visible_keys(new, old, window) + fitted.fill_tokens
    block = 2.0 * rows * (head_dim + (value_dim or head_dim)) * keys / per_sm
    compute = _waves(heads * np.ceil(new / rows), device) * block
    moved = kv_heads * (head_dim + (value_dim or head_dim)) * bytes_per_weight(kv_precision) * (old + new)
    memory = (moved + 2.0 * heads * (head_dim + (value_dim or head_dim)) * new) / (memory_gb_per_s(device, rates, anchors) * 1e9)
    seconds = fitted.launch_us * 1e-6 + np.hypot(compute, memory)
    return np.where(new > 0, seconds, 0.0)


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
    """Seconds of attention of one new token for each of ``batch`` sequences with mean ``context``, one layer; broadcasts [ours].

    Bytes: ``batch·context·kv_heads·(head_dim + value_dim)`` of cache, against waves of thread blocks and the tensor rate at groups
    padded to 16 queries. ``latent`` (MLA): keys and values are one cached vector of ``head_dim``, of which ``value_dim`` is the value.
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
    compute = flops / (tensor_tflops(device, precision, rates, anchors) * 1e12 * coefficients().prefill_attention.tensor_share)
    waves = np.maximum(1.0, number * kv_heads / device.sm_count)
    p = fitted.sharpness
    seconds = fitted.launch_us * 1e-6 + (memory**p + compute**p + (waves * fitted.wave_us * 1e-6) ** p) ** (1.0 / p)
    return np.where(number > 0, seconds, 0.0)


def _visible_keys(new: FloatArray, old: FloatArray, window: int | None) -> FloatArray:
    """Mean number of keys that a query of the chunk sees under the causal mask and the window."""
    mean = old + (new + 1.0) / 2.0
    return np.minimum(mean, float(window)) if window else mean


def _waves(blocks: FloatArray, device: DeviceSpec) -> FloatArray:
    """Waves of thread blocks over the SMs; whole ones beyond the first where the kernel cannot split the keys."""
    if device.architecture in _SPLIT_ARCHITECTURES:
        return np.maximum(blocks / device.sm_count, 1.0 / 8.0)
    return np.maximum(np.ceil(blocks / device.sm_count), 1.0)
