"""Pods that come and go: step times, routing, time-outs, preemption and pods that are taken away."""

from __future__ import annotations

import numpy as np
import pytest

from predictors.autoscaling.pods import PodModel, fleet, follow, latencies, run_given

MODEL = PodModel(
    base_s=0.02, per_request_s=0.001, per_token_s=1e-6, prefill_base_s=0.01, prefill_token_s=1e-4, kv_tokens=30_000
)
ONE_POD = (np.array([0.0]), np.array([1]))


def served(
    arrivals: list[float], outputs: list[int], *, model: PodModel = MODEL, timeout_s: float = 1e9
) -> list[float]:
    """Latencies behind one pod, prompts of 100 tokens."""
    prompt = np.full(len(arrivals), 100)
    world = run_given(model, np.array(arrivals), prompt, np.array(outputs), *ONE_POD, warm_up_s=90.0)
    return [float(latency) for latency in latencies(world, timeout_s)]


def test_one_request_takes_its_prefill_and_its_steps() -> None:
    steps = 2 * (0.02 + 0.001) + 1e-6 * (101 + 102)
    assert served([1.0], [3]) == pytest.approx([0.01 + 100 * 1e-4 + steps])


def test_a_late_answer_counts_as_failed_but_was_served() -> None:
    in_time = served([1.0, 1.0], [100, 400])
    late = served([1.0, 1.0], [100, 400], timeout_s=5.0)
    assert late[0] == in_time[0] < 5.0 < in_time[1]
    assert np.isnan(late[1])


def test_the_youngest_is_preempted_and_is_the_first_to_come_back() -> None:
    tight = PodModel(**{**vars(MODEL), "kv_tokens": 420})
    first, second, third = served([1.0, 1.001, 1.002], [300, 150, 150], model=tight)
    assert first < second + 0.001 < third + 0.002
    assert first == pytest.approx(served([1.0], [300])[0], rel=0.1)


def test_requests_go_to_the_pod_with_the_fewest() -> None:
    outputs = np.full(8, 50)
    arrivals = np.array([1.0 + 0.001 * i for i in range(8)])
    world = run_given(MODEL, arrivals, np.full(8, 100), outputs, np.array([0.0]), np.array([2]), warm_up_s=0.0)
    alone = served(arrivals[:4].tolist(), [50] * 4)
    assert np.nanmax(latencies(world, 1e9)) == pytest.approx(max(alone), rel=0.05)


def test_a_pod_that_is_taken_away_loses_its_requests() -> None:
    at, pods = np.array([0.0, 2.0]), np.array([2, 1])
    world = run_given(MODEL, np.ones(2), np.full(2, 100), np.full(2, 200), at, pods, warm_up_s=0.0)
    assert np.isnan(latencies(world, 1e9)).sum() == 1


def test_a_pod_serves_only_after_its_warm_up() -> None:
    world = fleet(MODEL, np.array([1.0, 3.0]), np.full(2, 100), np.full(2, 1), 1, 0)
    follow(world, [], 1, 0.0, 2.0)
    follow(world, [0], 1, 10.0, 2.0)
    assert np.isnan(latencies(world, 1e9)).tolist() == [True, False]
