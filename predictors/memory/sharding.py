"""How tensor, pipeline and expert parallelism cut a model into the ranks that hold it."""

from __future__ import annotations

from dataclasses import dataclass

from specs.deployment import Parallel
from specs.errors import InputError
from specs.model import Attention, ModelSpec

VOCABULARY_MULTIPLE = 64  # vLLM pads embedding rows to this many, `vocab_parallel_embedding.py` [std]


@dataclass(frozen=True)
class Rank:
    """The layers of one pipeline rank; ``attention_layers`` aligns with the model's ``attention``."""

    index: int
    layers: int
    dense_layers: int
    moe_layers: int
    attention_layers: tuple[int, ...]
    first: bool
    last: bool


def ranks(model: ModelSpec, parallel: Parallel) -> tuple[Rank, ...]:
    """Return the pipeline ranks of ``model``; one rank without pipeline parallelism.

    Layers split evenly; a remainder goes to the ranks before the last, from the back [std: vLLM `get_pp_indices`].
    Dense layers of a mixture-of-experts model come first; kinds of attention interleave evenly [ours].
    Raises `InputError` for more ranks than layers.
    """
    if parallel.pp > model.layers:
        raise InputError(
            f"pipeline parallelism {parallel.pp} exceeds the {model.layers} layers of {model.name}",
            cure=f"Choose pp between 1 and {model.layers}.",
        )
    sizes = [model.layers // parallel.pp] * parallel.pp
    for back in range(model.layers % parallel.pp):
        sizes[-2 - back] += 1
    starts = [sum(sizes[:i]) for i in range(parallel.pp)]
    return tuple(
        _rank(model, i, start, size, parallel.pp) for i, (start, size) in enumerate(zip(starts, sizes, strict=True))
    )


def check_divisible(model: ModelSpec, parallel: Parallel) -> None:
    """Raise `InputError` where the degrees of ``parallel`` do not divide what they cut, naming those that would."""
    problem = _obstacle(model, parallel.tp)
    if problem:
        good = ", ".join(str(tp) for tp in range(1, 65) if not _obstacle(model, tp))
        raise InputError(
            f"tensor parallelism {parallel.tp} does not divide {problem} of {model.name}", cure=f"Choose tp of {good}."
        )
    _check_experts(model, parallel)


def kv_heads_per_rank(attention: Attention, tp: int) -> int:
    """KV heads that one tensor-parallel rank stores; heads are replicated where ranks outnumber them [std: vLLM]."""
    return 1 if attention.kind == "mla" else max(1, attention.kv_heads // tp)


def padded_vocabulary(model: ModelSpec) -> int:
    """Rows of the embedding as vLLM allocates them."""
    return round_up(model.vocabulary, VOCABULARY_MULTIPLE)


def round_up(value: int, multiple: int) -> int:
    """Smallest multiple of ``multiple`` that is at least ``value``."""
    return -(-value // multiple) * multiple


def expert_split(parallel: Parallel) -> tuple[int, int]:
    """Ranks that share the experts out, and ranks that share each expert's width; vLLM flattens TP × DP for experts."""
    group = parallel.tp * parallel.dp
    return parallel.ep, max(1, group // parallel.ep)


def _rank(model: ModelSpec, index: int, start: int, size: int, pp: int) -> Rank:
    dense_total = model.mlp.layers if model.mlp else 0
    dense = max(0, min(dense_total, start + size) - start)
    return Rank(
        index=index, layers=size, dense_layers=dense, moe_layers=size - dense if model.moe else 0,
        attention_layers=_attention_layers(model, start, size), first=index == 0, last=index == pp - 1,
    )  # fmt: skip


def _attention_layers(model: ModelSpec, start: int, size: int) -> tuple[int, ...]:
    counts = []
    for kind in model.attention[:-1]:
        counts.append(kind.layers * (start + size) // model.layers - kind.layers * start // model.layers)
    return (*counts, size - sum(counts))


def _obstacle(model: ModelSpec, tp: int) -> str:
    """What ``tp`` fails to divide, in words; empty where it divides all."""
    for kind in model.attention:
        if kind.heads % tp:
            return f"the {kind.heads} attention heads"
        if kind.kind == "gqa" and kind.kv_heads % tp and tp % kind.kv_heads:
            return f"the {kind.kv_heads} KV heads ({kind.heads} attention heads)"
    if model.mlp and model.mlp.layers and model.mlp.intermediate % tp:
        return f"the feed-forward width {model.mlp.intermediate}"
    return ""


def _check_experts(model: ModelSpec, parallel: Parallel) -> None:
    group = parallel.tp * parallel.dp
    if parallel.ep == 1:
        return
    if model.moe is None:
        raise InputError(
            f"expert parallelism {parallel.ep} needs experts; {model.name} has none", cure="Leave ep at 1."
        )
    if group % parallel.ep or parallel.ep > model.moe.experts:
        good = ", ".join(str(ep) for ep in range(1, group + 1) if group % ep == 0 and ep <= model.moe.experts)
        raise InputError(
            f"expert parallelism {parallel.ep} does not divide the {group} ranks of TP × DP that hold the"
            f" {model.moe.experts} experts of {model.name}",
            cure=f"Choose ep of {good}.",
        )
