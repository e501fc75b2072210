"""A few shapes of a layer, measured in blocks that are spread out: what a later look for drift is held to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from profilers.layers.shapes import Shape
from profilers.layers.survey import MAX_REPEATS, Laps
from specs.profile import Repeats

WATCHED = (Shape("tokens", 16), Shape("tokens", 256), Shape("prefill", 256, 0), Shape("decode", 16, 256))
BLOCKS = 7  # as many as `profile host` takes
PAUSE_S = 1.5  # between two rounds: repeats in a row agree with each other and not with later ones
PAUSES_SHARE = 0.1  # of the budget, at most
DIGITS = 5


def watched(shapes: Iterable[Shape]) -> list[Shape]:
    """Return those of the watched shapes that are among ``shapes``."""
    known = set(shapes)
    return [shape for shape in WATCHED if shape in known]


def watch(
    shapes: Sequence[Shape],
    run: Callable[[Shape], Laps],
    *,
    budget_s: float,
    on_progress: Callable[[float, float, str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Repeats, ...]:
    """Return passes per second of each of ``shapes``: `BLOCKS` rounds over all of them, with pauses between."""
    pause_s = min(PAUSE_S, PAUSES_SHARE * budget_s / BLOCKS)
    blocks: dict[Shape, list[tuple[float, ...]]] = {shape: [] for shape in shapes}
    for shape in shapes:
        run(shape)
    for number in range(BLOCKS):
        on_progress(number, BLOCKS, "repeating a few shapes, for later looks for drift")
        for shape in shapes:
            blocks[shape].append(tuple(1.0 / sum(run(shape).values()) for _ in range(MAX_REPEATS)))
        sleep(pause_s)
    return tuple(Repeats(name=_name(shape), unit="passes/s", blocks=_rounded(blocks[shape])) for shape in shapes)


def _name(shape: Shape) -> str:
    return f"layer, {shape.family} {' × '.join(map(str, shape.coordinates))}"


def _rounded(blocks: list[tuple[float, ...]]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(f"{rate:.{DIGITS}g}") for rate in block) for block in blocks)
