"""The KV cache: bytes of a block, groups of hybrid layers, blocks of one request, and what a number of blocks holds."""

from __future__ import annotations

from dataclasses import dataclass

from predictors.memory.sharding import Rank, check_divisible, kv_heads_per_rank
from specs.base import BYTES_PER_ELEMENT
from specs.deployment import Engine, Parallel
from specs.model import Attention, ModelSpec

GROUPS_MERGE_BELOW = 1.25  # kinds whose layer counts differ by less share one group size [std: vLLM kv_cache_utils.py]


@dataclass(frozen=True)
class LayerGroup:
    """Layers of one kind: ``groups`` block tables of equally many layers, in blocks of ``block_tokens``."""

    groups: int
    block_tokens: int
    window_tokens: int | None


@dataclass(frozen=True)
class BlockLayout:
    """How one rank's cache is cut: a block id takes ``bytes_per_block`` over all layers that share it.

    Hybrid models give every group the same number of layers and the same page size, so that any group can take
    any block [std: vLLM hybrid KV cache manager]. A plain model is one group.
    """

    bytes_per_block: int
    groups: tuple[LayerGroup, ...]

    @property
    def tables(self) -> int:
        """Block tables that each request fills."""
        return sum(group.groups for group in self.groups)

    @property
    def block_tokens(self) -> int:
        """Tokens of the smallest block."""
        return min(group.block_tokens for group in self.groups)

    def tokens(self, blocks: int) -> int:
        """Tokens that ``blocks`` hold, as vLLM prints them: every table gets an equal share."""
        return blocks // self.tables * self.block_tokens

    def blocks_per_request(self, tokens: int, chunk_tokens: int) -> int:
        """Blocks of one request of ``tokens`` that is prefilled in chunks of ``chunk_tokens``.

        A sliding window holds at most window - 1 + chunk tokens, and one block more because it need not start at a
        block's edge [std: vLLM kv_cache_interface.py].
        """
        return sum(group.groups * _blocks(group, tokens, chunk_tokens) for group in self.groups)


def kv_bytes_per_token(model: ModelSpec, kv_precision: str, tp: int) -> float:
    """Bytes that one token adds on one GPU over all layers, windows not yet full.

    GQA: 2 · kv_heads · head_dim · bytes per layer, heads cut by TP and replicated beyond their number; MLA: one latent,
    replicated [std: vLLM kv_cache_interface.py]. Raises `InputError` where ``tp`` does not divide the heads.
    """
    check_divisible(model, Parallel(tp=tp))
    return float(sum(kind.layers * kv_token_bytes(kind, kv_precision, tp) for kind in model.attention))


def block_layout(model: ModelSpec, engine: Engine, kv_precision: str, tp: int, rank: Rank) -> BlockLayout:
    """Cut the cache of ``rank`` into blocks as vLLM's hybrid KV cache manager does."""
    kinds = _merged(model, kv_precision, tp, rank)
    page = max(token_bytes for token_bytes, _, _ in kinds) * engine.block_size_tokens
    size = _group_size([layers for _, _, layers in kinds])
    groups = tuple(
        LayerGroup(groups=-(-layers // size), block_tokens=page // token_bytes, window_tokens=window)
        for token_bytes, window, layers in kinds
    )
    return BlockLayout(bytes_per_block=page * size, groups=groups)


def kv_token_bytes(kind: Attention, kv_precision: str, tp: int) -> int:
    """Bytes of one token in one layer of ``kind`` on one tensor-parallel rank."""
    width = BYTES_PER_ELEMENT[kv_precision]
    if kind.kind == "mla":
        return int(((kind.kv_lora_rank or 0) + (kind.rope_head_dim or 0)) * width)
    return int(kv_heads_per_rank(kind, tp) * (kind.head_dim + (kind.value_head_dim or kind.head_dim)) * width)


def _merged(model: ModelSpec, kv_precision: str, tp: int, rank: Rank) -> list[tuple[int, int | None, int]]:
    """(bytes per token and layer, window, layers) of each kind that this rank has, equal kinds added up."""
    found: dict[tuple[int, int | None], int] = {}
    for kind, layers in zip(model.attention, rank.attention_layers, strict=True):
        key = (kv_token_bytes(kind, kv_precision, tp), kind.window_tokens)
        found[key] = found.get(key, 0) + layers
    return [(size, window, layers) for (size, window), layers in found.items() if layers]


def _group_size(layers: list[int]) -> int:
    return max(layers) if max(layers) < GROUPS_MERGE_BELOW * min(layers) else min(layers)


def _blocks(group: LayerGroup, tokens: int, chunk_tokens: int) -> int:
    if group.window_tokens is None:
        return -(-tokens // group.block_tokens)
    return -(-min(group.window_tokens - 1 + chunk_tokens, tokens) // group.block_tokens) + 1
