"""What the closed loop on a real engine computes from what it measured: the naive model, agreement, errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.engine_loop import linear_profile, write_trace
from benchmarks.engine_loop_report import SHARES, Load, Slice, measured, result, typical_s
from specs.engine import EngineProfile, StepModel
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


def one_slice(first: float, second: float, share: float = 0.5, slower: float = 1.0) -> Slice:
    """A slice whose calibrations predict so many times what was measured."""
    run = measured_run(slower)
    before, after = ({name: factor * value for name, value in measured(run).items()} for factor in (first, second))
    steps = ({"decode": first, "prefill": 1.0}, {"decode": second, "prefill": 1.0})
    return Slice(share=share, run=run, steps=steps, before=before, after=after, linear=before, trace=Path("t"))


def one_load(*factors: tuple[float, float], share: float = 0.5) -> Load:
    return Load(share=share, slices=[one_slice(first, second, share) for first, second in factors])


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


def test_a_slice_counts_where_both_calibrations_say_the_same() -> None:
    load = one_load((1.0, 1.09), (1.0, 1.11), (1.0, 0.89), (0.95, 1.0))
    assert load.accepted == [load.slices[0], load.slices[3]]
    assert load.lacking == 2


def test_calibrations_are_held_together_by_their_steps_and_not_by_waiting() -> None:
    one = one_slice(1.0, 1.0)
    assert replace(one, after=one.after | {"ttft mean": 99.0}).disagreement == 0
    slower = replace(one, steps=(one.steps[0], one.steps[1] | {"prefill": 0.8}))
    assert slower.disagreement == pytest.approx(0.2)


def test_typical_steps_are_those_of_the_model() -> None:
    model = StepModel(base_s=0.01, tokens=(0, 1, 512), tokens_s=(0, 0, 0.511), per_sequence_s=0.001)
    assert typical_s(model) == pytest.approx({
        "decode": 5 * 0.01 + (31 - 5) * 0.001 + 31 * 0.001,
        "prefill": 3 * 0.01 + (3 * 256 + 12 - 3) * 0.001 + (12 + 3) * 0.001,
    })  # fmt: skip


def test_a_load_is_held_over_all_its_slices() -> None:
    slices = [one_slice(1.1, 1.0), one_slice(0.9, 0.9, slower=2.0), one_slice(3.0, 1.0)]
    found = Load(share=0.5, slices=slices)
    assert found.error["tpot mean"] == pytest.approx((1.05 + 2 * 0.9) / 3 - 1)
    assert found.linear_error["ttft p90"] == pytest.approx((1.1 + 2 * 0.9) / 3 - 1)


def test_throughput_is_over_the_span_to_the_last_token() -> None:
    assert measured(measured_run())["requests per s"] == pytest.approx(50 / (49 + TTFT[-1] + 0.1))


def test_the_bars_hold_where_every_load_has_a_slice() -> None:
    good = [one_load(*[(1.05, 1.1)] * 4, share=share) for share in SHARES[:4]]
    above = one_load((1.05, 1.05), (0.95, 0.95), share=1.5)
    found = result([*good, above], ["no torch"], 1.0, 2.0)
    assert found.holds
    assert found.figures["worst_mean"] == pytest.approx(0.075)
    assert found.figures["throughput_above"] == pytest.approx(0.0, abs=1e-9)
    assert "no prediction (no torch)" in found.text
    rejected, wrong = one_load(*[(1.0, 1.2)] * 3, share=0.7), one_load(*[(1.2, 1.2)] * 4, share=0.7)
    assert result([*good[:3], one_load((1.05, 1.1), share=0.7), above], [], 1.0, 2.0).holds
    assert not result([*good[:3], rejected, above], [], 1.0, 2.0).holds
    assert not result([*good[:3], wrong, above], [], 1.0, 2.0).holds
    assert not result([*good, one_load(*[(1.2, 1.2)] * 2, share=1.5)], [], 1.0, 2.0).holds
    assert not result([*good, Load(share=1.5)], [], 1.0, 2.0).holds


def test_the_spread_of_single_slices_is_told() -> None:
    row = result([one_load((1.0, 1.0), (1.2, 1.2), (0.9, 0.9))], [], 1.0, 2.0).detail[0]
    assert row["single slices"] == ", ".join(["-10% … +20%"] * 4)


def test_nothing_of_how_a_load_was_served_goes_into_its_trace(tmp_path: Path) -> None:
    text = write_trace(measured_run(), tmp_path / "t.csv").read_text().splitlines()
    assert text[:2] == ["arrival_s,prompt_tokens,output_tokens", "0.000000,100,11"]
    assert text == write_trace(measured_run(3.0), tmp_path / "u.csv").read_text().splitlines()
