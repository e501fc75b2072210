"""Routed experts: monotone, bounded by a dense product and by the weights' bytes, and right on tables of EP ranks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.step_time import roofline
from predictors.step_time.roofline.experts import Kernels, padded_rows
from specs.catalog import find_device

H100, PRO, A100 = find_device("h100-sxm"), find_device("rtx-pro-6000"), find_device("a100-80gb")
COUNTS = np.array([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384], dtype=np.float64)
PRECISIONS = ("bf16", "fp8", "int8", "int4", "mxfp4", "fp4")


@given(
    st.sampled_from(PRECISIONS), st.sampled_from(("triton", "cutlass")), st.sampled_from((H100, PRO, A100)),
    st.sampled_from(((8, 2), (128, 8), (256, 8), (32, 4))), st.sampled_from((1, 2, 4)), st.floats(1.0, 2.0),
)  # fmt: skip
def test_time_grows_with_tokens_and_skew(
    precision: str, kernels: Kernels, device: object, routed: tuple[int, int], ranks: int, imbalance: float
) -> None:
    def at(skew: float) -> np.ndarray:
        return roofline.experts_s(
            device, COUNTS, *routed, 2048, 1536, kernels=kernels, precision=precision, imbalance=skew,  # type: ignore[arg-type]
            local_experts=routed[0] // ranks,
        )  # fmt: skip

    assert np.all(np.diff(at(1.0)) >= 0)
    assert np.all(at(imbalance) >= at(1.0) * (1 - 1e-12))


@given(st.floats(1, 1e5), st.floats(1, 256))
def test_padding_is_at_least_the_rows_and_at_most_a_tile_more_for_each_expert(rows: float, touched: float) -> None:
    padded = float(padded_rows(np.array(rows), np.array(touched)))
    assert rows <= padded <= rows + 64 * touched


def test_fewer_local_experts_are_faster_and_no_tokens_take_no_time() -> None:
    whole = roofline.experts_s(H100, COUNTS, 128, 8, 2048, 768, kernels="cutlass")
    share = roofline.experts_s(H100, COUNTS, 128, 8, 2048, 768, kernels="cutlass", local_experts=16)
    assert np.all(share < whole)
    assert float(roofline.experts_s(H100, 0, 128, 8, 2048, 768)) == 0.0


def test_one_expert_for_all_tokens_is_two_dense_products_for_cutlass_and_far_slower_for_triton() -> None:
    dense = float(roofline.gemm_s(H100, 8192, 16384, 4096) + roofline.gemm_s(H100, 8192, 4096, 8192))
    cutlass = float(roofline.experts_s(H100, 8192, 1, 1, 4096, 8192, kernels="cutlass"))
    triton = float(roofline.experts_s(H100, 8192, 1, 1, 4096, 8192, kernels="triton"))
    assert cutlass == pytest.approx(dense, rel=0.45)
    assert 2.0 * dense < triton < 5.0 * dense


def test_few_tokens_wait_for_the_weights_they_touch() -> None:
    seconds = float(roofline.experts_s(H100, 1, 8, 2, 6144, 16384))
    weights = 2 * 3 * 6144 * 16384 * 2.0
    assert weights / (H100.memory_bandwidth_gb_per_s * 1e9) < seconds < 1.5 * weights / 2.5e12


def test_narrower_weights_are_faster_where_weights_decide() -> None:
    times = [float(roofline.experts_s(H100, 16, 256, 8, 7168, 2048, precision=p)) for p in ("bf16", "fp8", "mxfp4")]
    assert times[0] > 1.5 * times[1] > 1.5 * times[2]


@pytest.mark.parametrize(
    ("file", "dtype", "kernels", "precision", "block", "within"),
    [
        ("vllm-0.14.0", "bfloat16", "triton", "bf16", False, 0.25),
        ("vllm-0.14.0", "fp8_block", "triton", "fp8", True, 0.25),
        ("trtllm-1.2.0rc5", "bfloat16", "cutlass", "bf16", False, 0.35),
    ],
)
def test_expert_parallel_ranks_that_no_fit_saw(
    reference_data: Callable[[str], Path],
    file: str, dtype: str, kernels: Kernels, precision: str, block: bool, within: float,
) -> None:  # fmt: skip
    frame = pl.read_parquet(reference_data(f"op_profiles/aiconfigurator_h100_sxm_{file}_moe_perf.parquet")).filter(
        (pl.col("moe_dtype") == dtype) & (pl.col("moe_ep_size") == 4) & (pl.col("moe_tp_size") == 1)
        & (pl.col("num_experts") == 256) & (pl.col("distribution") == "power_law_1.01") & (pl.col("num_tokens") >= 128)
    )  # fmt: skip
    errors = []
    for (hidden, inner), part in frame.group_by("hidden_size", "inter_size"):
        found = roofline.experts_s(
            H100, part["num_tokens"].to_numpy(), 256, 8, int(str(hidden)), int(str(inner)), kernels=kernels,
            precision=precision, block_scaled=block, imbalance=1.2, local_experts=64,
        )  # fmt: skip
        errors.append(np.abs(found / (part["latency"].to_numpy() * 1e-3) - 1))
    assert np.median(np.concatenate(errors)) < within
