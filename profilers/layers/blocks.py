"""The operators of one decoder layer that work token by token, and those at both ends, on torch tensors."""

from __future__ import annotations

from dataclasses import dataclass

from profilers.layers.clocks import Step
from profilers.layers.pool import Bench, Tensor
from profilers.layers.tensors import Shard, shard_of
from specs.model import ModelSpec

EPSILON = 1e-5


@dataclass(frozen=True)
class LayerWeights:
    """The matrices of one layer on one device, each [out, in]; None where the model has none."""

    norm: Tensor
    qkv: tuple[Tensor, ...]  # one fused matrix, or MLA's down, up, and the two it multiplies heads by
    output: Tensor
    up: Tensor | None
    down: Tensor | None
    router: Tensor | None
    experts: tuple[Tensor, Tensor] | None  # [experts, in, out]
    shared: tuple[Tensor, Tensor] | None


def layer_weights(bench: Bench, model: ModelSpec, tp: int) -> LayerWeights:
    """Make the weights of one layer, experts rather than a dense block where the model has both."""
    shard, hidden, moe, mlp = shard_of(model.attention[0], tp, model.rotary_dim), model.hidden, model.moe, model.mlp
    up = down = router = experts = shared = None
    if moe is not None:
        width = max(1, moe.intermediate // tp)
        router = bench.weight(moe.experts, hidden)
        experts = (
            bench.weight(moe.experts, hidden, (2 if moe.gated else 1) * width),
            bench.weight(moe.experts, width, hidden),
        )
        if moe.shared_intermediate:
            shared = _feed_forward(bench, hidden, max(1, moe.shared_intermediate // tp), moe.gated)
    elif mlp is not None:
        up, down = _feed_forward(bench, hidden, mlp.intermediate // tp, mlp.gated)
    return LayerWeights(
        bench.weight(hidden), _qkv(bench, shard, hidden), bench.weight(hidden, shard.heads * shard.value_dim),
        up, down, router, experts, shared,
    )  # fmt: skip


def _feed_forward(bench: Bench, hidden: int, width: int, gated: bool) -> tuple[Tensor, Tensor]:
    return bench.weight((2 if gated else 1) * width, hidden), bench.weight(hidden, width)


def _qkv(bench: Bench, shard: Shard, hidden: int) -> tuple[Tensor, ...]:
    """One fused matrix; of MLA: compression, query expansion, absorbed key and value products [DeepSeek-V2 §2.1]."""
    if not shard.latent:
        rows = shard.heads * shard.head_dim + shard.kv_heads * (shard.head_dim + shard.value_dim)
        return (bench.weight(rows, hidden),)
    down = shard.query_rank + shard.latent + shard.rope_dim
    return (
        bench.weight(down, hidden),
        bench.weight(shard.heads * shard.head_dim, shard.query_rank or hidden),
        bench.weight(shard.heads, shard.head_dim - shard.rope_dim, shard.latent),
        bench.weight(shard.heads, shard.latent, shard.value_dim),
    )


def token_steps(bench: Bench, model: ModelSpec, tp: int, weights: LayerWeights, tokens: int) -> list[Step]:
    """Return the token-wise operators of one layer in order; attention, which is timed apart, is left out.

    A bias is left out: it adds a thousandth.
    """
    linear = bench.torch.nn.functional.linear
    shard = shard_of(model.attention[0], tp, model.rotary_dim)
    x = bench.activation(tokens, model.hidden)
    heads = bench.activation(tokens, shard.heads * shard.value_dim)
    norm = norm_step(bench, weights.norm, tokens)
    steps = [norm, _qkv_step(bench, shard, weights, x), _rope_step(bench, model, shard, tokens)]
    steps += [("o_proj", lambda: linear(heads, weights.output)), norm]
    if weights.experts is None:
        return steps + _dense_steps(bench, model, weights, x)
    return steps + _expert_steps(bench, model, weights, x)


def norm_step(bench: Bench, weight: Tensor, tokens: int) -> Step:
    """Return a root-mean-square norm with the residual addition before it."""
    x, residual = bench.activation(2, tokens, weight.shape[0])
    rms_norm = bench.torch.nn.functional.rms_norm
    return "norm", lambda: rms_norm(residual.add_(x), weight.shape, weight, EPSILON)


def _qkv_step(bench: Bench, shard: Shard, weights: LayerWeights, x: Tensor) -> Step:
    torch, linear = bench.torch, bench.torch.nn.functional.linear
    if not shard.latent:
        return "qkv_proj", lambda: linear(x, weights.qkv[0])
    down, up, key, value = weights.qkv

    def latent() -> object:
        compressed = linear(x, down)
        query = linear(compressed[:, : shard.query_rank] if shard.query_rank else x, up)
        plain = query.view(len(x), shard.heads, shard.head_dim)[..., : shard.head_dim - shard.rope_dim]
        absorbed = torch.bmm(plain.transpose(0, 1), key)
        return torch.bmm(absorbed, value)

    return "qkv_proj", latent


def _rope_step(bench: Bench, model: ModelSpec, shard: Shard, tokens: int) -> Step:
    """Rotary embedding of queries and keys, their norms where the model has them, and the KV write."""
    torch, rms_norm = bench.torch, bench.torch.nn.functional.rms_norm
    kv_heads = 1 if shard.latent else shard.kv_heads
    width = shard.rope_dim if shard.latent else shard.head_dim
    fused = bench.activation(tokens, shard.heads + 2 * kv_heads, width)  # as the projection leaves it
    query, key, value = fused.split((shard.heads, kv_heads, kv_heads), dim=1)
    cosine, sine = bench.activation(2, tokens, 1, shard.rope_dim)
    if shard.latent:
        value = bench.activation(tokens, 1, shard.latent)
    key_cache, value_cache = torch.empty_like(key), torch.empty_like(value)
    slots = torch.randperm(tokens, device=bench.device)
    weight = bench.activation(width) if model.attention[0].qk_norm else None

    def rotate(x: Tensor) -> Tensor:
        if weight is not None:
            x = rms_norm(x, weight.shape, weight, EPSILON)
        if not shard.rope_dim:
            return x
        turned = x[..., : shard.rope_dim]
        half = shard.rope_dim // 2
        swapped = torch.cat((-turned[..., half:], turned[..., :half]), dim=-1)
        rotated = turned * cosine + swapped * sine
        return rotated if shard.rope_dim == width else torch.cat((rotated, x[..., shard.rope_dim :]), dim=-1)

    def step() -> None:
        rotate(query)
        key_cache.index_copy_(0, slots, rotate(key))
        value_cache.index_copy_(0, slots, value)

    return "rope", step


def _dense_steps(bench: Bench, model: ModelSpec, weights: LayerWeights, x: Tensor) -> list[Step]:
    if weights.up is None or weights.down is None or model.mlp is None:
        return []
    up, down, gated = weights.up, weights.down, model.mlp.gated
    linear = bench.torch.nn.functional.linear
    wide = bench.activation(len(x), up.shape[0])
    narrow = bench.activation(len(x), down.shape[1])
    return [
        ("gate_up_proj", lambda: linear(x, up)),
        ("activation", lambda: activate(bench, wide, gated)),
        ("down_proj", lambda: linear(narrow, down)),
    ]


def activate(bench: Bench, wide: Tensor, gated: bool) -> Tensor:
    """SiLU of the first half times the second, or GELU without a gate."""
    functional = bench.torch.nn.functional
    if not gated:
        return functional.gelu(wide)
    gate, up = wide.chunk(2, dim=-1)
    return functional.silu(gate) * up


def _expert_steps(bench: Bench, model: ModelSpec, weights: LayerWeights, x: Tensor) -> list[Step]:
    """Router, routed experts (each token to distinct experts drawn evenly) and shared expert."""
    torch, moe = bench.torch, model.moe
    assert moe is not None
    assert weights.experts is not None
    linear, router, (first, second) = torch.nn.functional.linear, weights.router, weights.experts
    chosen = torch.rand(len(x), moe.experts, device=bench.device).topk(moe.experts_per_token).indices.flatten()

    def routed() -> Tensor:
        order = chosen.argsort()
        ends = torch.bincount(chosen, minlength=moe.experts).cumsum(0).to(torch.int32)
        rows = x[order // moe.experts_per_token]
        wide = activate(bench, torch.nn.functional.grouped_mm(rows, first, offs=ends), moe.gated)
        made = torch.nn.functional.grouped_mm(wide, second, offs=ends)
        return torch.zeros_like(x).index_add_(0, order // moe.experts_per_token, made)

    steps: list[Step] = [("router", lambda: linear(x, router).softmax(-1).topk(moe.experts_per_token))]
    steps.append(("moe", routed))
    if weights.shared is not None:
        up, down = weights.shared
        steps.append(("shared_expert", lambda: linear(activate(bench, linear(x, up), moe.gated), down)))
    return steps


def embedding_step(bench: Bench, table: Tensor, tokens: int) -> Step:
    """Return the look-up of random tokens in ``table`` [vocabulary, hidden]."""
    ids = bench.torch.randint(0, table.shape[0], (tokens,), device=bench.device)
    return "embedding", lambda: bench.torch.nn.functional.embedding(ids, table)


def head_steps(bench: Bench, head: Tensor, vocabulary: int, sequences: int) -> list[Step]:
    """Return the output head [vocabulary / tp, hidden] and greedy sampling with probabilities over all words."""
    linear = bench.torch.nn.functional.linear
    x = bench.activation(sequences, head.shape[1])
    logits = bench.activation(sequences, vocabulary)
    return [
        ("lm_head", lambda: linear(x, head)),
        ("sampler", lambda: logits.float().softmax(-1).argmax(-1)),
    ]
