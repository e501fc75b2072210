"""Attention of one kind of layer on torch tensors with random contents: prefill after a context, and decode."""

from __future__ import annotations

from typing import Any

from profilers.layers.clocks import Step
from profilers.layers.pool import Bench
from profilers.layers.tensors import Shard


def prefill_step(bench: Bench, shard: Shard, chunk: int, context: int) -> Step:
    """Return causal attention of ``chunk`` tokens of one sequence after ``context`` cached ones.

    MLA attends with keys and values expanded to every head, as engines prefill it [DeepSeek-V2 §2.1].
    """
    kv_heads = shard.heads if shard.latent else shard.kv_heads
    total = chunk + context
    query = bench.activation(1, chunk, shard.heads, shard.head_dim).transpose(1, 2)
    keys, values = bench.together((1, kv_heads, total, shard.head_dim), (1, kv_heads, total, shard.value_dim))
    options: dict[str, Any] = {"enable_gqa": kv_heads != shard.heads}
    if context == 0:
        options["is_causal"] = True
    elif bench.device.startswith("cuda"):  # a mask as a rule, so that the fast kernels take it
        options["attn_mask"] = bench.torch.nn.attention.bias.causal_lower_right(chunk, total)
    else:
        options["attn_mask"] = bench.torch.ones((chunk, total), dtype=bench.torch.bool).tril(context)
    attend = bench.torch.nn.functional.scaled_dot_product_attention
    return "prefill_attention", lambda: attend(query, keys, values, **options).transpose(1, 2).reshape(chunk, -1)


def decode_step(bench: Bench, shard: Shard, batch: int, context: int) -> Step:
    """Return attention of one new token of each of ``batch`` sequences over its ``context`` (or window) cached ones.

    The heads that share keys are the rows of one product, as engines decode grouped queries; MLA attends on its
    latent, which all heads share.
    """
    length = min(context, shard.window or context)
    kv_heads, width = (1, shard.latent + shard.rope_dim) if shard.latent else (shard.kv_heads, shard.head_dim)
    query = bench.activation(batch, kv_heads, max(1, shard.heads // kv_heads), width)
    if shard.latent:
        keys = bench.activation(batch, 1, length, width)
        values = keys[..., : shard.latent]
    else:
        keys, values = bench.together((batch, kv_heads, length, width), (batch, kv_heads, length, shard.value_dim))
    attend = bench.torch.nn.functional.scaled_dot_product_attention
    return "decode_attention", lambda: attend(query, keys, values)
