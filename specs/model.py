"""The architecture of a language model, as far as memory and step time depend on it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from specs.base import Count, Document, NonNegative, Positive, Precision, Spec

# How weights share scales: one of each matrix (-tensor), of each output channel (-channel), of each block or group.
Quantization = Literal[
    "fp8-tensor", "fp8-channel", "fp8-block", "int8-channel", "gptq-int4", "awq-int4", "mxfp4", "nvfp4"
]  # fmt: skip
Part = Literal["attention", "mlp", "experts", "router", "embedding", "lm_head", "norm", "vision"]


class Attention(Spec):
    """Attention of one kind of layer.

    ``kind``: gqa covers MHA (kv_heads == heads) and MQA (kv_heads == 1); mla is multi-head latent attention.
    ``layers``: how many decoder layers are of this kind. ``window_tokens``: sliding window, None for full attention.
    ``head_dim``: of queries and keys; of mla, the part without rotary positions, beside ``rope_head_dim``.
    """

    kind: Literal["gqa", "mla"] = "gqa"
    layers: Count
    heads: Count
    kv_heads: Count
    head_dim: Count
    value_head_dim: Count | None = None  # None: as head_dim
    window_tokens: Count | None = None
    qkv_bias: bool = False
    output_bias: bool = False
    qk_norm: bool = False  # a norm over each head of Q and K
    sinks: bool = False  # one learned sink per head (gpt-oss)
    q_lora_rank: Count | None = None  # MLA; None: full-rank query
    kv_lora_rank: Count | None = None  # MLA latent
    rope_head_dim: Count | None = None  # MLA


class Mlp(Spec):
    """A dense feed-forward block shared by ``layers`` layers; ``gated`` has gate, up and down (3 matrices), else 2."""

    layers: int = Field(ge=0)
    intermediate: Count
    gated: bool = True
    bias: bool = False


class Moe(Spec):
    """A mixture-of-experts block shared by ``layers`` layers."""

    layers: Count
    experts: Count
    experts_per_token: Count
    intermediate: Count  # of one routed expert
    gated: bool = True
    bias: bool = False
    shared_intermediate: int = 0  # summed width of the shared experts
    shared_gate: bool = False
    router_bias: bool = False


class VisionTower(Spec):
    """A vision encoder beside the language model: its parameters, and the width it projects to."""

    parameters: Count  # all tensors of tower and projector
    source: str


class ModelSpec(Spec):
    """Architecture of a decoder-only transformer.

    Layer counts of ``attention`` sum to ``layers``; those of ``mlp`` and ``moe`` too.
    ``weights_precision``: what the published checkpoint stores; a Deployment may override it.
    """

    name: str
    aliases: tuple[str, ...] = ()  # published ids such as "meta-llama/Llama-3.1-8B"
    architecture: str  # Hugging Face class name, e.g. LlamaForCausalLM
    hidden: Count
    layers: Count
    vocabulary: Count
    max_context_tokens: Count
    attention: tuple[Attention, ...]
    mlp: Mlp | None = None
    moe: Moe | None = None
    tied_embeddings: bool = False
    norms_per_layer: int = 2
    norm_bias: bool = False
    learned_positions: int = 0  # rows of a learned position table (OPT), 0 for rotary
    embedding_projection: int = 0  # width of the word embedding where it differs from hidden (OPT-350m), 0: same
    rotary_dim: int | None = None  # None: the head's full width; 0: no rotary positions
    rope_linear_factor: Positive = 1.0  # linear scaling of positions, by which an engine lengthens its rotary table
    lm_head_bias: bool = False
    weights_precision: Precision = "bf16"
    quantization: Quantization | None = None  # as the checkpoint is published
    quantization_group: int | None = None  # weights per scale, where quantised by groups or blocks (128 × 128: 16384)
    unquantized: tuple[Part, ...] = ()  # parts kept in 16 bit
    vision: VisionTower | None = None
    parameters: Positive | None = None  # published total, for a check against the tensors
    extra_parameters: NonNegative = 0  # tensors that no field above describes, named in `notes`
    notes: str = ""
    source: str  # where these figures were read
    date: str


class Model(Document):
    """A model document of the catalogue, or an operator's own."""

    kind: Literal["Model"] = "Model"
    spec: ModelSpec
