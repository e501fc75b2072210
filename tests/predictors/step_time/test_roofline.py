"""The roofline against its own limits, brute force, and tables of a device that no fit saw."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictors.step_time import roofline
from predictors.step_time.roofline.coefficients import GemmCoefficients
from predictors.step_time.roofline.gemm import tile_seconds
from specs.catalog import device_names, find_device
from specs.device import DeviceSpec
from specs.errors import InputError

Whole = npt.ArrayLike
Times = npt.NDArray[np.float64]
H100 = find_device("h100-sxm")
PRO = find_device("rtx-pro-6000")
MEASURED = ("a40", "a100-80gb", "a6000", "rtx-3090", "rtx-pro-6000", "h100-sxm")
sizes = st.integers(1, 64).map(lambda i: 128 * i)
tokens = st.lists(st.integers(1, 8192), min_size=2, max_size=8).map(sorted)


@given(st.sampled_from(MEASURED), tokens, sizes, sizes)
@settings(max_examples=60, deadline=None)
def test_a_product_never_beats_the_datasheet_and_never_shrinks_with_tokens(
    name: str, m: list[int], n: int, k: int
) -> None:
    device = find_device(name)
    seconds = roofline.gemm_s(device, m, n, k)
    flops = 2.0 * np.array(m) * n * k / (device.peak_tflops["bf16"] * 1e12)
    stream = 2.0 * n * k / (device.memory_bandwidth_gb_per_s * 1e9)
    assert np.all(seconds >= np.maximum(flops, stream))
    assert np.all(np.diff(seconds) >= -1e-15)


@given(st.integers(1, 3000), sizes, sizes)
@settings(max_examples=40, deadline=None)
def test_tile_seconds_is_the_cheapest_of_every_tile_and_split(m: int, n: int, k: int) -> None:
    fitted = roofline.coefficients().gemm
    tiles = [(256, 128), (128, 256), (128, 128), (128, 64), (64, 256), (64, 128), (64, 64)]
    tiles += [(32, 128), (32, 64), (16, 128), (16, 64)]
    costs = [
        _one_tile_s(m, n, k, rows, columns, split, fitted) for rows, columns in tiles for split in (1, 2, 3, 4, 6, 8)
    ]
    found = tile_seconds(np.array([float(m)]), n, k, 100, 300.0, 2000.0, fitted)[0]
    assert found == pytest.approx(min(costs))


def _one_tile_s(m: int, n: int, k: int, rows: int, columns: int, split: int, fitted: GemmCoefficients) -> float:
    waves = math.ceil(math.ceil(m / rows) * math.ceil(n / columns) * split / 100)
    flop = 2.0 * rows * columns * (math.ceil(k / split / 64) * 64 + fitted.prologue_k)
    loss = 1.0 + fitted.tile_overhead * max(64 / rows + 64 / columns - 0.75, 0.0)
    sums = fitted.split_k * 2.0 * split * m * n / 2e12 if split > 1 else 0.0
    return waves * flop * loss / 3e12 + sums


@given(st.sampled_from(MEASURED), st.floats(0.4, 0.95), st.floats(0.5, 0.95))
@settings(max_examples=40, deadline=None)
def test_anchors_give_back_the_products_they_were_taken_from(name: str, tensor: float, memory: float) -> None:
    device = find_device(name)
    big = 2.0 * 4096 * 8192 * 8192 / (tensor * device.peak_tflops["bf16"] * 1e12)
    thin = 2.0 * 28672 * 8192 / (memory * device.memory_bandwidth_gb_per_s * 1e9)
    anchors = roofline.anchors_from_gemms(device, (4096, 8192, 8192, big), (1, 28672, 8192, thin))
    assert roofline.gemm_s(device, [4096], 8192, 8192, anchors=anchors)[0] == pytest.approx(big, rel=1e-3)
    assert roofline.gemm_s(device, [1], 28672, 8192, anchors=anchors)[0] == pytest.approx(thin, rel=1e-3)


def test_an_anchor_that_memory_binds_is_refused() -> None:
    thin = (1, 28672, 8192, 2e-4)
    with pytest.raises(InputError, match="do not determine the rates"):
        roofline.anchors_from_gemms(H100, (1, 8192, 8192, 5e-5), thin)


def test_fewer_bits_stream_faster_and_no_tokens_take_no_time() -> None:
    times = {p: float(roofline.gemm_s(H100, [0, 1], 65536, 8192, precision=p)[1]) for p in ("bf16", "fp8", "int4")}
    launch = roofline.coefficients().gemm.launch_us * 1e-6
    quantise = float(roofline.elementwise_s(H100, 3.0 * 8192))
    assert (times["fp8"] - launch - quantise) / (times["bf16"] - launch) == pytest.approx(0.5, rel=0.01)
    assert (times["int4"] - launch) / (times["bf16"] - launch) == pytest.approx(0.258, rel=0.06)
    assert roofline.gemm_s(H100, [0], 65536, 8192)[0] == 0.0


def test_a_device_without_8_bit_units_multiplies_8_bit_weights_at_16() -> None:
    a100 = find_device("a100-80gb")
    heavy = {p: float(roofline.gemm_s(a100, 8192, 8192, 8192, precision=p)) for p in ("bf16", "fp8", "int8")}
    assert heavy["fp8"] == pytest.approx(heavy["bf16"], rel=0.02)
    assert heavy["int8"] < 0.8 * heavy["bf16"]


def test_unknown_precision_and_missing_rates_are_named() -> None:
    with pytest.raises(InputError, match="'fp12' is unknown"):
        roofline.gemm_s(H100, [1], 128, 128, precision="fp12")
    bare = H100.model_copy(update={"peak_tflops": {"fp32": 60.0}})
    with pytest.raises(InputError, match="states no 16-bit tensor rate"):
        roofline.gemm_s(bare, [1], 128, 128)


@pytest.mark.parametrize("name", device_names())
def test_every_device_of_the_catalogue_sustains_a_plausible_share_of_its_peaks(name: str) -> None:
    device, fitted = find_device(name), roofline.coefficients().gemm
    peak = device.peak_tflops.get("bf16") or device.peak_tflops["fp16"]
    assert 0.25 < roofline.tensor_tflops(device, "bf16", fitted) / peak <= 1.0
    assert 0.7 < roofline.memory_gb_per_s(device, fitted) / device.memory_bandwidth_gb_per_s <= 1.0


def test_a_power_limit_lowers_the_tensor_rate_and_leaves_memory() -> None:
    fitted, starved = roofline.coefficients().gemm, H100.model_copy(update={"power_limit_w": 350.0})
    assert roofline.tensor_tflops(starved, "bf16", fitted) < 0.65 * roofline.tensor_tflops(H100, "bf16", fitted)
    assert roofline.memory_gb_per_s(starved, fitted) == roofline.memory_gb_per_s(H100, fitted)


def _prefill(device: DeviceSpec, chunk: Whole, context: Whole, window: int | None = None) -> Times:
    return roofline.prefill_attention_s(device, chunk, context, heads=32, kv_heads=8, head_dim=128, window=window)


def _decode(device: DeviceSpec, batch: Whole, context: Whole, window: int | None = None) -> Times:
    return roofline.decode_attention_s(device, batch, context, heads=32, kv_heads=8, head_dim=128, window=window)


@given(st.sampled_from(MEASURED), tokens, tokens)
@settings(max_examples=40, deadline=None)
def test_attention_grows_with_chunk_batch_and_context(name: str, first: list[int], context: list[int]) -> None:
    device = find_device(name)
    rows, columns = np.array(first)[:, None], np.array(context)[None, :]
    for times in (
        _prefill(device, rows, columns),
        _decode(device, rows, columns),
    ):
        assert times.shape == (len(first), len(context))
        assert np.all(np.diff(times, axis=0) >= -1e-12)
        assert np.all(np.diff(times, axis=1) >= -1e-12)


def test_long_prefill_is_bound_by_causal_flops_and_long_decode_by_cached_bytes() -> None:
    for name in MEASURED:
        device = find_device(name)
        chunk, batch, context = 16384, 128, 8192
        flops = 4.0 * 32 * 128 * chunk * (chunk + 1) / 2
        prefill = float(_prefill(device, chunk, 0))
        assert flops / (prefill * device.peak_tflops["bf16"] * 1e12) == pytest.approx(0.5, abs=0.2)
        decode = float(_decode(device, batch, context))
        moved = batch * context * 2 * 8 * 128 * 2.0
        assert moved / (decode * device.memory_bandwidth_gb_per_s * 1e9) == pytest.approx(0.78, abs=0.12)


def test_windows_bound_attention_and_a_latent_cache_is_read_once() -> None:
    full = _prefill(PRO, 4096, 16384)
    assert _prefill(PRO, 4096, 16384, window=1024) < 0.2 * full
    windowed = _decode(PRO, 64, [512, 4096, 65536], window=4096)
    assert windowed[1] == windowed[2] > windowed[0]

    def absorbed(latent: bool) -> float:
        return float(
            roofline.decode_attention_s(
                H100, 256, 8192, heads=16, kv_heads=1, head_dim=576, value_dim=512, latent=latent
            )
        )

    assert absorbed(True) / absorbed(False) == pytest.approx(576 / (576 + 512), rel=0.1)


def test_streams_take_launch_and_bytes_and_are_faster_within_the_cache() -> None:
    fitted = roofline.coefficients().elementwise
    rate = roofline.memory_gb_per_s(H100, roofline.coefficients().gemm) * 1e9 * fitted.bandwidth_share
    assert roofline.elementwise_s(H100, [0.0, 1.0]) == pytest.approx([0.0, fitted.launch_us * 1e-6], rel=1e-3)
    assert roofline.elementwise_s(H100, 1e11) == pytest.approx(1e11 / rate, rel=0.01)
    one, two = roofline.elementwise_s(H100, [25e6, 50e6]) - fitted.launch_us * 1e-6
    assert two == pytest.approx(2 * one)
    assert one == pytest.approx(25e6 / rate / fitted.l2_speedup)


@given(st.integers(2, 8), st.lists(st.floats(1.0, 1e9), min_size=2).map(sorted))
def test_an_all_reduce_lies_between_its_volume_and_twice_volume_plus_start(p: int, moved: list[float]) -> None:
    fitted, sent = roofline.coefficients().links, np.array(moved)
    seconds = roofline.all_reduce_s(H100, sent, p)
    stream = 2 * (p - 1) / p * sent / (H100.links.nvlink_gb_per_s * 1e9 * fitted.nvlink_share)
    start = (fitted.start_us + fitted.start_us_per_doubling * math.log2(p)) * 1e-6
    assert np.all(seconds >= stream + start - 1e-15)
    assert np.all(seconds <= 2 * (stream + start) + 1e-15)
    assert np.all(np.diff(seconds) >= 0)


def test_one_gpu_sends_nothing_and_a_missing_nvlink_is_named() -> None:
    assert np.all(roofline.all_reduce_s(H100, [1e6, 1e9], 1) == 0)
    assert np.all(roofline.all_to_all_s(H100, [1e6, 1e9], 1) == 0)
    assert roofline.point_to_point_s(PRO, [1e9])[0] > roofline.point_to_point_s(H100, [1e9])[0]
    with pytest.raises(InputError, match="has no NVLink"):
        roofline.all_reduce_s(PRO, [1e6], 2, "nvlink")


@given(st.integers(1, 40), st.integers(2, 64), st.data())
@settings(max_examples=15, deadline=None)
def test_experts_touched_is_the_mean_of_random_routing(number: int, experts: int, data: st.DataObject) -> None:
    top_k = data.draw(st.integers(1, min(experts, 8)))
    rng = np.random.default_rng(0)
    drawn = rng.random((1500, number, experts)).argpartition(top_k - 1, axis=2)[:, :, :top_k]
    mean = np.mean([np.unique(trial).size for trial in drawn.reshape(1500, -1)])
    assert float(roofline.experts_touched(number, experts, top_k)) == pytest.approx(mean, rel=0.03)


def test_errors_are_known_for_every_operator_and_grow_with_ignorance() -> None:
    for operator in ("gemm", "prefill_attention", "decode_attention", "elementwise", "links", "experts"):
        assert 0 < roofline.relative_error(operator) < roofline.relative_error(operator, "datasheet")
    with pytest.raises(InputError, match="no error is known for operator 'sampler'"):
        roofline.relative_error("sampler")


def test_the_error_of_products_holds_on_a_device_that_no_fit_saw(reference_data: Callable[[str], Path]) -> None:
    path = reference_data("op_profiles/aiconfigurator_h100_sxm_vllm-0.14.0_gemm_perf.parquet")
    errors = _h100_errors(pl.read_parquet(path), H100)
    assert np.median(errors) < 0.15
    assert np.mean(errors < 2 * roofline.relative_error("gemm")) > 0.9


def _h100_errors(frame: pl.DataFrame, device: DeviceSpec) -> Times:
    size = pl.col("n") * pl.col("k")
    kept = frame.filter(
        (pl.col("gemm_dtype") == "bfloat16") & (size >= 2**22) & (pl.col("n") <= 16384), pl.col("m") <= 4096
    )
    errors = []
    for (n, k), part in kept.group_by("n", "k", maintain_order=True):
        found = roofline.gemm_s(device, part["m"].to_numpy(), int(str(n)), int(str(k)))
        errors.append(np.abs(found / (part["latency"].to_numpy() * 1e-3) - 1.0))
    return np.concatenate(errors)
