"""The ledger against measured start-ups, by coefficients that never saw the model's family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import memory
from benchmarks.fit_memory import errors_gib, fit
from benchmarks.start_ups import MEASURED, start_ups
from predictors.memory.coefficients import fitted, memory_table


def test_left_out_families_are_predicted_within_the_bars(reference_data: Callable[[str], Path]) -> None:
    reference_data(f"gpu_memory/{MEASURED}")
    result = memory.run()
    assert result.holds
    assert {name: result.figures[name] for name in memory.BARS} == pytest.approx(
        dict.fromkeys(memory.BARS, 0), abs=0.002
    )
    assert result.figures["kv_bytes_inside_90_interval"] >= 0.8


def test_the_catalogue_holds_what_the_fit_finds(reference_data: Callable[[str], Path]) -> None:
    reference_data(f"gpu_memory/{MEASURED}")
    runs = start_ups(MEASURED)
    assert vars(fit(runs)) == pytest.approx(vars(fitted()), rel=0.01)
    for name, error in errors_gib(runs).items():
        assert error <= memory_table()["errors_gib"][name]
