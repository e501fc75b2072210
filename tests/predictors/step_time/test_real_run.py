"""The replay of a real run stays within its bar, with host time from other runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np


def test_fifteen_latency_figures_are_met(reference_data: Callable[[str], Path]) -> None:
    from benchmarks import replay

    for name in (replay.RUN, *replay.TABLES):
        reference_data(name)
    wrong = np.abs(np.concatenate(list(replay.errors(replay.replay(replay.step_times()["measured"])).values())))
    assert wrong.mean() <= 0.02
    assert wrong.max() <= 0.05


def test_mixed_steps_cost_decodes_more(reference_data: Callable[[str], Path]) -> None:
    from benchmarks import replay

    for name in replay.TABLES:
        reference_data(name)
    surface = replay.step_times()["measured"].surface
    assert surface.mixed_decode_attention_s is not None
    assert (surface.mixed_decode_attention_s >= surface.decode_attention_s).all()
    row, column = np.searchsorted(surface.decode_batch_grid, 128), np.searchsorted(surface.decode_context_grid, 1000)
    assert surface.mixed_decode_attention_s[row, column] > 1.3 * surface.decode_attention_s[row, column]
