"""Kernel tables of mixtures of experts: the engine's own rows, per operator, each with what its source says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from predictors.step_time.tables import ProfileTables
from profilers.importers.aiconfigurator import read
from specs.catalog import find_device, find_model
from specs.errors import InputError
from specs.model import ModelSpec

H100, QWEN, GPT_OSS = find_device("h100-sxm"), find_model("qwen3-30b-a3b"), find_model("gpt-oss-120b")
TOKENS = (1, 16, 256, 4096)


def _folder(root: Path, model: ModelSpec, dtype: str, engine: str = "vllm", version: str = "0.14.0") -> Path:
    """A table of experts under two loads and by a kernel without gate, and 16-bit GEMMs, in the merged layout."""
    moe = model.moe
    assert moe is not None
    rows = [
        {"moe_dtype": dtype, "version": version, "kernel_source": kernel, "num_tokens": n, "hidden_size": model.hidden,
         "inter_size": moe.intermediate, "topk": moe.experts_per_token, "num_experts": moe.experts, "moe_tp_size": tp,
         "moe_ep_size": 1, "distribution": loads, "latency": scale * (0.1 + n * 1e-3 / tp)}
        for n in TOKENS for tp in (1, 2)
        for loads, kernel, scale in (("balanced", "fused", 0.5), ("power_law_1.2", "fused", 1.0),
                                     ("power_law_1.2", "fused_nongated", 0.1))
    ]  # fmt: skip
    pl.DataFrame(rows).write_parquet(root / f"aiconfigurator_h100_sxm_{engine}-{version}_moe_perf.parquet")
    gemms = [
        {"gemm_dtype": "bfloat16", "m": m, "n": n, "k": k, "latency": 1e-3 + n * k * m * 1e-12}
        for m in (1, 64, 4096) for n in (256, 4096) for k in (256, 4096)
    ]  # fmt: skip
    pl.DataFrame(gemms).write_parquet(root / f"aiconfigurator_h100_sxm_{engine}-{version}_gemm_perf.parquet")
    return root


def test_experts_come_from_gated_kernels_under_the_most_skewed_loads(tmp_path: Path) -> None:
    profile = read([_folder(tmp_path, QWEN, "bfloat16")], device=H100, model=QWEN)
    curve = ProfileTables(profile).curve("moe", 2)
    assert curve is not None
    assert curve(np.array([16.0, 256.0])) == pytest.approx([0.108e-3, 0.228e-3])
    assert profile.source.endswith("experts under power_law_1.2 loads")


def test_few_tokens_of_an_expert_group_are_not_all_on_one_rank(reference_data: Callable[[str], Path]) -> None:
    model = find_model("minimax-m2.5")
    tables = ProfileTables(read([reference_data("op_profiles")], device=H100, model=model))
    alone, spread, split = (tables.curve("moe", *ranks) for ranks in ((1, 1), (4, 4), (4, 1)))
    assert alone is not None
    assert spread is not None
    assert split is not None
    assert float(spread(1.0)) < 0.8 * float(alone(1.0))
    assert float(spread(4096.0)) > float(split(4096.0))


def test_a_table_of_ten_calls_is_divided_by_ten(tmp_path: Path) -> None:
    folder = _folder(tmp_path, QWEN, "bfloat16", "sglang", "0.5.6.post2")
    curve = ProfileTables(read([folder], device=H100, model=QWEN, engine="sglang")).curve("moe", 1)
    assert curve is not None
    assert float(curve(16.0)) == pytest.approx(0.0116e-3)


def test_a_model_with_experts_of_four_bits_takes_the_tables_of_its_other_operators(tmp_path: Path) -> None:
    profile = read([_folder(tmp_path, QWEN, "bfloat16")], device=H100, model=GPT_OSS)
    operators = {table.operator for table in profile.tables}
    assert {"qkv_proj", "o_proj", "router", "lm_head"} <= operators
    assert "moe" not in operators
    assert profile.source.endswith("no table of w4a16_mxfp4 experts of this shape")


def test_experts_of_four_bits_are_read_where_the_engine_has_them(tmp_path: Path) -> None:
    profile = read([_folder(tmp_path, GPT_OSS, "w4a16_mxfp4", "trtllm", "1.2.0")], device=H100, model=GPT_OSS)
    assert ("moe", 2) in {(table.operator, table.tp) for table in profile.tables}


def test_a_precision_that_no_operator_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no GEMM table for int8_wo weights"):
        read([_folder(tmp_path, QWEN, "bfloat16")], device=H100, model=QWEN, weights="int8")


def test_sglang_s_table_is_as_fast_as_vllm_s_same_kernel(reference_data: Callable[[str], Path]) -> None:
    folder = reference_data("op_profiles")
    seconds = []
    for engine in ("sglang", "vllm"):
        curve = ProfileTables(read([folder], device=H100, model=QWEN, engine=engine)).curve("moe", 1)
        assert curve is not None
        seconds.append(curve(np.array([1.0, 64.0, 1024.0, 8192.0])))
    assert seconds[0] == pytest.approx(seconds[1], rel=0.5)
