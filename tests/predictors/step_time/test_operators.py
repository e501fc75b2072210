"""The operators of a step hold every matrix of the model, once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.step_time.operators import Dense, Experts, Message, step_operators, unabsorbed
from specs.catalog import find_model
from specs.deployment import Parallel
from specs.errors import InputError


def _matrix_elements(name: str, tp: int) -> float:
    ops = step_operators(find_model(name), Parallel(tp=tp), "bf16")
    dense = [op for op in (*ops.token, *ops.sequence) if isinstance(op, Dense)]
    return sum(op.calls * n * k for op in dense for n, k in op.shapes) * tp


@pytest.mark.parametrize("name", ["llama-3.1-8b", "llama-3.1-70b", "qwen3-32b", "mistral-7b"])
def test_dense_products_sum_to_the_parameters(name: str) -> None:
    model = find_model(name)
    held = _matrix_elements(name, 1) + model.vocabulary * model.hidden * (not model.tied_embeddings)
    assert model.parameters is not None
    assert held == pytest.approx(model.parameters, rel=2e-4)  # norms and biases are the rest


def test_experts_hold_the_rest_of_a_mixture() -> None:
    model = find_model("mixtral-8x7b")
    ops = step_operators(model, Parallel(), "bf16")
    experts = next(op for op in ops.token if isinstance(op, Experts))
    held = experts.calls * experts.experts * 3 * experts.hidden * experts.intermediate
    assert model.parameters is not None
    total = held + _matrix_elements("mixtral-8x7b", 1) + model.vocabulary * model.hidden
    assert total == pytest.approx(model.parameters, rel=2e-3)


@given(tp=st.sampled_from([1, 2, 4, 8]))
def test_tensor_parallelism_splits_the_matrices_evenly(tp: int) -> None:
    assert _matrix_elements("llama-3.1-70b", tp) == pytest.approx(_matrix_elements("llama-3.1-70b", 1), rel=1e-6)


def test_kv_heads_are_replicated_beyond_their_number() -> None:
    call = step_operators(find_model("qwen3-30b-a3b"), Parallel(tp=8), "bf16").attention[0]
    assert (call.heads, call.kv_heads) == (4, 1)


def test_latent_attention_decodes_on_one_cached_vector_and_prefills_per_head() -> None:
    model = find_model("deepseek-v3")
    call = step_operators(model, Parallel(tp=8), "fp8").attention[0]
    assert (call.latent, call.kv_heads, call.head_dim, call.value_dim) == (True, 1, 576, 512)
    prompt = unabsorbed(call, model.attention[0])
    assert (prompt.latent, prompt.kv_heads, prompt.head_dim) == (False, call.heads, 192)


def test_messages_follow_the_parallelism() -> None:
    model = find_model("llama-3.1-8b")
    names = {op.name for op in step_operators(model, Parallel(tp=2, pp=2), "bf16").token if isinstance(op, Message)}
    assert names == {"all_reduce", "point_to_point"}
    assert not any(isinstance(op, Message) for op in step_operators(model, Parallel(), "bf16").token)


@pytest.mark.parametrize(
    ("parallel", "said"),
    [(Parallel(tp=3), "does not divide the 32 attention heads"), (Parallel(pp=64), "has 32 layers"),
     (Parallel(ep=2), "no experts")],
)  # fmt: skip
def test_a_parallelism_the_model_cannot_take_is_refused(parallel: Parallel, said: str) -> None:
    with pytest.raises(InputError, match=said):
        step_operators(find_model("llama-3.1-8b"), parallel, "bf16")
