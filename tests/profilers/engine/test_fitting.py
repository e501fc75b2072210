"""The fit returns the step model that made the steps, and its stated error is that of steps it has not seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profilers.engine.fitting import fit_steps, predicted_s
from profilers.engine.steps import Steps, knots, token_share
from specs.engine import MAY_FALL_TOKENS, StepModel
from specs.errors import InputError

GRID = knots(1024)


def drawn(seed: int, count: int, largest: int = 63) -> Steps:
    """Steps of many kinds; seconds are left zero."""
    rng = np.random.default_rng(seed)
    batch = rng.integers(0, largest + 1, count).astype(float)
    chunk = np.where(rng.random(count) < 0.4, rng.integers(1, 960, count), 0).astype(float)
    batch = np.where((batch == 0) & (chunk == 0), 1.0, batch)
    return Steps(
        seconds=np.zeros(count), steps=np.ones(count), tokens=token_share(batch + chunk, GRID),
        sequences=batch + (chunk > 0), context_tokens=batch * rng.uniform(50, 1500, count),
        prompts=(chunk > 0).astype(float), pairs=chunk * (chunk / 2), idle=((batch == 0) & (chunk > 0)).astype(float),
    )  # fmt: skip


def timed(steps: Steps, model: StepModel, overhead_s: float, noise: float = 0.0, seed: int = 0) -> Steps:
    factor = np.random.default_rng(seed).lognormal(-(noise**2) / 2, noise, len(steps)) if noise else 1.0
    return Steps(**{**vars(steps), "seconds": predicted_s(model, overhead_s, steps) * factor})


def model_of(base_ms: float, token_us: float, sequence_us: float, context_us: float) -> StepModel:
    return StepModel(
        base_s=base_ms / 1e3, tokens=tuple(GRID), tokens_s=tuple(token_us * 1e-6 * np.maximum(0, GRID - 1)),
        per_sequence_s=sequence_us * 1e-6, per_context_token_s=context_us * 1e-6, per_prompt_s=1e-4,
        per_attended_pair_s=1e-9,
    )  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.floats(2, 30), st.floats(5, 200), st.floats(0, 100), st.floats(0.01, 1))
def test_steps_without_noise_are_returned_exactly(base: float, token: float, sequence: float, context: float) -> None:
    truth = model_of(base, token, sequence, context)
    seen, new = timed(drawn(0, 400), truth, 0.003), drawn(1, 200)
    found = fit_steps(seen, GRID, "step log")
    assert predicted_s(found.model, found.request_overhead_s or 0.0, new) == pytest.approx(
        predicted_s(truth, 0.003, new), rel=0.01
    )
    assert found.fit.error < 0.01


def test_the_stated_error_covers_nine_of_ten_unseen_blocks() -> None:
    truth = model_of(10, 60, 20, 0.2)
    found = fit_steps(timed(drawn(0, 800), truth, 0.003, noise=0.3), GRID, "step log")
    new = timed(drawn(7, 8000), truth, 0.003, noise=0.3, seed=9)
    blocks = np.arange(8000) // found.fit.block_steps
    sums = np.bincount(blocks, predicted_s(found.model, 0.003, new)) / np.bincount(blocks, new.seconds)
    assert np.mean(np.abs(sums - 1) <= found.fit.error) == pytest.approx(0.9, abs=0.06)
    assert abs(found.fit.bias) < 0.05


@pytest.mark.parametrize("at_four_ms", [0.2, -0.8])  # more than alone, and less
def test_kernels_that_are_faster_for_a_larger_batch_are_found(at_four_ms: float) -> None:
    small_s = 1e-3 * np.array([0.0, 1.4, at_four_ms, 3.7, 10.0])  # at 1, 2, 4, 8 and 16 tokens
    curve = np.concatenate([[0.0], 1e-3 + small_s, 0.011 + 3e-4 * (GRID[6:] - 16)])
    truth = StepModel(base_s=0.009, tokens=tuple(GRID), tokens_s=tuple(curve), per_context_token_s=1e-6)
    found = fit_steps(timed(drawn(0, 3000, largest=16), truth, 0.0), GRID, "step log")
    assert found.fit.error < 0.02
    whole_s = np.array(found.model.tokens_s[1:6]) + found.model.base_s  # the base may lie in either
    assert whole_s == pytest.approx(0.010 + small_s, rel=0.07)  # neighbours' slopes are drawn together a little
    assert whole_s[2] < whole_s[1]


def test_a_fit_falls_for_small_batches_alone_and_is_never_negative() -> None:
    noise = Steps(**{**vars(drawn(2, 60)), "seconds": np.random.default_rng(5).uniform(0.001, 0.1, 60)})
    model = fit_steps(noise, GRID, "probes").model
    assert (np.diff(model.tokens_s)[GRID[1:] > MAY_FALL_TOKENS] >= 0).all()
    assert min(model.tokens_s) >= 0
    assert min(model.base_s, model.per_sequence_s, model.per_context_token_s, model.per_prompt_s) >= 0


def test_too_few_steps_are_refused() -> None:
    with pytest.raises(InputError, match="11 engine steps or requests were seen, 12 are needed"):
        fit_steps(timed(drawn(0, 11), model_of(10, 60, 20, 0.2), 0.0), GRID, "requests")


@given(st.floats(0, 5000), st.integers(1, 5000))
def test_token_shares_measure_the_way_along_the_grid(tokens: float, most: int) -> None:
    grid = knots(most)
    way = float(token_share(np.array([tokens]), grid)[0] @ np.diff(grid))
    assert way == pytest.approx(min(tokens, grid[-1]))
