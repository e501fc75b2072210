"""Weights of one rank, tensor by tensor: what is sharded, what is replicated, and what the engine adds."""

from __future__ import annotations

from collections.abc import Iterator

from predictors.memory.coefficients import rotary_caches
from predictors.memory.sharding import (
    Rank,
    check_divisible,
    expert_split,
    kv_heads_per_rank,
    padded_vocabulary,
    ranks,
)
from predictors.memory.storage import Matrix, Storage, expert_sides, matrix_bytes, storage
from specs.deployment import Parallel, PrecisionSpec
from specs.model import Attention, Mlp, ModelSpec, Moe


def weight_bytes(model: ModelSpec, precision: PrecisionSpec, parallel: Parallel) -> float:
    """Bytes of weights on the fullest rank, per GPU.

    Raises `InputError` where ``parallel`` does not divide the model.
    """
    check_divisible(model, parallel)
    return max(sum(rank_weights(model, precision, parallel, rank).values()) for rank in ranks(model, parallel))


def parameter_count(model: ModelSpec) -> float:
    """Parameters of the published checkpoint, summed from its tensors (without what an engine adds)."""
    whole, rank = Parallel(), ranks(model, Parallel())[0]
    elements = sum(m.rows * m.columns * m.copies * m.stack for m in _matrices(model, whole, rank, None))
    padding = (padded_vocabulary(model) - model.vocabulary) * _word_width(model) * (1 if model.tied_embeddings else 2)
    return elements - padding + _vector_elements(model, whole, rank) + _fixed_elements(model, rank)


def rank_weights(model: ModelSpec, precision: PrecisionSpec, parallel: Parallel, rank: Rank) -> dict[str, float]:
    """Bytes on one rank by what they are: matrices of each part, vectors, rotary cache, absorbed copies of MLA."""
    stored = storage(model, precision)
    found: dict[str, float] = {}
    for matrix in _matrices(model, parallel, rank, stored):
        found[matrix.part] = found.get(matrix.part, 0.0) + matrix_bytes(matrix, stored)
    if model.vision and rank.first:
        found["vision"] = model.vision.parameters / parallel.tp * stored.compute_bytes
    found["norms and biases"] = _vector_elements(model, parallel, rank) * stored.compute_bytes
    found["other tensors"] = _fixed_elements(model, rank, vision=False) * stored.compute_bytes
    found["rotary cache"] = _rotary_elements(model) * stored.compute_bytes
    found["absorbed MLA copies"] = _absorbed_elements(model, parallel, rank) * stored.compute_bytes
    return {name: size for name, size in found.items() if size}


def _matrices(model: ModelSpec, parallel: Parallel, rank: Rank, stored: Storage | None) -> Iterator[Matrix]:
    for kind, layers in zip(model.attention, rank.attention_layers, strict=True):
        yield from _attention(model.hidden, kind, layers, parallel.tp)
    if model.mlp:
        yield from _mlp(model.hidden, model.mlp, rank.dense_layers, parallel.tp)
    if model.moe:
        yield from _moe(model.hidden, model.moe, rank.moe_layers, parallel, stored)
    yield from _embeddings(model, parallel, rank)


def _attention(hidden: int, kind: Attention, layers: int, tp: int) -> Iterator[Matrix]:
    if kind.kind == "mla":
        yield from _latent_attention(hidden, kind, layers, tp)
        return
    heads, kv_heads = kind.heads // tp, kv_heads_per_rank(kind, tp)
    value = kind.value_head_dim or kind.head_dim
    rows = (heads + kv_heads) * kind.head_dim + kv_heads * value
    yield Matrix("attention", rows, hidden, layers)
    yield Matrix("attention", hidden, heads * value, layers)


def _latent_attention(hidden: int, kind: Attention, layers: int, tp: int) -> Iterator[Matrix]:
    heads, rope, rank = kind.heads // tp, kind.rope_head_dim or 0, kind.kv_lora_rank or 0
    value = kind.value_head_dim or kind.head_dim
    if kind.q_lora_rank:
        yield Matrix("attention", kind.q_lora_rank, hidden, layers)
        yield Matrix("attention", heads * (kind.head_dim + rope), kind.q_lora_rank, layers)
    else:
        yield Matrix("attention", heads * (kind.head_dim + rope), hidden, layers)
    yield Matrix("attention", rank + rope, hidden, layers)  # the latent is replicated
    yield Matrix("attention", heads * (kind.head_dim + value), rank, layers)
    yield Matrix("attention", hidden, heads * value, layers)


def _mlp(hidden: int, mlp: Mlp, layers: int, tp: int) -> Iterator[Matrix]:
    width = mlp.intermediate // tp
    yield Matrix("mlp", (2 if mlp.gated else 1) * width, hidden, layers)
    yield Matrix("mlp", hidden, width, layers)


def _moe(hidden: int, moe: Moe, layers: int, parallel: Parallel, stored: Storage | None) -> Iterator[Matrix]:
    sharers, cutters = expert_split(parallel)
    experts = -(-moe.experts // sharers)
    rows, width = hidden, -(-moe.intermediate // cutters)
    if stored:
        rows, width = expert_sides(hidden, width, stored)
    yield Matrix("experts", (2 if moe.gated else 1) * width, rows, layers, experts)
    yield Matrix("experts", rows, width, layers, experts)
    yield Matrix("router", moe.experts + (1 if moe.shared_gate else 0), hidden, layers)
    if moe.shared_intermediate:
        shared = moe.shared_intermediate // parallel.tp
        yield Matrix("mlp", (2 if moe.gated else 1) * shared, hidden, layers)
        yield Matrix("mlp", hidden, shared, layers)


def _embeddings(model: ModelSpec, parallel: Parallel, rank: Rank) -> Iterator[Matrix]:
    rows = -(-padded_vocabulary(model) // parallel.tp)
    if rank.first:
        yield Matrix("embedding", rows, _word_width(model))
    if rank.last and not (model.tied_embeddings and rank.first):
        yield Matrix("lm_head", rows, _word_width(model))
    if model.embedding_projection and rank.first:
        yield Matrix("embedding", 2 * model.embedding_projection, model.hidden)


def _word_width(model: ModelSpec) -> int:
    return model.embedding_projection or model.hidden


def _vector_elements(model: ModelSpec, parallel: Parallel, rank: Rank) -> float:
    """Norms (replicated) and biases (cut where their matrix is cut by rows)."""
    norm = model.hidden * (2 if model.norm_bias else 1)
    total = float(norm * (model.norms_per_layer * rank.layers + (1 if rank.last else 0)))
    for kind, layers in zip(model.attention, rank.attention_layers, strict=True):
        total += layers * _attention_vectors(model.hidden, kind, parallel.tp)
    if model.mlp and model.mlp.bias:
        total += rank.dense_layers * (
            (2 if model.mlp.gated else 1) * model.mlp.intermediate / parallel.tp + model.hidden
        )
    if model.moe:
        total += rank.moe_layers * _moe_vectors(model.hidden, model.moe, parallel)
    return total + (model.vocabulary / parallel.tp if model.lm_head_bias and rank.last else 0.0)


def _attention_vectors(hidden: int, kind: Attention, tp: int) -> float:
    if kind.kind == "mla":
        return float((kind.kv_lora_rank or 0) + (kind.q_lora_rank or 0))
    kv_heads = kv_heads_per_rank(kind, tp)
    value = kind.value_head_dim or kind.head_dim
    total = 2.0 * kind.head_dim if kind.qk_norm else 0.0
    total += (kind.heads / tp + kv_heads) * kind.head_dim + kv_heads * value if kind.qkv_bias else 0.0
    return total + (hidden if kind.output_bias else 0) + (kind.heads / tp if kind.sinks else 0)


def _moe_vectors(hidden: int, moe: Moe, parallel: Parallel) -> float:
    sharers, cutters = expert_split(parallel)
    per_expert = (2 if moe.gated else 1) * moe.intermediate / cutters + hidden if moe.bias else 0.0
    return moe.experts / sharers * per_expert + (moe.experts if moe.router_bias else 0)


def _fixed_elements(model: ModelSpec, rank: Rank, *, vision: bool = True) -> float:
    """Learned positions, tensors without a field of their own, and (counted apart on a rank) the vision tower."""
    total = float(model.learned_positions * model.hidden + model.extra_parameters) if rank.first else 0.0
    return total + (model.vision.parameters if vision and model.vision else 0)


def _rotary_elements(model: ModelSpec) -> float:
    """The cos/sin cache over the model's context, held whole by every rank [std: vLLM `rotary_embedding`]."""
    if model.learned_positions:
        return 0.0
    kind = model.attention[0]
    width = model.rotary_dim or (kind.rope_head_dim if kind.kind == "mla" else kind.head_dim) or 0
    return float(model.max_context_tokens * width * sum(rotary_caches(model.architecture)))


def _absorbed_elements(model: ModelSpec, parallel: Parallel, rank: Rank) -> float:
    """W_UK and W_UV, kept dense beside the fused matrix to be absorbed into decode [std: vLLM `mla_attention`]."""
    total = 0.0
    for kind, layers in zip(model.attention, rank.attention_layers, strict=True):
        if kind.kind == "mla":
            value = kind.value_head_dim or kind.head_dim
            total += layers * (kind.heads // parallel.tp) * (kind.kv_lora_rank or 0) * (kind.head_dim + value)
    return total
