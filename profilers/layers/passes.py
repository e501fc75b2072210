"""One pass over a shape of a model on a device: which operators run, in which order, and how long each takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from profilers.layers.attention import decode_step, prefill_step
from profilers.layers.blocks import embedding_step, head_steps, layer_weights, norm_step, token_steps
from profilers.layers.clocks import Step, Timer, Torch, cpu_timer, cuda_timer
from profilers.layers.pool import Bench
from profilers.layers.shapes import Shape
from profilers.layers.survey import Laps, TooLargeError
from profilers.layers.tensors import layer_bytes, shard_of
from specs.errors import MissingHardwareError
from specs.model import ModelSpec

DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
CACHE_TIMES = 2.0  # copies of the layer fill the last cache so often that no pass finds its weights there


class Passes:
    """Random weights of a model's layer, embedding and head on one device, and the passes over them.

    Layers of a real model push each other's weights out of the caches, so passes take turns over as many copies of the
    layer as fill the last cache twice, at most one for each layer of the model (ours).
    """

    def __init__(self, torch: Torch, model: ModelSpec, tp: int, device: str, cache_bytes: float) -> None:
        self.model, self.tp = model, tp
        self.bench = Bench(torch, device, getattr(torch, DTYPES[model.weights_precision]))
        self.timer: Timer = cuda_timer(torch, device) if device.startswith("cuda") else cpu_timer()
        self.copies = copies_of(model, tp, cache_bytes)
        self.layers = [layer_weights(self.bench, model, tp) for _ in range(self.copies)]
        rows = math.ceil(model.vocabulary / tp)
        self.table, self.head = (self.bench.weight(rows, model.hidden) for _ in range(2))
        self._next = 0

    def run(self, shape: Shape) -> Laps:
        """Run ``shape`` once and return the seconds of each operator; raises `TooLargeError` where memory runs out."""
        torch = self.bench.torch
        try:
            with torch.inference_mode():
                return self.timer(self.steps(shape))
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise TooLargeError(f"does not fit the memory: {str(error).partition(chr(10))[0]}") from None

    def steps(self, shape: Shape) -> Sequence[Step]:
        """Return the operators of one pass over ``shape``."""
        builders: dict[str, Callable[[], list[Step]]] = {
            "tokens": lambda: self._tokens(shape.first),
            "sequences": lambda: head_steps(self.bench, self.head, self.model.vocabulary, shape.first),
            "prefill": lambda: [prefill_step(self.bench, self._shard(shape), shape.first, shape.second)],
            "decode": lambda: [decode_step(self.bench, self._shard(shape), shape.first, shape.second)],
        }
        return builders[shape.family]()

    def _tokens(self, tokens: int) -> list[Step]:
        weights = self.layers[self._next]
        self._next = (self._next + 1) % self.copies
        inner = token_steps(self.bench, self.model, self.tp, weights, tokens)
        return [embedding_step(self.bench, self.table, tokens), *inner, norm_step(self.bench, weights.norm, tokens)]

    def _shard(self, shape: Shape) -> Any:
        return shard_of(self.model.attention[shape.kind], self.tp, self.model.rotary_dim)


def copies_of(model: ModelSpec, tp: int, cache_bytes: float) -> int:
    """How many copies of the layer fill a cache of so many bytes `CACHE_TIMES`; at most the model's layers."""
    return max(1, min(model.layers, math.ceil(CACHE_TIMES * cache_bytes / layer_bytes(model, tp))))


def require_room(needed_bytes: float, free_bytes: float, what: str) -> None:
    """Raise `MissingHardwareError` where the weights would not leave a fifth of the memory free."""
    if needed_bytes > 0.8 * free_bytes:
        raise MissingHardwareError(
            f"{what}: one layer with embedding and head needs {needed_bytes / 2**30:.1f} GiB, "
            f"{free_bytes / 2**30:.1f} GiB of memory are free",
            cure="Free memory, or shard it: --tp.",
        )
