"""A whole small Llama with data flowing through it, on the matrices and kernels that `profile layers` times alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from profilers.layers.blocks import EPSILON, LayerWeights, activate, layer_weights
from profilers.layers.passes import DTYPES
from profilers.layers.pool import Bench
from specs.base import Precision
from specs.model import Attention, Mlp, ModelSpec

Tensor = Any
ROPE_BASE = 10_000.0


def small_llama(precision: Precision, hidden: int = 1024, layers: int = 8) -> ModelSpec:
    """Return a Llama of 8 layers with grouped queries, small enough for one core."""
    attention = Attention(layers=layers, heads=hidden // 64, kv_heads=hidden // 256, head_dim=64)
    return ModelSpec(
        name="small-llama", architecture="LlamaForCausalLM", hidden=hidden, layers=layers, vocabulary=8192,
        max_context_tokens=4096, attention=(attention,), mlp=Mlp(layers=layers, intermediate=11 * hidden // 4),
        weights_precision=precision, source="made up", date="2026-11-23",
    )  # fmt: skip


@dataclass(frozen=True)
class SmallLlama:
    """Weights of every layer and both ends, with a KV cache [2, batch, kv_heads, length, head_dim] per layer."""

    bench: Bench
    model: ModelSpec
    layers: tuple[LayerWeights, ...]
    norms: tuple[Tensor, ...]  # two per layer, one at the end
    embedding: Tensor
    head: Tensor

    def cache(self, batch: int, length: int) -> list[Tensor]:
        """An empty cache per layer."""
        attention = self.model.attention[0]
        shape = (2, batch, attention.kv_heads, length, attention.head_dim)
        return [self.bench.weight(*shape) for _ in self.layers]

    def forward(self, ids: Tensor, cache: list[Tensor], start: int) -> Tensor:
        """Logits [batch, vocabulary] of the last of ``ids`` [batch, tokens], whose positions begin at ``start``."""
        functional = self.bench.torch.nn.functional
        batch, tokens = ids.shape
        residual = functional.embedding(ids.flatten(), self.embedding)
        positions = self._rotary(batch, tokens, start)
        x = functional.rms_norm(residual, residual.shape[1:], self.norms[0], EPSILON)
        for i, (layer, held) in enumerate(zip(self.layers, cache, strict=True)):
            x = self._attend(layer, x, held, positions, (batch, tokens, start))
            x = self._add_norm(residual, x, self.norms[2 * i + 1])
            wide = functional.linear(x, layer.up)
            x = functional.linear(activate(self.bench, wide, True), layer.down)
            x = self._add_norm(residual, x, self.norms[2 * i + 2])
        return functional.linear(x.view(batch, tokens, -1)[:, -1], self.head)

    def _add_norm(self, residual: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        return self.bench.torch.nn.functional.rms_norm(residual.add_(x), weight.shape, weight, EPSILON)

    def _rotary(self, batch: int, tokens: int, start: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines [batch × tokens, 1, head_dim]."""
        torch, width = self.bench.torch, self.model.attention[0].head_dim
        turns = ROPE_BASE ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
        angles = torch.outer(torch.arange(start, start + tokens, dtype=torch.float32), turns).repeat(batch, 2)
        return angles.cos().to(self.bench.dtype)[:, None], angles.sin().to(self.bench.dtype)[:, None]

    def _attend(
        self, layer: LayerWeights, x: Tensor, held: Tensor, positions: tuple[Tensor, Tensor], at: tuple[int, int, int]
    ) -> Tensor:
        functional, attention = self.bench.torch.nn.functional, self.model.attention[0]
        (batch, tokens, start), heads, groups = at, attention.heads, attention.kv_heads
        fused = functional.linear(x, layer.qkv[0]).view(batch * tokens, heads + 2 * groups, attention.head_dim)
        query, key, value = fused.split((heads, groups, groups), dim=1)
        query, key = (self._rotate(part, positions) for part in (query, key))
        for index, part in enumerate((key, value)):
            held[index][:, :, start : start + tokens] = part.view(batch, tokens, groups, -1).transpose(1, 2)
        keys, values = held[:, :, :, : start + tokens]
        if tokens == 1:
            query = query.reshape(batch, groups, heads // groups, -1)
            made = functional.scaled_dot_product_attention(query, keys, values).reshape(batch, -1)
        else:
            query = query.view(batch, tokens, heads, -1).transpose(1, 2)
            made = functional.scaled_dot_product_attention(query, keys, values, is_causal=True, enable_gqa=True)
            made = made.transpose(1, 2).reshape(batch * tokens, -1)
        return functional.linear(made, layer.output)

    def _rotate(self, x: Tensor, positions: tuple[Tensor, Tensor]) -> Tensor:
        cosine, sine = positions
        half = x.shape[-1] // 2
        swapped = self.bench.torch.cat((-x[..., half:], x[..., :half]), dim=-1)
        return x * cosine + swapped * sine


def make(torch: Any, precision: Precision) -> SmallLlama:
    """Return the small model with random weights on the CPU."""
    model = small_llama(precision)
    bench = Bench(torch, "cpu", getattr(torch, DTYPES[precision]))
    return SmallLlama(
        bench, model, tuple(layer_weights(bench, model, 1) for _ in range(model.layers)),
        tuple(bench.weight(model.hidden) + 1.0 for _ in range(2 * model.layers + 1)),
        bench.weight(model.vocabulary, model.hidden), bench.weight(model.vocabulary, model.hidden),
    )  # fmt: skip
