"""Weights against published totals, shards against each other, storage against arithmetic by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.memory import parameter_count, weight_bytes
from predictors.memory.sharding import check_divisible, ranks
from predictors.memory.storage import MIB, allocated_bytes
from predictors.memory.weights import rank_weights
from specs.catalog import find_model, model_names
from specs.deployment import Parallel, PrecisionSpec
from specs.errors import InputError

GIB = 2**30
AS_PUBLISHED = PrecisionSpec()


@pytest.mark.parametrize("name", [name for name in model_names() if find_model(name).parameters])
def test_tensors_add_up_to_the_published_total(name: str) -> None:
    model = find_model(name)
    assert model.parameters is not None
    assert parameter_count(model) == pytest.approx(model.parameters, rel=0.007)


def test_llama_8b_matches_its_checkpoint_to_the_parameter() -> None:
    assert parameter_count(find_model("llama-3.1-8b")) == 8_030_261_248


def test_a_rank_holds_weights_and_its_rotary_cache() -> None:
    model = find_model("llama-3.1-8b")
    cache = 131_072 * 128 * 2
    assert weight_bytes(model, AS_PUBLISHED, Parallel()) == 8_030_261_248 * 2 + cache


def test_latent_attention_keeps_absorbed_copies_of_its_up_projections() -> None:
    model = find_model("deepseek-v2-lite")
    parts = rank_weights(model, AS_PUBLISHED, Parallel(), ranks(model, Parallel())[0])
    assert parts["absorbed MLA copies"] == 27 * 16 * 512 * (128 + 128) * 2


def test_scales_and_kept_parts_of_quantised_checkpoints() -> None:
    matrices = 32 * (4096 * (4096 + 2 * 1024) + 4096 * 4096 + 3 * 4096 * 14336)
    kept = 2 * 128_256 * 4096 * 2 + 65 * 4096 * 2 + 131_072 * 128 * 2
    int4 = weight_bytes(find_model("llama-3.1-8b-w4a16"), AS_PUBLISHED, Parallel())
    assert int4 == pytest.approx(matrices * (0.5 + 2.5 / 128) + kept, rel=1e-3)
    fp8 = weight_bytes(find_model("llama-3.1-8b"), PrecisionSpec(weights="fp8"), Parallel())
    assert fp8 == pytest.approx(matrices + kept, rel=1e-3)


def test_mxfp4_experts_are_padded_to_whole_tiles() -> None:
    model = find_model("gpt-oss-20b")
    parts = rank_weights(model, AS_PUBLISHED, Parallel(), ranks(model, Parallel())[0])
    padded = 24 * 32 * 3 * 3072 * 2944 * (0.5 + 1 / 32)
    assert parts["experts"] == pytest.approx(padded, rel=0.002)


@given(st.floats(min_value=1, max_value=2**32))
def test_the_allocator_adds_at_most_one_mebibyte(size: float) -> None:
    assert 0 <= allocated_bytes(size) - size <= MIB


@given(st.sampled_from(["llama-3.1-70b", "qwen3-30b-a3b", "deepseek-v3", "gpt-oss-20b", "gemma-3-27b"]))
def test_more_ranks_never_hold_more_each(name: str) -> None:
    model = find_model(name)
    sizes = [weight_bytes(model, AS_PUBLISHED, Parallel(tp=tp)) for tp in (1, 2, 4, 8)]
    assert sizes == sorted(sizes, reverse=True)
    stages = [weight_bytes(model, AS_PUBLISHED, Parallel(pp=pp)) for pp in (1, 2, 4)]
    assert stages == sorted(stages, reverse=True)


@given(st.integers(min_value=1, max_value=32), st.sampled_from(["llama-3.1-8b", "gemma-3-27b", "deepseek-v3"]))
def test_pipeline_ranks_share_every_layer_once(pp: int, name: str) -> None:
    model = find_model(name)
    found = ranks(model, Parallel(pp=pp))
    assert sum(rank.layers for rank in found) == model.layers
    for index, kind in enumerate(model.attention):
        assert sum(rank.attention_layers[index] for rank in found) == kind.layers
    assert sum(rank.dense_layers for rank in found) == (model.mlp.layers if model.mlp else 0)


def test_expert_parallelism_holds_whole_experts() -> None:
    model = find_model("qwen3-30b-a3b")
    cut = weight_bytes(model, AS_PUBLISHED, Parallel(tp=4))
    assert weight_bytes(model, AS_PUBLISHED, Parallel(tp=4, ep=4)) == pytest.approx(cut, rel=0.001)


def test_a_tp_that_does_not_divide_names_heads_tp_and_those_that_would() -> None:
    with pytest.raises(
        InputError, match=r"tensor parallelism 5 .* 8 KV heads \(40 attention heads\) of qwen3-14b"
    ) as found:
        check_divisible(find_model("qwen3-14b"), Parallel(tp=5))
    assert "1, 2, 4, 8" in found.value.cure
    with pytest.raises(InputError, match=r"tensor parallelism 3 .* 32 attention heads of llama-3.1-8b"):
        check_divisible(find_model("llama-3.1-8b"), Parallel(tp=3))


@pytest.mark.parametrize(
    ("name", "parallel", "message"),
    [
        ("llama-3.1-8b", Parallel(tp=2, ep=2), "needs experts"),
        ("qwen3-30b-a3b", Parallel(tp=4, ep=3), "expert parallelism 3 does not divide the 4 ranks"),
        ("llama-3.1-8b", Parallel(pp=33), "exceeds the 32 layers"),
    ],
)
def test_other_degrees_that_cannot_be_cut(name: str, parallel: Parallel, message: str) -> None:
    with pytest.raises(InputError, match=message):
        weight_bytes(find_model(name), AS_PUBLISHED, parallel)
