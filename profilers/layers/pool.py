"""Where the tensors of a layer come from: weights of their own, activations and caches as views of one pool."""

from __future__ import annotations

import math
from typing import Any

from profilers.layers.clocks import Torch

Tensor = Any
TILE = 1 << 20  # random values that are drawn; larger tensors repeat them, because contents do not change the time
WEIGHT_SCALE = 0.02  # keeps activations finite through a layer


class Bench:
    """Makes tensors on one device in one type; the pool grows to the largest activation or cache asked for."""

    def __init__(self, torch: Torch, device: str, dtype: Any) -> None:
        self.torch, self.device, self.dtype = torch, device, dtype
        self._tile = torch.randn(TILE, generator=torch.Generator().manual_seed(0)).to(device=device, dtype=dtype)
        self._pool = self._tile

    def weight(self, *shape: int) -> Tensor:
        """A random matrix in memory of its own."""
        return (self._repeated(math.prod(shape)) * WEIGHT_SCALE).view(shape)

    def activation(self, *shape: int) -> Tensor:
        """A view of the pool; as in an engine, activations lie where others lay just before."""
        return self.together(shape)[0]

    def together(self, *shapes: tuple[int, ...]) -> list[Tensor]:
        """Views of the pool that do not overlap."""
        sizes = [math.prod(shape) for shape in shapes]
        if sum(sizes) > len(self._pool):
            self._pool = self._tile  # give the old one back first
            self._pool = self._repeated(sum(sizes))
        parts = self._pool[: sum(sizes)].split(sizes)
        return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]

    def _repeated(self, size: int) -> Tensor:
        return self._tile.repeat(math.ceil(size / TILE))[:size]
