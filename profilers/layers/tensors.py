"""How large the tensors of one layer are on one device of a tensor-parallel group, and what cannot be measured."""

from __future__ import annotations

from dataclasses import dataclass

from profilers.layers.shapes import Shape
from specs.base import BYTES_PER_ELEMENT
from specs.errors import InputError
from specs.model import Attention, ModelSpec


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One kind of attention on one device: heads after the split, widths of keys and values per head."""

    heads: int
    kv_heads: int
    head_dim: int  # of queries and keys, rotary part included
    value_dim: int
    rope_dim: int
    latent: int  # MLA's rank, 0 without
    query_rank: int
    window: int | None

    @property
    def cache_width(self) -> int:
        """Cached elements per token: the latent and its rotary part, or keys and values."""
        return self.latent + self.rope_dim if self.latent else self.kv_heads * (self.head_dim + self.value_dim)


def shard_of(attention: Attention, tp: int, rotary_dim: int | None = None) -> Shard:
    """Split ``attention`` over ``tp`` devices; KV heads fewer than devices are replicated [std: Megatron-LM]."""
    latent = attention.kind == "mla"
    rope = attention.rope_head_dim or 0
    return Shard(
        heads=attention.heads // tp,
        kv_heads=max(1, attention.kv_heads // tp),
        head_dim=attention.head_dim + (rope if latent else 0),
        value_dim=attention.value_head_dim or attention.head_dim,
        rope_dim=rope if latent else attention.head_dim if rotary_dim is None else rotary_dim,
        latent=(attention.kv_lora_rank or 0) if latent else 0,
        query_rank=attention.q_lora_rank or 0,
        window=attention.window_tokens,
    )


def check(model: ModelSpec, tp: int) -> None:
    """Raise `InputError` where ``tp`` does not divide the model or its weights are of a kind that is not measured."""
    if any(attention.heads % tp for attention in model.attention):
        heads = model.attention[0].heads
        raise InputError(f"--tp: {tp} does not divide the {heads} attention heads of {model.name}")
    if model.weights_precision not in ("bf16", "fp16", "fp32"):
        raise InputError(
            f"{model.name}: its weights are {model.weights_precision}; only bf16, fp16 and fp32 layers are measured",
            cure="Name the 16-bit variant of the model, or import tables of this one (`tonnage profile import`).",
        )
    if model.embedding_projection:
        raise InputError(f"{model.name}: word embeddings narrower than the hidden size are not measured")


def layer_bytes(model: ModelSpec, tp: int) -> float:
    """Bytes of the matrices of one decoder layer on one device."""
    shard, hidden = shard_of(model.attention[0], tp), model.hidden
    query = shard.heads * shard.head_dim
    keys = shard.latent + shard.rope_dim if shard.latent else shard.kv_heads * (shard.head_dim + shard.value_dim)
    count = hidden * (query + keys + shard.heads * shard.value_dim)
    if model.moe is not None:
        experts = model.moe.experts * model.moe.intermediate + model.moe.shared_intermediate
        count += (3 if model.moe.gated else 2) * hidden * experts // tp + hidden * model.moe.experts
    elif model.mlp is not None:
        count += (3 if model.mlp.gated else 2) * hidden * model.mlp.intermediate // tp
    return count * BYTES_PER_ELEMENT[model.weights_precision]


def ends_bytes(model: ModelSpec, tp: int) -> float:
    """Bytes of embedding and head on one device; tied tables are two here."""
    return 2.0 * model.vocabulary * model.hidden / tp * BYTES_PER_ELEMENT[model.weights_precision]


def cache_bytes(model: ModelSpec, shape: Shape, tp: int) -> float:
    """Bytes of the KV cache that an attention shape reads."""
    shard = shard_of(model.attention[shape.kind], tp)
    size = BYTES_PER_ELEMENT[model.weights_precision]
    if shape.family == "decode":
        return shape.first * min(shape.second, shard.window or shape.second) * shard.cache_width * size
    if shape.family == "prefill":  # MLA's prefill expands keys and values to every head
        width = shard.heads * (shard.head_dim + shard.value_dim) if shard.latent else shard.cache_width
        return (shape.first + shape.second) * width * size
    return 0.0
