"""Predicted output lengths: what can be learned is learned, what cannot is the workload's own quantile."""

from __future__ import annotations

import numpy as np
import pytest

from predictors.output_lengths import length_class, pinball_loss, predict_output_lengths


def test_classes_are_powers_of_two() -> None:
    assert length_class(np.asarray([1, 2, 3, 4, 5, 1024, 1025])).tolist() == [0, 1, 2, 2, 3, 10, 11]


def test_the_pinball_loss_is_least_at_the_quantile() -> None:
    values = np.random.default_rng(0).integers(1, 500, 2000)
    at = {q: pinball_loss(values, np.full(2000, np.quantile(values, q)), 0.9) for q in (0.8, 0.9, 0.97)}
    assert at[0.9] == min(at.values())
    assert pinball_loss(np.asarray([10, 10]), np.asarray([5.0, 20.0]), 0.9) == pytest.approx((0.9 * 5 + 0.1 * 10) / 2)


def test_outputs_that_follow_the_prompt_are_foreseen() -> None:
    rng = np.random.default_rng(1)
    prompt = rng.integers(10, 4000, 2000)
    output = np.where(prompt > 1000, 20, 300) + rng.integers(0, 10, 2000)
    found = predict_output_lengths(prompt, output)
    assert found.kind == "quantile regressor"
    assert found.features == ("prompt_tokens",)
    assert found.class_accuracy > 0.9
    assert found.pinball < 0.5 * found.pinball_constant
    assert (output[found.scored] <= found.upper[found.scored]).mean() > 0.85


def test_outputs_that_follow_nothing_get_the_workloads_own_quantiles() -> None:
    rng = np.random.default_rng(2)
    output = rng.integers(1, 500, 1000)
    found = predict_output_lengths(rng.integers(10, 4000, 1000), output, quantile=0.95)
    assert found.kind == "workload quantiles"
    assert found.features == ()
    assert found.upper[0] == np.quantile(output[:600], 0.95)
    assert found.pinball == found.pinball_constant


def test_classes_and_earlier_answers_of_a_session_are_features() -> None:
    rng = np.random.default_rng(3)
    session, kind = rng.integers(0, 40, 1500), rng.integers(0, 2, 1500)
    usual = rng.integers(20, 400, 40)
    output = usual[session] + 300 * kind
    found = predict_output_lengths(np.full(1500, 100), output, class_index=kind, session=session)
    assert found.kind == "quantile regressor"
    assert found.features == ("prompt_tokens", "class", "turn", "answer before")


def test_few_requests_are_not_fitted() -> None:
    found = predict_output_lengths(np.arange(1, 51), np.arange(1, 51))
    assert found.kind == "workload quantiles"
