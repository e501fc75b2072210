"""The catalogue loads whole, cites every figure, and its tensors add up to the published parameter totals."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path

import polars as pl
import pytest

from specs.catalog import device_names, find_device, find_model, model_names
from specs.device import DeviceSpec
from specs.errors import InputError
from specs.model import Attention, ModelSpec

DEVICES = [find_device(name) for name in device_names()]
MODELS = [find_model(name) for name in model_names()]
ASKED_DEVICES = {
    "h100-sxm", "h100-pcie", "h200", "b200", "gb200", "a100-40gb", "a100-80gb", "l40s", "l4", "a10g", "rtx-4090",
    "rtx-pro-6000", "a6000", "v100", "t4", "mi300x",
}  # fmt: skip
# Dense 16-bit tensor FLOP per clock and SM, fp32 accumulate: NVIDIA architecture whitepapers, AMD CDNA 3 paper. [std]
FLOP_PER_CLOCK_AND_SM = {
    "7.0": 1024, "7.5": 1024, "8.0": 2048, "8.6": 1024, "8.9": 1024, "9.0": 4096, "10.0": 8192, "12.0": 1024,
    None: 2048,
}  # fmt: skip
FOURFOLD = {("rtx-3090", "int8"), ("rtx-4090", "int8")}  # int8 is not halved where fp32 accumulate is
HALVED = {"rtx-3090", "rtx-4090", "a10g"}  # fp32 accumulate at half rate on these boards


def test_the_devices_asked_for_are_there() -> None:
    assert set(device_names()) >= ASKED_DEVICES
    without_claim = {device.name for device in DEVICES if not device.accuracy_claim}
    assert without_claim == {"v100", "t4", "mi300x"}


def test_at_least_thirty_models_are_there() -> None:
    assert len(model_names()) >= 30


@pytest.mark.parametrize("entries", [DEVICES, MODELS], ids=["devices", "models"])
def test_names_and_aliases_are_unique(entries: list[DeviceSpec] | list[ModelSpec]) -> None:
    spelt = [name.lower() for entry in entries for name in (entry.name, *entry.aliases)]
    assert sorted(set(spelt)) == sorted(spelt)
    assert all(entry.name == entry.name.lower() and "_" not in entry.name for entry in entries)


def test_entries_are_found_by_file_name_and_alias() -> None:
    assert [device.name for device in DEVICES] == list(device_names())
    assert [model.name for model in MODELS] == list(model_names())
    assert find_device("NVIDIA H100 80GB HBM3").name == "h100-sxm"
    assert find_device("A40").name == "a40"
    assert find_model("meta-llama/llama-3.1-8b-instruct").name == "llama-3.1-8b"


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
def test_every_figure_of_a_device_has_a_dated_source(device: DeviceSpec) -> None:
    assert device.sources["*"].source
    known = {f"peak_tflops.{precision}" for precision in device.peak_tflops} | {"*"}
    known |= set(DeviceSpec.model_fields) | {"links.nvlink_gb_per_s", "links.pcie_gb_per_s"}
    assert set(device.sources) <= known
    assert all(len(source.date) == 10 and source.source for source in device.sources.values())
    if device.usable_memory_gib is not None:
        assert "usable_memory_gib" in device.sources
        assert 0.95 * device.memory_gib < device.usable_memory_gib < device.memory_gib


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
def test_the_tensor_rate_is_sms_times_clock(device: DeviceSpec) -> None:
    """Second method: SMs × dense FLOP per clock and SM × clock gives the datasheet's rate within 1.5 %."""
    per_clock = FLOP_PER_CLOCK_AND_SM[device.compute_capability] / (2 if device.name in HALVED else 1)
    derived = device.sm_count * per_clock * device.boost_clock_mhz * 1e6 / 1e12
    assert device.peak_tflops["fp16"] == pytest.approx(derived, rel=0.015)
    assert device.peak_tflops.get("bf16", device.peak_tflops["fp16"]) == device.peak_tflops["fp16"]
    for narrow in ("fp8", "int8"):
        ratio = device.peak_tflops.get(narrow, 2 * derived) / derived
        assert ratio == pytest.approx(4 if (device.name, narrow) in FOURFOLD else 2, rel=0.03)


def test_an_unknown_name_shows_the_nearest() -> None:
    with pytest.raises(InputError, match="h100-sxm"):
        find_device("h100-smx")
    with pytest.raises(InputError, match=r"llama-3\.1-8b"):
        find_model("llama-3.1-8")


def _attention_tensors(hidden: int, kind: Attention) -> Iterator[tuple[int, ...]]:
    if kind.kind == "mla":
        yield from _latent_tensors(hidden, kind)
        return
    queries, keys = kind.heads * kind.head_dim, kind.kv_heads * kind.head_dim
    yield from ((queries, hidden), (keys, hidden), (keys, hidden), (hidden, queries))
    yield from ((queries,), (keys,), (keys,)) if kind.qkv_bias else ()
    yield from ((hidden,),) if kind.output_bias else ()
    yield from ((kind.head_dim,), (kind.head_dim,)) if kind.qk_norm else ()
    yield from ((kind.heads,),) if kind.sinks else ()


def _latent_tensors(hidden: int, kind: Attention) -> Iterator[tuple[int, ...]]:
    latent, rope, value = kind.kv_lora_rank or 0, kind.rope_head_dim or 0, kind.value_head_dim or 0
    width = kind.heads * (kind.head_dim + rope)
    if kind.q_lora_rank:
        yield from ((kind.q_lora_rank, hidden), (kind.q_lora_rank,), (width, kind.q_lora_rank))
    else:
        yield width, hidden
    yield from ((latent + rope, hidden), (latent,), (kind.heads * (kind.head_dim + value), latent))
    yield hidden, kind.heads * value


def _block(hidden: int, inner: int, gated: bool, bias: bool) -> Iterator[tuple[int, ...]]:
    ups = 2 if gated else 1
    yield from ((inner, hidden),) * ups
    yield hidden, inner
    yield from (*((inner,),) * ups, (hidden,)) if bias else ()


def _expert_tensors(model: ModelSpec) -> Iterator[tuple[int, ...]]:
    moe = model.moe
    assert moe is not None
    for _ in range(moe.experts):
        yield from _block(model.hidden, moe.intermediate, moe.gated, moe.bias)
    yield moe.experts, model.hidden
    yield from ((moe.experts,),) if moe.router_bias else ()
    if moe.shared_intermediate:
        yield from _block(model.hidden, moe.shared_intermediate, gated=True, bias=False)
        yield from ((1, model.hidden),) if moe.shared_gate else ()


def _parameters(model: ModelSpec) -> int:
    """Sum the elements of every tensor, listed one by one."""
    norm = (model.hidden,) if not model.norm_bias else (2, model.hidden)
    layers = sum(kind.layers * _elements(_attention_tensors(model.hidden, kind)) for kind in model.attention)
    if model.mlp:
        block = _block(model.hidden, model.mlp.intermediate, model.mlp.gated, model.mlp.bias)
        layers += model.mlp.layers * _elements(block)
    layers += model.moe.layers * _elements(_expert_tensors(model)) if model.moe else 0
    layers += (model.layers * model.norms_per_layer + 1) * prod(norm)
    table = model.vocabulary * model.hidden * (1 if model.tied_embeddings else 2)
    head_bias = model.vocabulary if model.lm_head_bias else 0
    positions = model.learned_positions * model.hidden
    vision = model.vision.parameters if model.vision else 0
    return int(layers + table + head_bias + positions + vision + model.extra_parameters)


def _elements(shapes: Iterator[tuple[int, ...]]) -> int:
    return sum(prod(shape) for shape in shapes)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_layers_add_up(model: ModelSpec) -> None:
    assert sum(kind.layers for kind in model.attention) == model.layers
    assert (model.mlp.layers if model.mlp else 0) + (model.moe.layers if model.moe else 0) == model.layers
    assert all(kind.heads % kind.kv_heads == 0 for kind in model.attention)
    assert model.source
    assert len(model.date) == 10
    assert (model.quantization is None) == (model.weights_precision in ("bf16", "fp16", "fp32"))


@pytest.mark.parametrize("model", [model for model in MODELS if model.parameters], ids=lambda model: model.name)
def test_the_tensors_add_up_to_the_published_total(model: ModelSpec) -> None:
    """Exact (1 in 10⁶) against totals of safetensors metadata; within 0.5 % of totals that a model card rounds."""
    published = model.parameters
    assert published is not None
    rounded = "model card" in model.source or published % 10_000_000 == 0
    assert _parameters(model) == pytest.approx(published, rel=0.005 if rounded else 1e-6)


def test_most_totals_are_exact() -> None:
    exact = sum(model.parameters == _parameters(model) for model in MODELS)
    assert exact >= 0.85 * len(MODELS)


MEASURED = (
    ("gpu_memory/llmd_planner_vllm019_h100_memory.csv", "model"),
    ("gpu_memory/llmd_planner_vllm019_h100_failed_runs.csv", "model"),
    ("op_profiles/distserve_max_num_tokens.csv", "model"),
    ("op_profiles/splitwise_perf_model_a100.csv.gz", "model"),
    ("op_profiles/vidur_mlp_a100.parquet", "model"),
    ("op_profiles/vidur_mlp_a40.parquet", "model"),
    ("op_profiles/llmservingsim_RTXPRO6000_dense.parquet", "model"),
    ("op_profiles/llmservingsim_v0_A6000_layers.parquet", "model"),
    ("op_profiles/llmservingsim_v0_RTX3090_layers.parquet", "model"),
    ("serving_runs/aiconfigurator_silicon_h100.csv.gz", "model_path"),
    ("serving_runs/argonne_a100_gh200.csv.gz", "model"),
    ("serving_runs/argonne_power.csv.gz", "Model"),
    ("serving_runs/argonne_tp_pp.csv.gz", "Model"),
    ("serving_runs/argonne_ttft_itl.csv.gz", "Model"),
    ("serving_runs/infsim_vllm_steps_llama2.parquet", "model"),
)


def _named_models(path: Path, column: str) -> set[str]:
    if path.suffix == ".parquet":
        return set(pl.read_parquet(path, columns=[column])[column].to_list())
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        return {row[column] for row in csv.DictReader(file)} - {""}


@pytest.mark.parametrize(("name", "column"), MEASURED)
def test_every_model_that_a_measurement_names_is_known(
    name: str, column: str, reference_data: Callable[[str], Path]
) -> None:
    for model in _named_models(reference_data(name), column):
        assert find_model(model).layers > 0
