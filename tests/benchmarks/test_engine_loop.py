"""What the closed loop on a real engine computes from what it measured: the naive model, agreement, errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.engine_loop import linear_profile, write_trace
from benchmarks.engine_loop_report import Load, joined, measured, result
from specs.engine import EngineProfile
from specs.measured import Measured
from specs.reading import read_document
from specs.writing import to_yaml
from tests.profilers.test_drift import repeated

ARRIVAL, TTFT, TPOT = np.arange(50.0), np.linspace(0.1, 0.2, 50), np.full(50, 0.01)


def measured_run(slower: float = 1.0) -> Measured:
    return Measured(
        name="run", tool="test", sha256="0" * 64, count=50, prompt_tokens=np.full(50, 100),
        output_tokens=np.full(50, 11), ttft_s=slower * TTFT, tpot_s=slower * TPOT,
        e2e_s=slower * (TTFT + 10 * TPOT), arrival_s=ARRIVAL,
    )  # fmt: skip


def one_load(first: float, second: float, share: float = 0.5) -> Load:
    """A load whose calibrations predict so many times what was measured."""
    real = measured(measured_run(), measured_run(1.05))
    factors = (first, (first + second) / 2, second)
    before, between, after = ({name: factor * value for name, value in real.items()} for factor in factors)
    return Load(
        share=share, run=measured_run(), again=measured_run(1.05),
        predicted=(before, between, after), linear=before, trace=Path("t"),
    )  # fmt: skip


def test_the_linear_model_is_least_squares_over_logged_steps(tmp_path: Path) -> None:
    line = (
        "Iteration({n}): {c} context requests, {t} context tokens, {g} generation requests, {g} generation tokens, "
        "iteration elapsed time: {ms:.4f} ms"
    )
    steps = [(n % 3, 50 * (n % 3), n % 7) for n in range(1, 80)]
    text = [line.format(n=n, c=c, t=t, g=g, ms=9 + 0.2 * t + 0.5 * g) for n, (c, t, g) in enumerate(steps)]
    (tmp_path / "engine0.log").write_text("\n".join(text))
    (tmp_path / "engine0.yaml").write_text(to_yaml(repeated("engine")))
    found = read_document(linear_profile(tmp_path / "engine0.yaml", tmp_path / "l.yaml"), EngineProfile).spec.steps
    assert found.base_s == pytest.approx(9e-3, rel=1e-3)
    assert found.tokens_s[1] / 512 == pytest.approx(0.2e-3, rel=1e-3)
    assert found.per_sequence_s == pytest.approx(0.3e-3, rel=1e-2)


def test_a_load_counts_where_both_calibrations_say_the_same() -> None:
    assert one_load(1.0, 1.09).accepted
    assert not one_load(1.0, 1.11).accepted


def test_beyond_saturation_calibrations_agree_where_their_throughput_does() -> None:
    load = one_load(1.0, 1.0, 1.5)
    queued = replace(load, predicted=(*load.predicted[:2], load.predicted[2] | {"ttft mean": 99.0}))
    assert queued.accepted
    assert not one_load(1.0, 1.11, 1.5).accepted


def test_the_calibration_between_two_runs_counts_for_both() -> None:
    load = one_load(1.0, 1.0)
    middle = {name: 1.2 * value for name, value in load.real.items()}
    found = joined(replace(load, predicted=(load.predicted[0], middle, load.predicted[2])))
    assert found["tpot mean"] == pytest.approx(1.1 * load.real["tpot mean"])


def test_a_load_is_measured_over_both_its_runs() -> None:
    real = one_load(1.0, 1.0).real
    assert real["ttft mean"] == pytest.approx(1.025 * TTFT.mean())
    assert real["tpot p90"] == pytest.approx(0.0105)
    assert real["requests per s"] == pytest.approx(100 / (49 + TTFT[-1] + 0.1 + 49 + 1.05 * (TTFT[-1] + 0.1)))


def test_the_bars_hold_for_accepted_loads_alone() -> None:
    good = [one_load(1.05, 1.1, share) for share in (0.2, 0.4, 0.6, 0.8)]
    above = one_load(1.05, 1.05, 1.5)
    found = result([*good, above], ["no torch"], 1.0, 2.0)
    assert found.holds
    assert found.figures["worst_mean"] == pytest.approx(0.075)
    assert found.detail[0]["run to run"] == "+5.0%, +5.0%, +5.0%, +5.0%"
    assert "no prediction (no torch)" in found.text
    assert not result([*good[:3], one_load(1.0, 1.2), above], [], 1.0, 2.0).holds  # one is missing
    assert not result([*good[:3], one_load(1.2, 1.2), above], [], 1.0, 2.0).holds  # one is wrong
    assert not result([*good, one_load(1.2, 1.2, 1.5)], [], 1.0, 2.0).holds  # throughput


def test_nothing_of_how_a_load_was_served_goes_into_its_trace(tmp_path: Path) -> None:
    text = write_trace(measured_run(), tmp_path / "t.csv").read_text().splitlines()
    assert text[:2] == ["arrival_s,prompt_tokens,output_tokens", "0.000000,100,11"]
    assert text == write_trace(measured_run(3.0), tmp_path / "u.csv").read_text().splitlines()
