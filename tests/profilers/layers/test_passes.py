"""The operators on torch tensors: which run for which model, their sizes, and that together they are a real Llama."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from profilers.layers.document import document
from profilers.layers.passes import Passes, copies_of, require_room
from profilers.layers.shapes import Shape
from profilers.layers.survey import TARGET, survey
from profilers.layers.tensors import check, ends_bytes, layer_bytes, shard_of
from specs.base import BYTES_PER_ELEMENT
from specs.catalog import find_model, reported_device
from specs.errors import InputError, MissingHardwareError
from specs.model import Attention, Mlp, ModelSpec, Moe
from specs.profile import Machine

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="transformers is not installed"
)
DENSE = {"embedding", "norm", "qkv_proj", "rope", "o_proj", "gate_up_proj", "activation", "down_proj"}
GROUPED = Attention(layers=2, heads=4, kv_heads=2, head_dim=32, qk_norm=True)
LATENT = Attention(
    kind="mla", layers=2, heads=4, kv_heads=4, head_dim=32, value_head_dim=32, q_lora_rank=24, kv_lora_rank=16,
    rope_head_dim=8,
)  # fmt: skip


def model(attention: Attention = GROUPED, **fields: Any) -> ModelSpec:
    return ModelSpec(
        name="tiny", architecture="X", hidden=128, layers=2, vocabulary=512, max_context_tokens=512,
        attention=(attention,), weights_precision="fp32", source="made up", date="2026-11-23",
        **{"mlp": Mlp(layers=2, intermediate=256), **fields},
    )  # fmt: skip


def passes(spec: ModelSpec, tp: int = 1) -> Passes:
    import torch

    torch.set_num_threads(1)
    return Passes(torch, spec, tp, "cpu", 0.0)


@pytest.mark.extras
@needs_torch
@pytest.mark.parametrize("attention", [GROUPED, LATENT])
@pytest.mark.parametrize("tp", [1, 2, 4])
def test_every_operator_of_a_dense_layer_is_timed(attention: Attention, tp: int) -> None:
    bench = passes(model(attention), tp)
    for shape, operators in (
        (Shape("tokens", 5), DENSE), (Shape("sequences", 3), {"lm_head", "sampler"}),
        (Shape("prefill", 8, 16), {"prefill_attention"}), (Shape("prefill", 8), {"prefill_attention"}),
        (Shape("decode", 3, 20), {"decode_attention"}),
    ):  # fmt: skip
        laps = bench.run(shape)
        assert set(laps) == operators
        assert all(seconds > 0 for seconds in laps.values())


@pytest.mark.extras
@needs_torch
def test_experts_take_the_place_of_the_dense_block() -> None:
    moe = Moe(layers=2, experts=8, experts_per_token=2, intermediate=64, shared_intermediate=64)
    laps = passes(model(mlp=None, moe=moe), 2).run(Shape("tokens", 7))
    assert set(laps) == {"embedding", "norm", "qkv_proj", "rope", "o_proj", "router", "moe", "shared_expert"}


@pytest.mark.extras
@needs_torch
@pytest.mark.parametrize("name", ["qwen2.5-0.5b", "llama-3.1-8b", "qwen3-30b-a3b", "deepseek-v2-lite"])
def test_the_matrices_of_a_layer_weigh_what_the_catalogue_says(name: str) -> None:
    """A layer's own matrices, by size, fill the published parameters less both ends within 4 %."""
    spec = find_model(name)
    assert spec.parameters is not None
    ends = ends_bytes(spec, 1) / (2 if spec.tied_embeddings else 1)
    size = BYTES_PER_ELEMENT[spec.weights_precision]
    assert layer_bytes(spec, 1) * spec.layers == pytest.approx(spec.parameters * size - ends, rel=0.04)


@pytest.mark.extras
@needs_torch
@needs_transformers
def test_the_operators_in_a_row_are_the_llama_of_transformers() -> None:
    """Same weights, same tokens: prefill and a decode step give the logits of Hugging Face's LlamaForCausalLM."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from benchmarks.small_llama import make
    from profilers.layers.blocks import EPSILON

    whole = make(torch, "fp32")
    attention, mlp = whole.model.attention[0], whole.model.mlp
    assert mlp is not None
    config = LlamaConfig(
        hidden_size=whole.model.hidden, intermediate_size=mlp.intermediate, num_hidden_layers=whole.model.layers,
        num_attention_heads=attention.heads, num_key_value_heads=attention.kv_heads, rms_norm_eps=EPSILON,
        vocab_size=whole.model.vocabulary, tie_word_embeddings=False, attn_implementation="sdpa",
    )  # fmt: skip
    theirs = LlamaForCausalLM(config).eval()
    theirs.load_state_dict(_state(whole, theirs), strict=True)
    ids = torch.randint(0, whole.model.vocabulary, (2, 9), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        cache = whole.cache(2, 9)
        first = whole.forward(ids[:, :8], cache, 0)
        second = whole.forward(ids[:, 8:], cache, 8)
        wanted = theirs(ids).logits
    torch.testing.assert_close(first, wanted[:, 7], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(second, wanted[:, 8], rtol=1e-3, atol=1e-3)


def _state(whole: Any, theirs: Any) -> dict[str, Any]:
    attention, width = whole.model.attention[0], whole.model.mlp.intermediate
    rows = (attention.heads * attention.head_dim, *2 * (attention.kv_heads * attention.head_dim,))
    state = {"model.embed_tokens.weight": whole.embedding, "lm_head.weight": whole.head}
    state["model.norm.weight"] = whole.norms[-1]
    for i, layer in enumerate(whole.layers):
        name = f"model.layers.{i}"
        for part, matrix in zip("qkv", layer.qkv[0].split(rows), strict=True):
            state[f"{name}.self_attn.{part}_proj.weight"] = matrix
        state[f"{name}.self_attn.o_proj.weight"] = layer.output
        state[f"{name}.mlp.gate_proj.weight"], state[f"{name}.mlp.up_proj.weight"] = layer.up.split(width)
        state[f"{name}.mlp.down_proj.weight"] = layer.down
        state[f"{name}.input_layernorm.weight"] = whole.norms[2 * i]
        state[f"{name}.post_attention_layernorm.weight"] = whole.norms[2 * i + 1]
    assert set(state) == set(theirs.state_dict())
    return state


@pytest.mark.extras
@needs_torch
def test_a_survey_of_a_real_layer_becomes_a_profile_that_grows_with_its_work() -> None:
    spec = model()
    shapes = [Shape("tokens", n) for n in (1, 512)] + [Shape("decode", 4, n) for n in (64, 512)]
    found = survey(shapes, passes(spec).run, budget_s=5.0, on_progress=lambda done, total, what: None)
    profile = document(spec, found, tp=1, device="cpu", machine=Machine(), target=TARGET).spec
    by_name = {table.operator: table for table in profile.tables}
    assert set(by_name) == {*DENSE, "decode_attention"}
    for name in ("qkv_proj", "gate_up_proj", "down_proj", "decode_attention"):
        latency = dict(zip(by_name[name].points, by_name[name].latency_us, strict=True))
        assert latency[max(latency)] > latency[min(latency)]


def test_shards_split_heads_and_replicate_what_is_left() -> None:
    assert shard_of(GROUPED, 4).heads == 1
    assert shard_of(GROUPED, 4).kv_heads == 1
    assert shard_of(LATENT, 2).head_dim == 40
    assert layer_bytes(model(), 2) < layer_bytes(model(), 1)


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(InputError, match="--tp: 3 does not divide the 4 attention heads"):
        check(model(), 3)
    with pytest.raises(InputError, match="only bf16, fp16 and fp32"):
        check(find_model("llama-3.1-70b-fp8"), 1)
    with pytest.raises(MissingHardwareError, match=r"needs 9\.0 GiB, 10\.0 GiB of memory are free"):
        require_room(9 * 2**30, 10 * 2**30, "tiny")


def test_copies_fill_the_last_cache_twice_but_are_no_more_than_layers() -> None:
    spec = find_model("llama-3.1-8b")
    assert copies_of(spec, 1, 50 * 2**20) == 1
    assert copies_of(spec, 1, 300 * 2**20) == 2
    assert copies_of(model(), 1, 2**30) == 2


@pytest.mark.parametrize(
    ("reported", "name"),
    [("NVIDIA H200", "h200"), ("NVIDIA L40S", "l40s"), ("NVIDIA GeForce GTX 1080", "geforce-gtx-1080")],
)
def test_a_gpu_gets_the_catalogues_name(reported: str, name: str) -> None:
    assert reported_device(reported) == name
