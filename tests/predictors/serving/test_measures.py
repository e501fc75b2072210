"""Measures against direct numpy figures and theory: percentiles, intervals, attainment, utilisation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from predictors.serving import ClosedLoop, Patience, attained, measure, simulate
from tests.predictors.serving.worlds import chat, pool, requests, unit_surface


def test_figures_are_those_of_the_arrays() -> None:
    trace = chat(400, 20.0)
    run = simulate(trace, pool())
    m = measure(run, prompt_tokens=trace.prompt_tokens)
    for name, values in (("ttft_s", run.ttft_s), ("tpot_s", run.tpot_s), ("e2e_s", run.e2e_s)):
        figure = getattr(m, name)
        defined = values[~np.isnan(values)]
        assert figure.count == len(defined)
        assert figure.mean.value == pytest.approx(defined.mean())
        assert figure.p99.value == pytest.approx(np.quantile(defined, 0.99))
        for estimate in (figure.mean, figure.p50, figure.p90, figure.p95, figure.p99):
            assert estimate.low <= estimate.value <= estimate.high
    assert m.output_tokens_per_s == pytest.approx(trace.output_tokens.sum() / run.span_s)
    assert m.mean_running + m.mean_waiting == pytest.approx(run.e2e_s.sum() / run.span_s)
    assert m.itl_s.mean.value == pytest.approx(
        np.nansum(run.tpot_s * (run.tokens - 1)) / (run.tokens - 1).sum(), rel=0.01
    )


def test_one_token_has_no_tpot_and_meets_any_bound_on_it() -> None:
    trace = requests([0.0, 0.0], [5, 5], [1, 3])
    run = simulate(trace, pool(unit_surface()))
    assert np.isnan(run.tpot_s[0])
    assert run.tpot_s[1] == pytest.approx(1.0)
    bounds = np.array([[np.inf, 0.5, np.inf, np.inf]])
    assert attained(run, bounds).tolist() == [True, False]


def test_bounds_hold_by_class_and_the_refused_have_not_attained() -> None:
    trace = replace(requests(np.zeros(4), [5] * 4, [3] * 4), class_index=np.array([0, 1, 0, 1]))
    run = simulate(trace, pool(unit_surface(), max_num_seqs=2), patience=Patience(queue_timeout_s=2.5))
    bounds = np.array([[np.inf, np.inf, 2.0, np.inf], [np.inf] * 4])
    assert attained(run, bounds).tolist() == [False, True, False, False]
    m = measure(run, bounds, prompt_tokens=trace.prompt_tokens)
    assert (m.attainment.value, m.timed_out, m.completed) == (0.25, 2, 2)
    assert m.goodput_per_s == pytest.approx(1 / run.span_s)


def test_bound_on_the_longest_gap_is_not_the_bound_on_tpot() -> None:
    trace = requests([0.0, 3.5], [5, 40], [20, 1])
    run = simulate(trace, pool(unit_surface(), chunked_prefill=False))
    assert run.tpot_s[0] < 1.1
    assert attained(run, np.array([[np.inf, 1.1, np.inf, 1.5]])).tolist() == [False, True]


def test_percentiles_from_too_few_requests_say_so() -> None:
    for n, few in ((199, True), (200, False)):
        trace = chat(n, 20.0)
        m = measure(simulate(trace, pool()), prompt_tokens=trace.prompt_tokens)
        assert (m.ttft_s.p99.few, m.ttft_s.p95.few) == (few, False)


def test_intervals_cover_the_long_run_figure() -> None:
    """90 % intervals of independent runs of one system contain its long-run mean and p90 about 90 % of the time."""
    steady = pool(max_num_seqs=8)
    long = simulate(chat(60_000, 14.0, 99), steady)
    truth = {"mean": long.ttft_s.mean(), "p90": np.quantile(long.ttft_s, 0.9)}
    hits = dict.fromkeys(truth, 0)
    for seed in range(60):
        trace = chat(3000, 14.0, seed)
        figure = measure(simulate(trace, steady), prompt_tokens=trace.prompt_tokens, seed=seed).ttft_s
        for name in truth:
            hits[name] += getattr(figure, name).low <= truth[name] <= getattr(figure, name).high
    assert all(45 <= count <= 60 for count in hits.values()), hits


def test_warm_up_is_left_out_of_percentiles() -> None:
    trace = chat(500, 20.0)
    run = simulate(trace, pool())
    m = measure(run, prompt_tokens=trace.prompt_tokens, warmup_s=5.0)
    kept = run.arrival_s - run.arrival_s[0] >= 5.0
    assert m.ttft_s.count == kept.sum()
    assert m.ttft_s.p90.value == pytest.approx(np.quantile(run.ttft_s[kept], 0.9))


def test_utilisation_of_a_saturated_replica_is_full() -> None:
    trace = chat(300, 10.0)
    run = simulate(trace, pool(), closed_loop=ClosedLoop(concurrency=16))
    m = measure(run, prompt_tokens=trace.prompt_tokens)
    assert m.compute_utilization == pytest.approx(1.0)
    assert 0.0 < m.kv_cache_utilization < m.kv_cache_peak <= 1.0
    held = ((trace.prompt_tokens + trace.output_tokens / 2) * run.e2e_s).sum() / run.span_s / 16 / 100_000
    assert m.kv_cache_utilization == pytest.approx(held, rel=0.1)
