"""The peak of the engine's profiling run: one batch of max_num_batched_tokens, then sampling max_num_seqs sequences.

vLLM loads the weights, runs that batch, and gives the KV cache what is left. Either the widest layer or the sampler
is the peak; buffers that outlive a layer (expert workspaces, image embeddings, tensors received from the previous
pipeline rank) add to both. Every tensor here is counted from vLLM's own code; two coefficients are fitted.
"""

from __future__ import annotations

from predictors.memory.coefficients import GIB, profiled_image
from predictors.memory.placement import Placement
from predictors.memory.sharding import expert_split, padded_vocabulary
from specs.deployment import Parallel
from specs.model import Attention, ModelSpec, Moe

# Bytes per logit besides the compute type's own: an fp32 copy, probabilities, and the exponential noise of sampling
# [std: vLLM topk_topp_sampler.py]
SAMPLER_BYTES = 12.0
PIVOT_BYTES = 4.0  # one fp32 row of the vocabulary per SM for the top-k/top-p kernel [std: vLLM topk_topp_triton.py]


def activation_bytes(place: Placement) -> float:
    """Peak bytes of torch memory above the weights on one GPU."""
    layer = layer_bytes(place)
    peak = max(layer, sampling_bytes(place)) if place.rank.last else layer
    return peak + lasting_bytes(place) + place.fitted.fixed_gib * GIB


def layer_bytes(place: Placement) -> float:
    """Widest moment of a layer, over all tokens: tensors of the feed-forward or attention, and some hidden-sized."""
    model, tp, stored = place.model, place.parallel.tp, place.stored
    widest = max(_feed_forward_width(model, tp), *(_attention_width(kind, tp) for kind in model.attention))
    quantized = model.mlp.intermediate / tp if stored.precision in ("fp8", "int8") and model.mlp else 0.0
    elements = widest + place.fitted.hidden_copies * model.hidden
    return place.engine.max_num_batched_tokens * (elements * stored.compute_bytes + quantized)


def sampling_bytes(place: Placement) -> float:
    """Logits of every sequence and what the sampler makes of them, while the batch's hidden states are still held."""
    tokens, width = place.engine.max_num_batched_tokens, place.stored.compute_bytes
    sequences = min(place.engine.max_num_seqs, tokens)
    vocabulary = padded_vocabulary(place.model)
    logits = sequences * vocabulary * (width + SAMPLER_BYTES)
    pivots = min(place.device.sm_count, sequences) * vocabulary * PIVOT_BYTES
    return logits + pivots + (tokens + sequences) * place.model.hidden * width


def lasting_bytes(place: Placement) -> float:
    """Buffers that the profiling run makes and keeps: received tensors, expert workspaces, images."""
    model, rank, tokens = place.model, place.rank, place.engine.max_num_batched_tokens
    elements = 0.0 if rank.first else 2.0 * tokens * model.hidden  # hidden states and residual
    if model.moe and rank.moe_layers and place.stored.precision != "mxfp4":  # MXFP4 kernels allocate as they go
        elements += _expert_workspace(model.hidden, model.moe, tokens, place.parallel)
    if model.vision and rank.first:
        elements += _image_elements(model, tokens)
    return elements * place.stored.compute_bytes


def _feed_forward_width(model: ModelSpec, tp: int) -> float:
    """Elements per token of gate, up and their product (or of the one projection and its activation)."""
    if model.mlp and model.mlp.layers:
        return (3.0 if model.mlp.gated else 2.0) * model.mlp.intermediate / tp
    return 3.0 * model.moe.shared_intermediate / tp if model.moe else 0.0


def _attention_width(kind: Attention, tp: int) -> float:
    """Elements per token of queries, keys, values and the attention's output."""
    value = kind.value_head_dim or kind.head_dim
    key = kind.head_dim + (kind.rope_head_dim or 0)
    kv_heads = kind.heads if kind.kind == "mla" else kind.kv_heads
    return (kind.heads + kv_heads) * (key + value) / tp


def _expert_workspace(hidden: int, moe: Moe, tokens: int, parallel: Parallel) -> float:
    """Elements of the two workspaces of vLLM's expert kernels [std: vLLM `TritonExperts.workspace_shapes`]."""
    _, cutters = expert_split(parallel)
    out = -(-moe.intermediate // cutters)
    into = (2 if moe.gated else 1) * out
    return tokens * parallel.dp * moe.experts_per_token * (max(out, hidden) + max(into, hidden))


def _image_elements(model: ModelSpec, tokens: int) -> float:
    """Images that fill the encoder budget: embeddings that wait in the encoder cache, and the pixels they came from."""
    image = profiled_image(model.architecture, tokens)
    images = max(1, tokens // image.tokens)
    return images * (image.tokens * model.hidden + 3.0 * image.pixels)
