"""The peak of the engine's profiling run: one batch of max_num_batched_tokens, then sampling max_num_seqs sequences.

vLLM loads the weights, runs that batch, and gives the KV cache what is left. Either the widest layer or the sampler
is the peak; buffers that outlive a layer (expert workspaces, image embeddings, tensors received from the previous
pipeline rank) add to both. Every tensor here is counted from vLLM's own code; two coefficients are fitted.
"""

from __future__ import annotations

from predictors.memory.coefficients import GIB, Coefficients, profiled_image
from predictors.memory.sharding import Rank, expert_split, padded_vocabulary
from predictors.memory.storage import Storage
from specs.deployment import Engine, Parallel
from specs.device import DeviceSpec
from specs.model import Attention, ModelSpec, Moe

# Bytes per logit besides the compute type's own: an fp32 copy, probabilities, and the exponential noise of sampling [std: vLLM
# topk_topp_sampler.py]
SAMPLER_BYTES = 12.0
PIVOT_BYTES = 4.0  # one fp32 row of the vocabulary per SM for the top-k/top-p kernel [std: vLLM topk_topp_triton.py]


def activation_bytes(
    model: ModelSpec,
    device: DeviceSpec,
    engine: Engine,
    parallel: Parallel,
    rank: Rank,
    stored: Storage,
    fitted: Coefficients,
) -> float:
    """Peak bytes of torch memory above the weights on one GPU of ``rank``."""
    layer = layer_bytes(model, engine, parallel, stored, fitted)
    peak = max(layer, sampling_bytes(model, device, engine, stored)) if rank.last else layer
    return peak + lasting_bytes(model, engine, parallel, rank, stored) + fitted.fixed_gib * GIB


def layer_bytes(model: ModelSpec, engine: Engine, parallel: Parallel, stored: Storage, fitted: Coefficients) -> float:
    """Widest moment of a layer: the feed-forward's (or attention's) tensors and some hidden-sized ones, for every token."""
    width = max(
        _feed_forward_width(model, parallel), *(_attention_width(kind, parallel.tp) for kind in model.attention)
    ) * stored.compute_bytes  # fmt: skip
    if stored.precision in ("fp8", "int8") and model.mlp:
        width += model.mlp.intermediate / parallel.tp  # the quantised input of the down projection
    hidden = fitted.hidden_copies * model.hidden * stored.compute_bytes
    return engine.max_num_batched_tokens * (width + hidden)


def sampling_bytes(model: ModelSpec, device: DeviceSpec, engine: Engine, stored: Storage) -> float:
    """Logits of every sequence and what the sampler makes of them, while the batch's hidden states are still held."""
    sequences = min(engine.max_num_seqs, engine.max_num_batched_tokens)
    vocabulary = padded_vocabulary(model)
    logits = sequences * vocabulary * (stored.compute_bytes + SAMPLER_BYTES)
    pivots = min(device.sm_count, sequences) * vocabulary * PIVOT_BYTES
    hidden = (engine.max_num_batched_tokens + sequences) * model.hidden * stored.compute_bytes
    return logits + pivots + hidden


def lasting_bytes(model: ModelSpec, engine: Engine, parallel: Parallel, rank: Rank, stored: Storage) -> float:
    """Buffers that the profiling run makes and keeps."""
    tokens = engine.max_num_batched_tokens
    total = (
        2.0 * tokens * model.hidden * stored.compute_bytes if not rank.first else 0.0
    )  # hidden states and residual received
    if model.moe and rank.moe_layers and stored.precision != "mxfp4":  # the MXFP4 kernels allocate as they go
        total += _expert_workspace_bytes(model.hidden, model.moe, tokens, parallel, stored)
    if model.vision and rank.first:
        total += _image_bytes(model, tokens, stored)
    return total


def _feed_forward_width(model: ModelSpec, parallel: Parallel) -> float:
    """Elements per token of gate, up and their product (or of the one projection and its activation)."""
    if not model.mlp or not model.mlp.layers:
        return (3.0 * model.moe.shared_intermediate / parallel.tp) if model.moe else 0.0
    return (3.0 if model.mlp.gated else 2.0) * model.mlp.intermediate / parallel.tp


def _attention_width(kind: Attention, tp: int) -> float:
    value = kind.value_head_dim or kind.head_dim
    width = kind.head_dim + (kind.rope_head_dim or 0)
    kv_heads = kind.heads if kind.kind == "mla" else kind.kv_heads
    return (kind.heads * (width + value) + kv_heads * (width + value)) / tp


def _expert_workspace_bytes(hidden: int, moe: Moe, tokens: int, parallel: Parallel, stored: Storage) -> float:
    """The two workspaces of vLLM's modular expert kernels, per routed token [std: vLLM `TritonExperts.workspace_shapes`]."""
    _, cutters = expert_split(parallel)
    width = -(-moe.intermediate // cutters)
    into, out = (2 if moe.gated else 1) * width, width
    rows = tokens * parallel.dp * moe.experts_per_token
    return rows * (max(out, hidden) + max(into, hidden)) * stored.compute_bytes


def _image_bytes(model: ModelSpec, tokens: int, stored: Storage) -> float:
    """Images that fill the encoder budget: their embeddings wait in the encoder cache, their pixels in the dummy input."""
    image = profiled_image(model.architecture, tokens)
    images = max(1, tokens // image.tokens)
    return images * (image.tokens * model.hidden + 3 * image.pixels) * stored.compute_bytes
