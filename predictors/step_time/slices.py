"""Step times of parts of a model: one layer of each kind, what stands around the layers, and sums of such parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from predictors.memory.sharding import ranks
from predictors.serving.surface import StepSurface
from predictors.step_time.compose import compile_surface
from predictors.step_time.estimate import StepTime, roofline_of, saved_s_of, sources_of, step_time
from predictors.step_time.host import HostTime, host_time
from predictors.step_time.operators import Message, StepOperators, Stream, step_operators
from predictors.step_time.sources import Source
from specs.deployment import DeploymentSpec, Parallel
from specs.device import DeviceSpec
from specs.model import ModelSpec
from specs.profile import LayerProfileSpec

FloatArray = npt.NDArray[np.float64]
NO_HOST = HostTime(base_s=0.0, per_sequence_s=0.0)


@dataclass(frozen=True, kw_only=True)
class Slices:
    """Surfaces of one replica's parts on one device, all on the same grids.

    ``kind`` [L] of each layer indexes ``layers``; ``head`` is the embedding, the last norm, LM head and sampling.
    ``whole`` is the step time of the undivided replica, with its host time, error and evidence.
    """

    kind: tuple[int, ...]
    layers: tuple[StepSurface, ...]
    head: StepSurface
    whole: StepTime


@dataclass(frozen=True, kw_only=True)
class Part:
    """``count`` parts with one surface, whose batch is split over ``copies``; ``slowdown`` by others on the GPU."""

    surface: StepSurface
    count: float = 1.0
    copies: int = 1
    slowdown: float = 1.0


def slices(
    model: ModelSpec, device: DeviceSpec, deployment: DeploymentSpec, *, profile: LayerProfileSpec | None = None
) -> Slices:
    """Time the parts of ``model`` on ``device`` at the TP degree and engine limits of ``deployment``.

    The same operators, sources and evidence as `step_time`, so that the parts add up to the whole. Raises `InputError`
    for a profile of another model or device.
    """
    undivided = deployment.model_copy(
        update={"parallel": Parallel(tp=deployment.parallel.tp), "device": device.name, "roles": "mixed"}
    )
    whole = step_time(model, device, undivided, profile=profile)
    sources, _ = sources_of(model, roofline_of(device, deployment.engine.name), undivided.parallel, profile)
    each = [(rank.attention_layers.index(1), bool(rank.moe_layers)) for rank in ranks(model, Parallel(pp=model.layers))]
    kinds = tuple(dict.fromkeys(each))
    layers = tuple(_layer(model, undivided, profile, sources, attention, moe) for attention, moe in kinds)
    head = _head(model, undivided, sources)
    return Slices(kind=tuple(kinds.index(one) for one in each), layers=layers, head=head, whole=whole)


def added(parts: Sequence[Part], like: StepSurface, prompt_tokens: float) -> StepSurface:
    """Sum of ``parts`` with the host time and settings of ``like``.

    A part with p copies splits its batch by sequences, and the fullest copy counts: ⌈B/p⌉ of B decoding sequences; of
    a step with prompts of ``prompt_tokens`` each, ⌈m/p⌉ of m prompts, since one prompt stays on one copy; their
    attention is taken to be spread evenly. [ours, after
    CoCoServe (arXiv 2507.18006); the paper's own equations are not public here]
    """
    tokens, sequences = np.zeros_like(like.tokens_s), np.zeros_like(like.sequences_s)
    decode, prefill = np.zeros_like(like.decode_attention_s), np.zeros_like(like.prefill_attention_s)
    for part in parts:
        weight, surface = part.count * part.slowdown, part.surface
        count = _fullest(len(tokens), part.copies, prompt_tokens, len(like.sequences_s) - 1)
        tokens += weight * np.interp(count, np.arange(len(surface.tokens_s)), surface.tokens_s)
        sequences += weight * surface.sequences_s
        batch = np.ceil(like.decode_batch_grid / part.copies)
        decode += weight * _rows(surface.decode_batch_grid, surface.decode_attention_s, batch)
        prefill += weight * surface.prefill_attention_s / part.copies
    tokens[0] = 0.0
    return like._replace(
        tokens_s=np.maximum.accumulate(tokens), sequences_s=sequences, decode_attention_s=decode,
        prefill_attention_s=prefill, mixed_decode_attention_s=None, stages=1, stage_share=1.0,
    )  # fmt: skip


def with_hops(surface: StepSurface, start_s: float, s_per_token: float) -> StepSurface:
    """The surface with crossings between devices, of ``start_s`` per step and ``s_per_token`` of hidden state."""
    tokens = surface.tokens_s + start_s + s_per_token * np.arange(len(surface.tokens_s))
    tokens[0] = 0.0
    return surface._replace(tokens_s=tokens)


def decode_s(surface: StepSurface, batch: float, context: float) -> float:
    """Seconds of one decode step of ``batch`` sequences at mean ``context``, the host's time left out."""
    count = np.arange(len(surface.tokens_s))
    dense = float(np.interp(batch, count, surface.tokens_s))
    emitted = float(np.interp(batch, np.arange(len(surface.sequences_s)), surface.sequences_s))
    by_batch = _rows(surface.decode_batch_grid, surface.decode_attention_s, np.array([batch]))[0]
    return dense + emitted + float(np.interp(context, surface.decode_context_grid, by_batch))


def prefill_s(surface: StepSurface, tokens: float, prompts: float = 1.0) -> float:
    """Seconds of one step that prefills ``prompts`` whole prompts of ``tokens`` each; beyond the grid it goes on."""
    total = tokens * prompts
    most = len(surface.tokens_s) - 1
    scale = max(1.0, total / most)
    dense = scale * float(np.interp(total / scale, np.arange(most + 1), surface.tokens_s))
    emitted = float(np.interp(prompts, np.arange(len(surface.sequences_s)), surface.sequences_s))
    grid = surface.prefill_chunk_grid
    chunks = max(1.0, np.ceil(tokens / grid[-1]))
    per_chunk = np.array([np.interp(tokens / chunks, grid, column) for column in surface.prefill_attention_s.T])
    starts = np.arange(chunks) * tokens / chunks
    attention = float(np.interp(starts, surface.prefill_context_grid, per_chunk).sum())
    return dense + emitted + prompts * attention


def _fullest(count: int, copies: int, prompt_tokens: float, sequences: int) -> FloatArray:
    """Tokens on the fullest copy for each number of scheduled tokens."""
    tokens = np.arange(count, dtype=np.float64)
    if copies == 1:
        return tokens
    spread = np.ceil(tokens / copies)
    prompts = np.maximum(np.ceil(tokens / prompt_tokens), 1.0)
    whole = np.minimum(np.ceil(prompts / copies) * prompt_tokens, tokens)
    decoding = spread[min(sequences, count - 1)]
    share = np.where(tokens <= sequences, spread, np.maximum(np.maximum(whole, spread), decoding))
    return np.asarray(np.maximum.accumulate(share), dtype=np.float64)


def _rows(grid: FloatArray, table: FloatArray, batch: FloatArray) -> FloatArray:
    """``table`` [B, C] at the batches asked, linear between rows."""
    upper = np.clip(np.searchsorted(grid, batch), 1, len(grid) - 1)
    low, high = grid[upper - 1], grid[upper]
    share = np.clip((batch - low) / (high - low), 0.0, 1.0)[:, None]
    return np.asarray(table[upper - 1] * (1 - share) + table[upper] * share)


def _layer(
    model: ModelSpec, deployment: DeploymentSpec, profile: LayerProfileSpec | None, sources: Sequence[Source],
    attention: int, moe: bool,
) -> StepSurface:  # fmt: skip
    """The surface of one layer; the kind of attention keeps its index, by which a profile's tables are keyed."""
    kind = model.attention[attention].model_copy(update={"layers": 1})
    single = model.model_copy(
        update={
            "layers": 1,
            "attention": (kind,),
            "mlp": model.mlp.model_copy(update={"layers": int(not moe)}) if model.mlp else None,
            "moe": model.moe.model_copy(update={"layers": 1}) if moe and model.moe else None,
        }
    )
    found = _operators(single, deployment)
    token = tuple(
        replace(one, calls=_layer_calls(one.name, one.calls, model)) for one in found.token if one.name != "embedding"
    )
    calls = tuple(replace(call, kind=attention) for call in found.attention)
    operators = StepOperators(token=token, sequence=(), attention=calls, stages=1, stage_share=1.0)
    weights = deployment.precision.weights or model.weights_precision
    host = host_time(deployment.engine.name, deployment.engine.version)
    saved_s = saved_s_of(host, single, weights, profile, operators)
    return compile_surface(
        model, operators, sources, deployment.engine, NO_HOST, saved_s=saved_s,
        max_context=deployment.engine.max_model_len or model.max_context_tokens,
    )[0]  # fmt: skip


def _layer_calls(name: str, calls: float, model: ModelSpec) -> float:
    """One layer has its own norms and two all-reduces; the last norm and the embedding's sum are the head's."""
    return {"norm": float(model.norms_per_layer), "all_reduce": 2.0}.get(name, calls)


def _head(model: ModelSpec, deployment: DeploymentSpec, sources: Sequence[Source]) -> StepSurface:
    found = _operators(model, deployment)
    around = tuple(
        replace(one, calls=1.0)
        for one in found.token
        if (isinstance(one, Stream) and one.name in ("embedding", "norm"))
        or (isinstance(one, Message) and one.name == "all_reduce")
    )
    operators = StepOperators(token=around, sequence=found.sequence, attention=(), stages=1, stage_share=1.0)
    return compile_surface(
        model, operators, sources, deployment.engine, NO_HOST,
        max_context=deployment.engine.max_model_len or model.max_context_tokens,
    )[0]  # fmt: skip


def _operators(model: ModelSpec, deployment: DeploymentSpec) -> StepOperators:
    precision = deployment.precision
    weights = precision.weights or model.weights_precision
    return step_operators(
        model, Parallel(tp=deployment.parallel.tp), weights, precision.activations, precision.kv_cache
    )  # fmt: skip
