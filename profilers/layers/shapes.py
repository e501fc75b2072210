"""The shapes at which a layer is measured, and the coarse grid from which measuring starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from specs.profile import Axis

Family = Literal["tokens", "prefill", "decode", "sequences"]
AXES: dict[Family, tuple[Axis, ...]] = {
    "tokens": ("tokens",),
    "prefill": ("chunk_tokens", "context_tokens"),
    "decode": ("batch", "context_tokens"),
    "sequences": ("sequences",),
}
# Steps of four: where a straight line between two such points errs, `grid` adds one between them (ours).
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 8192)
CHUNKS = (16, 64, 256, 1024, 4096, 8192)
BATCHES = (1, 4, 16, 64, 256)
CONTEXTS = (0, 256, 1024, 4096, 16384)
DECODE_CONTEXTS = (64, 256, 1024, 4096, 16384)


@dataclass(frozen=True, order=True)
class Shape:
    """One point: tokens, chunk, batch or sequences first; the context second, 0 where there is none.

    ``kind``: index into the model's ``attention``.
    """

    family: Family
    first: int
    second: int = 0
    kind: int = 0

    @property
    def coordinates(self) -> tuple[int, ...]:
        """The point's value on each of its family's axes."""
        return (self.first, self.second) if len(AXES[self.family]) == 2 else (self.first,)

    def within(self, other: Shape) -> bool:
        """Whether this asks for no more work than ``other`` on any axis of the same family."""
        same = (self.family, self.kind) == (other.family, other.kind)
        return same and self.first <= other.first and self.second <= other.second


def start_shapes(
    max_context: int, prefill_kinds: Iterable[int], decode_kinds: Iterable[int], fits: Callable[[Shape], bool]
) -> list[Shape]:
    """Return the coarse grid below ``max_context`` tokens, smallest shapes first, without those that do not fit."""
    found = [Shape("tokens", tokens) for tokens in TOKENS]
    found += [Shape("sequences", count) for count in BATCHES]
    for kind in prefill_kinds:
        found += [Shape("prefill", chunk, context, kind) for chunk in CHUNKS for context in CONTEXTS]
    for kind in decode_kinds:
        found += [Shape("decode", batch, context, kind) for batch in BATCHES for context in DECODE_CONTEXTS]
    return [shape for shape in found if longest(shape) <= max_context and fits(shape)]


def longest(shape: Shape) -> int:
    """Tokens of the longest sequence that a shape holds."""
    return {"tokens": 1, "sequences": 1, "decode": shape.second, "prefill": shape.first + shape.second}[shape.family]
