"""A measured run replayed: what is sent, and how predicted and measured are compared."""

from __future__ import annotations

import math

import numpy as np
import pytest

from predictors.deployment import compile_deployment, serve
from predictors.replay import checked, replay, requests_of_measured
from predictors.serving.measures import measure
from profilers.importers.listed import figures_of
from specs.catalog import find_device, find_model
from specs.deployment import DeploymentSpec
from specs.measured import STATISTICS, Measured

DEPLOYMENT = DeploymentSpec.model_validate({"model": "llama-3.1-8b", "device": "h100-sxm"})


def _measured(count: int = 40, kept: int = 40, **parts: object) -> Measured:
    rng = np.random.default_rng(1)
    columns: dict[str, object] = {
        "prompt_tokens": rng.integers(50, 900, kept), "output_tokens": rng.integers(1, 60, kept),
        "arrival_s": np.cumsum(rng.exponential(0.1, kept)), "ttft_s": np.full(kept, 0.1), "tpot_s": np.full(kept, 0.01),
        "e2e_s": np.full(kept, 1.0), "rate_per_s": 4.0,
    }  # fmt: skip
    return Measured(name="run", tool="requests", sha256="", count=count, **(columns | parts))  # type: ignore[arg-type]


def test_a_whole_list_is_replayed_as_it_came() -> None:
    measured = _measured()
    requests, loop, how = requests_of_measured(measured)
    np.testing.assert_array_equal(requests.arrival_s, measured.arrival_s)
    np.testing.assert_array_equal(requests.output_tokens, measured.output_tokens)
    assert loop is None
    assert "as they arrived" in how


def test_a_cut_list_is_drawn_at_the_rate_and_says_so() -> None:
    measured = _measured(count=4000, kept=10, cv=2.0)
    requests, loop, how = requests_of_measured(measured)
    gaps = np.diff(requests.arrival_s)
    assert len(requests) == 4000
    assert 1 / gaps.mean() == pytest.approx(4.0, rel=0.1)
    assert gaps.std() / gaps.mean() == pytest.approx(2.0, rel=0.1)
    assert set(requests.prompt_tokens) <= set(measured.prompt_tokens)
    assert loop is None
    assert "not whole" in how


def test_a_concurrency_limit_becomes_a_closed_loop() -> None:
    requests, loop, _ = requests_of_measured(_measured(count=100, kept=5, concurrency=7))
    assert loop is not None
    assert loop.concurrency == 7
    assert requests.arrival_s.tolist() == [0.0] * 100


def test_no_rate_means_all_at_once() -> None:
    requests, loop, how = requests_of_measured(_measured(count=30, arrival_s=None, rate_per_s=None))
    assert loop is None
    assert requests.arrival_s.tolist() == [0.0] * 30
    assert "all at once" in how


def test_a_run_that_the_model_made_itself_is_predicted_without_error() -> None:
    compiled = compile_deployment(find_model("llama-3.1-8b"), find_device("h100-sxm"), DEPLOYMENT)
    sent = requests_of_measured(_measured())[0]
    run = serve(compiled, sent)
    made = _measured(
        ttft_s=run.ttft_s, tpot_s=run.tpot_s, e2e_s=run.e2e_s, figures=figures_of(run.ttft_s, run.tpot_s, run.e2e_s)
    )
    found = replay(compiled, made)
    measures = measure(run, prompt_tokens=sent.prompt_tokens)
    for name, latency in found.latencies.items():
        for statistic in STATISTICS:
            one = getattr(latency, statistic)
            assert one.error == pytest.approx(0, abs=1e-9)
            assert one.inside
            assert one.predicted == pytest.approx(getattr(getattr(measures, name), statistic).value)


def test_the_interval_widens_with_the_step_times_error() -> None:
    compiled = compile_deployment(find_model("llama-3.1-8b"), find_device("h100-sxm"), DEPLOYMENT)
    one = replay(compiled, _measured()).latencies["tpot_s"].mean
    error = compiled.step_times[0].relative_error
    assert one.predicted is not None
    assert one.low is not None
    assert one.high is not None
    assert one.high >= one.predicted * (1 + 0.8 * error)
    assert one.low <= one.predicted * (1 - 0.8 * error)


def test_tpot_weighted_by_tokens_follows_the_tool() -> None:
    compiled = compile_deployment(find_model("llama-3.1-8b"), find_device("h100-sxm"), DEPLOYMENT)
    measured = _measured(tpot_by_tokens=True)
    run = serve(compiled, requests_of_measured(measured)[0])
    defined = run.tokens > 1
    weighted = np.average(run.tpot_s[defined], weights=run.tokens[defined])
    assert replay(compiled, measured).latencies["tpot_s"].mean.predicted == pytest.approx(float(weighted))


def test_figures_that_are_missing_are_not_compared() -> None:
    assert checked(1.0, None, 0.5, 2.0).error is None
    assert checked(math.nan, 1.0, math.nan, math.nan).predicted is None
    assert checked(2.0, 1.0, 1.5, 2.5).error == pytest.approx(1.0)
    assert checked(2.0, 1.0, 1.5, 2.5).inside is False
