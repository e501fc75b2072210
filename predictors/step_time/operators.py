"""Which operators one step of a model runs on one GPU, under its parallelism and precision, and how often."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from specs.base import BYTES_PER_ELEMENT
from specs.deployment import Parallel
from specs.errors import InputError
from specs.model import Attention, ModelSpec
from specs.profile import Operator


@dataclass(frozen=True, kw_only=True)
class Dense:
    """One or more dense products ``[k → n]`` per call; per scheduled token, or per sequence that emits one."""

    name: Operator
    shapes: tuple[tuple[int, int], ...]  # (n, k) on one GPU
    calls: float
    precision: str
    axis: Literal["tokens", "sequences"] = "tokens"


@dataclass(frozen=True, kw_only=True)
class Stream:
    """An element-wise operator that moves ``bytes_per_token`` bytes per token and call."""

    name: Operator
    bytes_per_token: float
    calls: float
    axis: Literal["tokens", "sequences"] = "tokens"


@dataclass(frozen=True, kw_only=True)
class Experts:
    """Routed experts of one layer: two (or three, gated) grouped products over the experts a batch touches."""

    name: Operator
    hidden: int
    intermediate: int  # of one expert on one GPU
    gated: bool
    experts: int
    local_experts: int
    top_k: int
    calls: float
    precision: str
    token_factor: float  # tokens of the whole expert group per token of one rank
    block_scaled: bool = False  # 8-bit weights with a scale per block


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message of ``bytes_per_token`` bytes per token between ``participants`` GPUs."""

    name: Literal["all_reduce", "all_to_all", "point_to_point"]
    bytes_per_token: float
    participants: int
    calls: float


@dataclass(frozen=True, kw_only=True)
class AttentionCall:
    """Attention of one kind of layer on one GPU; ``latent``: MLA on its compressed cache."""

    kind: int  # index into the model's `attention`
    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int
    window: int | None
    latent: bool
    calls: float
    precision: str
    kv_precision: str


@dataclass(frozen=True, kw_only=True)
class StepOperators:
    """Everything one step runs on one GPU, summed over all pipeline stages, and the slowest stage's share."""

    token: tuple[Dense | Stream | Experts | Message, ...]
    sequence: tuple[Dense | Stream, ...]
    attention: tuple[AttentionCall, ...]
    stages: int
    stage_share: float

    @property
    def kernels(self) -> float:
        """Kernel launches of one step on one GPU, roughly: one per call, three where products are grouped."""
        dense = sum(op.calls * (len(op.shapes) if isinstance(op, Dense) else 1) for op in self.token)
        return dense + 2 * sum(call.calls for call in self.attention) + len(self.sequence)


@lru_cache(maxsize=256)
def step_operators(
    model: ModelSpec, parallel: Parallel, weights: str, activations: str = "bf16", kv_cache: str = "bf16"
) -> StepOperators:
    """List the operators of one step of ``model`` on one GPU of ``parallel`` [std: Megatron-LM column/row split].

    Raises InputError where TP does not divide the attention heads or EP the experts.
    """
    _check(model, parallel)
    calls = tuple(
        _attention_call(kind, attention, parallel.tp, activations, kv_cache)
        for kind, attention in enumerate(model.attention)
    )
    token: list[Dense | Stream | Experts | Message] = []
    token += [*_attention_dense(model, parallel.tp, weights, activations), *_mlp(model, parallel.tp, weights)]
    token += [*_experts(model, parallel, weights), *_streams(model, parallel.tp), *_messages(model, parallel)]
    sequence = (
        Dense(name="lm_head", shapes=((_ceil_div(model.vocabulary, parallel.tp), model.hidden),), calls=1,
              precision=activations, axis="sequences"),
        Stream(name="sampler", bytes_per_token=12.0 * model.vocabulary, calls=1, axis="sequences"),
    )  # fmt: skip
    largest = _ceil_div(model.layers, parallel.pp)
    return StepOperators(
        token=tuple(token), sequence=sequence, attention=calls, stages=parallel.pp, stage_share=largest / model.layers
    )


def _check(model: ModelSpec, parallel: Parallel) -> None:
    for attention in model.attention:
        if attention.heads % parallel.tp:
            raise InputError(
                f"parallel.tp: {parallel.tp} does not divide the {attention.heads} attention heads of {model.name}",
                cure="Choose a tensor-parallel degree that does.",
            )
    if parallel.pp > model.layers:
        raise InputError(f"parallel.pp: {parallel.pp} stages but {model.name} has {model.layers} layers")
    if parallel.ep > 1 and (model.moe is None or model.moe.experts % parallel.ep):
        have = f"{model.moe.experts} experts" if model.moe else "no experts"
        raise InputError(f"parallel.ep: {parallel.ep} does not divide the experts: {model.name} has {have}")


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def _attention_call(kind: int, attention: Attention, tp: int, activations: str, kv_cache: str) -> AttentionCall:
    latent = attention.kind == "mla"
    rank, rope = attention.kv_lora_rank or 0, attention.rope_head_dim or 0
    value = attention.value_head_dim or attention.head_dim
    return AttentionCall(
        kind=kind, heads=attention.heads // tp, kv_heads=1 if latent else max(1, attention.kv_heads // tp),
        head_dim=rank + rope if latent else attention.head_dim, value_dim=rank if latent else value,
        window=attention.window_tokens, latent=latent, calls=attention.layers, precision=activations,
        kv_precision=kv_cache,
    )  # fmt: skip


def unabsorbed(call: AttentionCall, attention: Attention) -> AttentionCall:
    """MLA prefill expands keys and values per head; other attention prefills as it decodes."""
    if not call.latent:
        return call
    width = attention.head_dim + (attention.rope_head_dim or 0)
    value = attention.value_head_dim or attention.head_dim
    return replace(call, kv_heads=call.heads, head_dim=width, value_dim=value, latent=False)


def _attention_dense(model: ModelSpec, tp: int, weights: str, activations: str) -> list[Dense]:
    precision = activations if "attention" in model.unquantized else weights
    found: list[Dense] = []
    for attention in model.attention:
        heads, value = attention.heads // tp, attention.value_head_dim or attention.head_dim
        if attention.kind == "mla":
            qkv = _latent_shapes(attention, model.hidden, heads)
        else:
            kv_heads = max(1, attention.kv_heads // tp)
            qkv = ((heads * attention.head_dim + kv_heads * (attention.head_dim + value), model.hidden),)
        found.append(Dense(name="qkv_proj", shapes=qkv, calls=attention.layers, precision=precision))
        out = ((model.hidden, heads * value),)
        found.append(Dense(name="o_proj", shapes=out, calls=attention.layers, precision=precision))
    return found


def _latent_shapes(attention: Attention, hidden: int, heads: int) -> tuple[tuple[int, int], ...]:
    """MLA: compression, expansion of the query, absorbed key and value products [DeepSeek-V2 §2.1]."""
    rank, rope, nope = attention.kv_lora_rank or 0, attention.rope_head_dim or 0, attention.head_dim
    value, query = attention.value_head_dim or nope, attention.q_lora_rank
    down = ((query or 0) + rank + rope, hidden)
    up = (heads * (nope + rope), query or hidden)
    return down, up, (heads * rank, nope), (heads * value, rank)


def _mlp(model: ModelSpec, tp: int, weights: str) -> list[Dense | Stream]:
    found: list[Dense | Stream] = []
    if model.mlp is not None and model.mlp.layers:
        found += _feed_forward(model.hidden, model.mlp.intermediate // tp, model.mlp.gated, model.mlp.layers, weights)
    if model.moe is not None and model.moe.shared_intermediate:
        width = max(1, model.moe.shared_intermediate // tp)
        up, down = (2 if model.moe.gated else 1) * width, width
        shapes = ((up, model.hidden), (model.hidden, down))
        found.append(Dense(name="shared_expert", shapes=shapes, calls=model.moe.layers, precision=weights))
    return found


def _feed_forward(hidden: int, width: int, gated: bool, layers: int, weights: str) -> list[Dense | Stream]:
    up = (2 if gated else 1) * width
    return [
        Dense(name="gate_up_proj", shapes=((up, hidden),), calls=layers, precision=weights),
        Dense(name="down_proj", shapes=((hidden, width),), calls=layers, precision=weights),
        Stream(name="activation", bytes_per_token=2.0 * (up + width), calls=layers),
    ]


def _experts(model: ModelSpec, parallel: Parallel, weights: str) -> list[Dense | Experts]:
    moe = model.moe
    if moe is None:
        return []
    ranks = parallel.tp * parallel.dp
    split = max(1, ranks // parallel.ep)
    router = Dense(name="router", shapes=((moe.experts, model.hidden),), calls=moe.layers, precision="bf16")
    experts = Experts(
        name="moe", hidden=model.hidden, intermediate=max(1, moe.intermediate // split), gated=moe.gated,
        experts=moe.experts, local_experts=moe.experts // parallel.ep, top_k=moe.experts_per_token,
        calls=moe.layers, precision=weights, token_factor=float(parallel.dp),
        block_scaled=model.quantization == "fp8-block",
    )  # fmt: skip
    return [router, experts]


def _streams(model: ModelSpec, tp: int) -> list[Stream]:
    hidden, width = model.hidden, BYTES_PER_ELEMENT["bf16"]
    found = [
        Stream(name="norm", bytes_per_token=4.0 * hidden * width, calls=model.norms_per_layer * model.layers + 1),
        Stream(name="embedding", bytes_per_token=2.0 * hidden * width, calls=1),
    ]
    for attention in model.attention:
        query = attention.heads // tp * attention.head_dim
        keys = max(1, attention.kv_heads // tp) * attention.head_dim
        if attention.kind == "mla":
            keys = (attention.kv_lora_rank or 0) + (attention.rope_head_dim or 0)
        moved = 2.0 * (query + 2 * keys) * width
        found.append(Stream(name="rope", bytes_per_token=moved, calls=attention.layers))
    return found


def _messages(model: ModelSpec, parallel: Parallel) -> list[Message]:
    size = BYTES_PER_ELEMENT["bf16"] * model.hidden
    found: list[Message] = []
    if parallel.tp > 1:
        found.append(
            Message(name="all_reduce", bytes_per_token=size, participants=parallel.tp, calls=2 * model.layers + 1)
        )
    if parallel.dp > 1 and model.moe is not None:
        sent = size * model.moe.experts_per_token
        found.append(
            Message(name="all_to_all", bytes_per_token=sent, participants=parallel.dp, calls=2 * model.moe.layers)
        )
    if parallel.pp > 1:
        found.append(Message(name="point_to_point", bytes_per_token=size, participants=2, calls=parallel.pp - 1))
    return found
