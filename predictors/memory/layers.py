"""Memory layer by layer: what each decoder layer weighs, and what one request keeps in its KV cache."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from predictors.memory.budget import ledger_by
from predictors.memory.coefficients import fitted
from predictors.memory.kv_cache import kv_token_bytes
from predictors.memory.sharding import ranks
from predictors.memory.weights import rank_weights
from specs.deployment import DeploymentSpec, Parallel
from specs.device import DeviceSpec
from specs.model import ModelSpec

FloatArray = npt.NDArray[np.float64]
ATTENTION_PARTS = ("attention", "absorbed MLA copies")
FEED_FORWARD_PARTS = ("mlp", "experts", "router")


@dataclass(frozen=True, kw_only=True)
class LayerMemory:
    """Bytes on one tensor-parallel rank, by layer [L].

    ``attention`` and ``feed_forward`` are the projections of each layer and ``other`` its norms and biases.
    ``first`` (embeddings, vision tower) belongs to the first layer and ``last`` (LM head) to the last;
    ``everywhere`` (the rotary cache) is held by every device that has a layer.
    """

    attention: FloatArray
    feed_forward: FloatArray
    other: FloatArray
    first: float
    last: float
    everywhere: float

    @property
    def layers(self) -> FloatArray:
        """Bytes of each decoder layer alone."""
        return np.asarray(self.attention + self.feed_forward + self.other)

    @property
    def weights(self) -> FloatArray:
        """Bytes of each layer with what stands before the first and after the last."""
        total = self.layers.copy()
        total[0] += self.first
        total[-1] += self.last
        return np.asarray(total)


def layer_memory(model: ModelSpec, deployment: DeploymentSpec) -> LayerMemory:
    """Weigh the layers of ``model`` at the precision and TP degree of ``deployment``.

    As `rank_weights` counts one layer on a pipeline rank of its own. Raises `InputError` where TP does not divide.
    """
    parallel = Parallel(tp=deployment.parallel.tp, pp=model.layers)
    found = [rank_weights(model, deployment.precision, parallel, rank) for rank in ranks(model, parallel)]
    attention = np.array([sum(parts.get(name, 0.0) for name in ATTENTION_PARTS) for parts in found])
    feed_forward = np.array([sum(parts.get(name, 0.0) for name in FEED_FORWARD_PARTS) for parts in found])
    first = sum(found[0].get(name, 0.0) for name in ("embedding", "vision", "other tensors"))
    other = np.array([parts.get("norms and biases", 0.0) for parts in found])
    tied = found[-1].get("lm_head", 0.0)
    return LayerMemory(
        attention=attention, feed_forward=feed_forward, other=other, first=first, last=tied,
        everywhere=found[0].get("rotary cache", 0.0),
    )  # fmt: skip


def kv_by_layer(model: ModelSpec, deployment: DeploymentSpec, tokens: float) -> FloatArray:
    """Bytes of KV [L] that one request of ``tokens`` keeps on one tensor-parallel rank; windows cut it off."""
    parallel = Parallel(tp=deployment.parallel.tp, pp=model.layers)
    found = []
    for rank in ranks(model, parallel):
        kind = model.attention[rank.attention_layers.index(1)]
        held = min(tokens, kind.window_tokens) if kind.window_tokens else tokens
        found.append(held * kv_token_bytes(kind, deployment.precision.kv_cache, deployment.parallel.tp))
    return np.array(found)


def free_for_layers(model: ModelSpec, device: DeviceSpec, deployment: DeploymentSpec) -> float:
    """Bytes that the engine's budget leaves on one GPU of ``device`` for weights and KV together.

    The budget less activations, libraries and graphs, as the ledger of a replica without pipeline stages has them.
    """
    parallel = Parallel(tp=deployment.parallel.tp)
    one = deployment.model_copy(update={"parallel": parallel, "device": device.name})
    book = ledger_by(fitted(), model, device, one)
    return book.kv_bytes + sum(book.weights.values())
