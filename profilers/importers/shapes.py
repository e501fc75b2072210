"""The GEMM and attention shapes of a model on one GPU, as kernel tables are keyed by."""

from __future__ import annotations

from dataclasses import dataclass

from specs.model import ModelSpec
from specs.profile import Axis, Operator


@dataclass(frozen=True)
class Shapes:
    """GEMMs by operator as (axis, ((n, k), …), precision or None for the weights'), and the attention heads.

    ``heads`` is 0 where the model's attention is of several kinds or latent: such tables are not keyed by heads.
    Layers that differ in their window alone share the products of attention.
    """

    gemms: dict[Operator, tuple[Axis, tuple[tuple[int, int], ...], str | None]]
    heads: int
    kv_heads: int
    head_dim: int


def shapes_of(model: ModelSpec, tp: int) -> Shapes:
    """Shapes of ``model`` split over ``tp`` GPUs [std: column split of QKV, gate and up; row split of the others]."""
    attention = model.attention[0]
    widths = {(each.kind, each.heads, each.kv_heads, each.head_dim, each.value_head_dim) for each in model.attention}
    alike = len(widths) == 1 and attention.kind == "gqa"
    plain = alike and len(model.attention) == 1 and attention.window_tokens is None
    gemms: dict[Operator, tuple[Axis, tuple[tuple[int, int], ...], str | None]] = {}
    if alike:
        heads, kv_heads = attention.heads // tp, max(1, attention.kv_heads // tp)
        value = attention.value_head_dim or attention.head_dim
        width = heads * attention.head_dim + kv_heads * (attention.head_dim + value)
        precision = "bf16" if "attention" in model.unquantized else None
        gemms["qkv_proj"] = ("tokens", ((width, model.hidden),), precision)
        gemms["o_proj"] = ("tokens", ((model.hidden, heads * value),), precision)
    if model.mlp is not None and model.mlp.layers:
        wide = model.mlp.intermediate // tp
        gemms["gate_up_proj"] = ("tokens", (((2 if model.mlp.gated else 1) * wide, model.hidden),), None)
        gemms["down_proj"] = ("tokens", ((model.hidden, wide),), None)
    gemms["lm_head"] = ("sequences", ((-(-model.vocabulary // tp), model.hidden),), "bf16")
    if model.moe is not None:
        gemms["router"] = ("tokens", ((model.moe.experts, model.hidden),), "bf16")
    return Shapes(gemms, attention.heads // tp if plain else 0, max(1, attention.kv_heads // tp), attention.head_dim)
