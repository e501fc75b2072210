"""What a look for drift is held to: the same shapes in turn, spread out, in blocks of rates."""

from __future__ import annotations

import pytest

from profilers.layers.shapes import Shape
from profilers.layers.watching import BLOCKS, PAUSE_S, WATCHED, watch, watched


def test_rounds_take_turns_and_pause_between() -> None:
    order: list[str] = []

    def run(shape: Shape) -> dict[str, float]:
        order.append(shape.family)
        return {"qkv_proj": 0.003, "o_proj": 0.001}

    pauses: list[float] = []
    shapes = watched([Shape("tokens", 16), Shape("decode", 16, 256), Shape("tokens", 1)])
    found = watch(shapes, run, budget_s=1000, on_progress=lambda *_: None, sleep=pauses.append)
    assert [one.name for one in found] == ["layer, tokens 16", "layer, decode 16 × 256"]
    assert all(block == pytest.approx((250.0,) * 5) for one in found for block in one.blocks)
    assert [len(one.blocks) for one in found] == [BLOCKS, BLOCKS]
    assert order[2:12] == ["tokens"] * 5 + ["decode"] * 5
    assert pauses == [PAUSE_S] * BLOCKS


def test_pauses_are_a_tenth_of_a_short_budget_at_most() -> None:
    pauses: list[float] = []
    watch(WATCHED[:1], lambda shape: {"norm": 1.0}, budget_s=7, on_progress=lambda *_: None, sleep=pauses.append)
    assert sum(pauses) == pytest.approx(0.7)
