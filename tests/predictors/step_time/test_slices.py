"""The parts of a model add up to the whole, in time and in memory, and copies never slow a step."""

from __future__ import annotations

import numpy as np
import pytest

from predictors.memory import ledger
from predictors.memory.layers import free_for_layers, kv_by_layer, layer_memory
from predictors.step_time.slices import Part, Slices, added, decode_s, prefill_s, slices, with_hops
from specs.catalog import find_device, find_model
from specs.deployment import DeploymentSpec, Engine, Parallel

MODELS = ["llama-2-13b", "llama-3.1-70b", "gemma-2-9b", "mixtral-8x7b", "deepseek-v2-lite"]


def deployment(model: str, tp: int = 1) -> DeploymentSpec:
    engine = Engine(max_model_len=2048, max_num_seqs=64, max_num_batched_tokens=2048)
    return DeploymentSpec(model=model, device="h100-sxm", parallel=Parallel(tp=tp), engine=engine)


def cut(model: str, tp: int = 1) -> Slices:
    return slices(find_model(model), find_device("h100-sxm"), deployment(model, tp))


def parts(found: Slices, copies: int = 1) -> list[Part]:
    return [Part(surface=found.head)] + [Part(surface=found.layers[kind], copies=copies) for kind in found.kind]


@pytest.mark.parametrize(("model", "tp"), [*((name, 1) for name in MODELS), ("llama-3.1-70b", 4)])
def test_the_parts_add_up_to_the_step(model: str, tp: int) -> None:
    found = cut(model, tp)
    whole, total = found.whole.surface, added(parts(found), found.whole.surface, 500.0)
    for name in ("tokens_s", "sequences_s", "decode_attention_s", "prefill_attention_s"):
        assert np.allclose(getattr(total, name), getattr(whole, name), rtol=0.02, atol=1e-9), name


@pytest.mark.parametrize("model", MODELS)
def test_layers_weigh_what_the_replica_weighs(model: str) -> None:
    spec, device = find_model(model), find_device("h100-sxm")
    memory = layer_memory(spec, deployment(model))
    weights = sum(ledger(spec, device, deployment(model)).weights.values())
    extra = memory.last if spec.tied_embeddings else 0.0
    assert memory.weights.sum() + memory.everywhere - extra == pytest.approx(weights, rel=1e-6)
    assert free_for_layers(spec, device, deployment(model)) > 0


def test_a_13b_layer_and_its_kv_weigh_what_its_shapes_say() -> None:
    spec = find_model("llama-2-13b")
    memory = layer_memory(spec, deployment("llama-2-13b"))
    assert memory.layers[1] == pytest.approx(634e6, rel=0.005)  # 4h² + 3hf at 16 bits [calc]
    assert memory.attention[1] / 4 == pytest.approx(52.4e6, rel=0.005)
    assert memory.feed_forward[1] / 3 == pytest.approx(141.6e6, rel=0.005)
    assert kv_by_layer(spec, deployment("llama-2-13b"), 1.0).sum() == 819_200


def test_a_sliding_window_bounds_the_kv_of_its_layers() -> None:
    spec = find_model("gemma-2-9b")
    short, long = (kv_by_layer(spec, deployment("gemma-2-9b"), tokens) for tokens in (4096.0, 8192.0))
    assert (long > short).sum() == spec.layers // 2


def test_copies_never_slow_a_step_and_help_a_memory_bound_decode_little() -> None:
    found = cut("llama-2-13b")
    one, two = (added(parts(found, copies), found.whole.surface, 300.0) for copies in (1, 2))
    assert (two.tokens_s <= one.tokens_s + 1e-12).all()
    small = decode_s(two, 8, 500) / decode_s(one, 8, 500)
    prompts = prefill_s(two, 300, 6) / prefill_s(one, 300, 6)
    assert 0.9 < small <= 1.0
    assert 0.4 < prompts < 0.75


def test_one_prompt_stays_on_one_copy() -> None:
    found = cut("llama-2-13b")
    one, two = (added(parts(found, copies), found.whole.surface, 1000.0) for copies in (1, 2))
    assert two.tokens_s[1000] == pytest.approx(one.tokens_s[1000])


def test_hops_cost_their_start_and_their_bytes() -> None:
    surface = cut("llama-2-13b").whole.surface
    hopped = with_hops(surface, 2e-5, 1e-6)
    assert hopped.tokens_s[0] == 0.0
    assert hopped.tokens_s[100] - surface.tokens_s[100] == pytest.approx(2e-5 + 1e-4)
