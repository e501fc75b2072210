"""The captain: what a hand-written copy of its steps does, and what must hold of any steering."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from benchmarks.captain import KNOWN, load_per_s
from predictors.autoscaling.captain import run_captain


def by_hand(demand: list[float], target: float) -> tuple[float, float]:
    """The captain step by step on lists, as its description reads."""
    limit, last, margin, shrunk, backlog = 1.0, 1.0, 3.0, False, 0.0
    history, used, limits, throttled = [0] * 10, [0.0] * 50, [], 0
    for i, wanted in enumerate(demand):
        use = min(wanted + backlog, limit)
        over = wanted + backlog > limit
        backlog = wanted + backlog - use
        throttled += over
        limits.append(limit)
        if i == 0:
            continue
        history, used = [*history[1:], int(over)], [*used[1:], use]
        rate = sum(history) / 10
        if rate > 3 * target and shrunk:
            limit, margin, history, shrunk, rate = 2 * last - limit, margin + rate - target, [0] * 10, False, 0.0
        if i % 10:
            continue
        last, margin, shrunk = limit, max(0.0, margin + rate - target), False
        if rate > 3 * target:
            limit *= 1 + rate - 3 * target
        elif max(used) + statistics.stdev(used) * margin <= 0.9 * limit:
            limit, shrunk = max(0.5 * limit, max(used) + statistics.stdev(used) * margin), True
        limit, history = max(0.01, limit), [0] * 10
    return throttled / len(demand), statistics.mean(limits)


@pytest.mark.parametrize("target", [0.02, 0.1])
def test_it_does_what_its_description_says(target: float) -> None:
    demand = 1.6 * np.random.default_rng(3).lognormal(-0.08, 0.4, 3000)
    found = run_captain(demand, target)
    assert (found.throttled, found.limit_cores) == pytest.approx(by_hand(demand.tolist(), target))


def test_all_demand_is_served_or_waits() -> None:
    demand = np.random.default_rng(4).lognormal(0.0, 0.4, 5000)
    found = run_captain(demand, 0.05)
    assert found.used_cores <= float(demand.mean()) + 1e-12
    assert found.used_cores == pytest.approx(float(demand.mean()), rel=0.01)


def test_a_looser_target_costs_less() -> None:
    demand = 1.6 * np.random.default_rng(5).lognormal(-0.08, 0.4, 20_000)
    cores = [run_captain(demand, target).limit_cores for target in (0.02, 0.06, 0.2)]
    assert cores == sorted(cores, reverse=True)


def test_the_reference_load_is_scaled_as_said(reference_data: object) -> None:
    reference_data("load_series/autothrottle_noisy.csv.gz")  # type: ignore[operator]
    assert load_per_s().mean() == pytest.approx(1.6)
    assert sorted(KNOWN) == [0.02, 0.06, 0.1, 0.2]
