"""Tables of three other tools become one form: held against formulas and, where real, against the roofline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from predictors.step_time.tables import ProfileTables
from profilers.importers import read
from profilers.importers.aiconfigurator import read as read_kernels
from profilers.importers.frames import names_device, names_model
from profilers.importers.silicon import is_installed, profile_in, systems_folder
from specs.catalog import find_device, find_model
from specs.errors import InputError, MissingHardwareError

H100, RTX, A100 = find_device("h100-sxm"), find_device("rtx-pro-6000"), find_device("a100-80gb")
LLAMA = find_model("llama-3.1-8b")
SIZES = (256, 1024, 4096, 16384)


def _gemm_ms(m: float, n: float, k: float) -> float:
    return 1e-3 + n * k * (1 + m / 100) * 1e-9


def _kernels(folder: Path, version: str = "0.14.0", scale: float = 1.0) -> None:
    """AIConfigurator's upstream layout, every latency from a formula that is bilinear in n and k and linear in m."""
    family = folder / "h100_sxm" / "gemm" / "vllm" / version
    family.mkdir(parents=True)
    rows = [
        {"gemm_dtype": "bfloat16", "m": m, "n": n, "k": k, "latency": scale * _gemm_ms(m, n, k)}
        for m in (1, 64, 1024, 8192) for n in SIZES for k in SIZES
    ]  # fmt: skip
    pl.DataFrame(rows).write_parquet(family / "gemm_perf.parquet")


def _all_reduce(folder: Path) -> None:
    family = folder / "h100_sxm" / "comm" / "vllm" / "0.12.0"
    family.mkdir(parents=True)
    rows = [
        {"num_gpus": p, "message_size": s, "latency": 0.01 + s * p * 1e-9, "kernel_source": f"vLLM_custom_{how}"}
        for p in (2, 4, 8) for s in (128, 2**20, 2**28) for how in ("graph", "eager")
    ]  # fmt: skip
    pl.DataFrame(rows).write_parquet(family / "custom_allreduce_perf.parquet")


def test_kernel_tables_are_read_at_the_models_shapes(tmp_path: Path) -> None:
    _kernels(tmp_path)
    found = read("aiconfigurator", [tmp_path], device=H100, model=LLAMA)
    assert (found.engine, found.engine_version, found.basis) == ("vllm", "0.14.0", "database")
    curve = ProfileTables(found).curve("gate_up_proj", 2)
    assert curve is not None
    assert float(curve(64.0)) == pytest.approx(_gemm_ms(64, 14336, 4096) * 1e-3, rel=1e-4)
    beyond = ProfileTables(found).curve("lm_head", 1)  # 128256 rows of weights, the table ends at 16384
    assert beyond is not None
    assert float(beyond(1.0)) == pytest.approx(_gemm_ms(1, 128256, 4096) * 1e-3, rel=0.02)


def test_the_newest_version_is_taken_unless_one_is_named(tmp_path: Path) -> None:
    _kernels(tmp_path, "0.9.0", scale=2.0)
    _kernels(tmp_path, "0.14.0")
    _all_reduce(tmp_path)
    newest = read("aiconfigurator", [tmp_path], device=H100, model=LLAMA)
    named = read("aiconfigurator", [tmp_path], device=H100, model=LLAMA, engine_version="0.9.0")
    assert (newest.engine_version, named.engine_version) == ("0.14.0", "0.9.0")
    assert {t.tp for t in newest.tables if t.operator == "all_reduce"} == {2, 4, 8}
    with pytest.raises(InputError, match=r"found: vllm 0\.14\.0, vllm 0\.9\.0"):
        read("aiconfigurator", [tmp_path], device=H100, model=LLAMA, engine_version="7.0")


def test_a_spike_of_one_measurement_is_not_believed(tmp_path: Path) -> None:
    _kernels(tmp_path)
    path = tmp_path / "h100_sxm" / "gemm" / "vllm" / "0.14.0" / "gemm_perf.parquet"
    frame = pl.read_parquet(path)
    spiked = pl.when(pl.col("m") == 1024).then(pl.col("latency") * 5).otherwise(pl.col("latency"))
    frame.with_columns(latency=spiked).write_parquet(path)
    curve = ProfileTables(read("aiconfigurator", [tmp_path], device=H100, model=LLAMA)).curve("o_proj", 1)
    assert curve is not None
    assert float(curve(1024.0)) == pytest.approx(_gemm_ms(1024, 4096, 4096) * 1e-3, rel=0.05)


def test_scoring_cases_are_never_read(tmp_path: Path) -> None:
    _kernels(tmp_path)
    cases = tmp_path / "silicon_sample.csv"
    cases.write_bytes(b"\xff\xfe not a table")
    cases.chmod(0)
    assert read("aiconfigurator", [tmp_path], device=H100, model=LLAMA).tables


def test_installed_tables_are_found_by_system(tmp_path: Path) -> None:
    _kernels(tmp_path)
    found = profile_in(tmp_path, LLAMA, H100)
    assert found is not None
    assert found.device == "h100-sxm"
    assert profile_in(tmp_path, LLAMA, find_device("l4")) is None
    assert profile_in(tmp_path, LLAMA, H100, engine="trtllm") is None
    if not is_installed():
        with pytest.raises(MissingHardwareError, match="silicon"):
            systems_folder()


@pytest.mark.extras
def test_the_package_has_tables_of_ten_systems() -> None:
    pytest.importorskip("aiconfigurator_core", reason="tonnage[silicon] is not installed")
    known = [name for name in ("a100-80gb", "h100-sxm", "h200", "b200", "gb200", "l40s", "rtx-pro-6000")
             if profile_in(systems_folder(), LLAMA, find_device(name)) is not None]  # fmt: skip
    assert len(known) >= 6


def _layers(folder: Path) -> Path:
    """LLMServingSim's upstream layout: dense layers of 10 + tokens µs, decodes twice as dear in mixed steps."""
    tp = folder / "RTXPRO6000" / "meta-llama" / "Llama-3.1-8B" / "bf16" / "tp1"
    tp.mkdir(parents=True)
    dense = [{"layer": layer, "tokens": t, "time_us": 10.0 + t} for t in (1, 8, 64)
             for layer in ("qkv_proj", "o_proj", "gate_up_proj", "down_proj", "rotary_emb", "qk_norm")]  # fmt: skip
    pl.DataFrame(dense).write_csv(tp / "dense.csv")
    grid = [(0, 0, n, c) for n in (1, 8) for c in (128, 512)] + [(p, 0, 0, 0) for p in (128, 512)]
    grid += [(p, 0, n, c) for p in (128, 512) for n in (1, 8) for c in (128, 512)]
    attention = [
        {"prefill_chunk": p, "kv_prefill": k, "n_decode": n, "kv_decode": c,
         "time_us": 0.1 * p + n * c * (0.02 if p else 0.01)}
        for p, k, n, c in grid
    ]  # fmt: skip
    pl.DataFrame(attention).write_csv(tp / "attention.csv")
    (tp.parent / "meta.yaml").write_text("model: meta-llama/Llama-3.1-8B\nvllm_version: 0.19.0\n")
    return folder


def test_layer_tables_split_mixed_steps_and_add_what_belongs_together(tmp_path: Path) -> None:
    found = read("llmservingsim", [_layers(tmp_path)], device=RTX, model=LLAMA)
    tables = ProfileTables(found)
    assert (found.engine_version, found.timing) == ("0.19.0", "kernels")
    rope, pure = tables.curve("rope", 1), tables.grid("decode_attention", 1)
    mixed = tables.grid("mixed_decode_attention", 1)
    assert rope is not None
    assert pure is not None
    assert mixed is not None
    assert float(rope(8.0)) == pytest.approx(2 * 18e-6)
    at = (np.array([8.0]), np.array([512.0]))
    assert mixed(*at)[0, 0] == pytest.approx(2 * pure(*at)[0, 0], rel=1e-6)


def test_layer_tables_of_another_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no dense table"):
        read("llmservingsim", [_layers(tmp_path)], device=RTX, model=find_model("qwen3-32b"))


def test_merged_tables_of_another_device_say_what_they_hold(tmp_path: Path) -> None:
    frame = pl.DataFrame({"gpu": ["RTX3090"], "layer": ["o_proj"], "tokens": [1], "time_us": [3.0]})
    frame.write_parquet(tmp_path / "x_dense.parquet")
    with pytest.raises(InputError, match="it has RTX3090"):
        read("llmservingsim", [tmp_path], device=RTX, model=LLAMA)


def test_vidur_profiles_are_read_by_degree(tmp_path: Path) -> None:
    folder = tmp_path / "compute" / "a100" / "meta-llama" / "Llama-3.1-8B"
    folder.mkdir(parents=True)
    names = ("mlp_up_proj", "attn_pre_proj", "mlp_down_proj", "attn_post_proj")
    rows = [{"num_tokens": t, "num_tensor_parallel_workers": tp, **{f"{n}.median": 0.01 * t / tp for n in names}}
            for t in (1, 64, 4096) for tp in (1, 2)]  # fmt: skip
    pl.DataFrame(rows).write_csv(folder / "mlp.csv")
    tables = ProfileTables(read("vidur", [tmp_path], device=A100, model=LLAMA))
    one, two = tables.curve("gate_up_proj", 1), tables.curve("gate_up_proj", 2)
    assert one is not None
    assert two is not None
    assert float(one(64.0)) == pytest.approx(640e-6)
    assert float(two(64.0)) == pytest.approx(320e-6)


@pytest.mark.parametrize("form", ["aiconfigurator", "llmservingsim", "vidur"])
def test_a_folder_without_such_tables_is_refused(form: str, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError):
        read(form, [tmp_path], device=H100, model=LLAMA)


def test_an_unknown_form_and_a_missing_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'vidur'"):
        read("vidor", [tmp_path], device=H100, model=LLAMA)
    with pytest.raises(InputError, match="no such file"):
        read("vidur", [tmp_path / "gone"], device=H100, model=LLAMA)


def test_a_file_that_is_no_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "tables_dense.parquet").write_bytes(b"nothing")
    with pytest.raises(InputError, match="tables_dense"):
        read("llmservingsim", [tmp_path], device=RTX, model=LLAMA)


def test_names_are_matched_without_owner_and_tuning() -> None:
    assert names_model("Qwen/Qwen3-30B-A3B-Instruct-2507", find_model("qwen3-30b-a3b"))
    assert not names_model("meta-llama/Llama-2-70b-hf", find_model("llama-2-7b"))
    assert names_device("RTXPRO6000", RTX)
    assert not names_device("h200_sxm", H100)


def test_real_h100_tables_agree_with_the_roofline(reference_data: Callable[[str], Path]) -> None:
    from predictors.step_time import step_time
    from specs.deployment import DeploymentSpec, Engine, Parallel

    folder = reference_data("op_profiles/aiconfigurator_h100_sxm_vllm-0.14.0_gemm_perf.parquet").parent
    found = read_kernels([folder], device=H100, model=LLAMA, engine="vllm")
    for tp in (1, 2, 4):
        deployment = DeploymentSpec(
            model=LLAMA.name, device=H100.name, parallel=Parallel(tp=tp), engine=Engine(max_model_len=8192)
        )
        known = step_time(LLAMA, H100, deployment, profile=found)
        guess = step_time(LLAMA, H100, deployment)
        assert known.tier == "database"
        for tokens in (1, 64, 512, 4096):
            assert known.surface.tokens_s[tokens] == pytest.approx(guess.surface.tokens_s[tokens], rel=0.35)
