"""The replayed autoscaler follows Kubernetes' formula, loses no request, and warms up before it serves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.scaling import Curve, Hpa, desired, replay_hpa

CURVE = Curve(
    per_s=2.0, load=np.array([0.0, 0.5, 1.0]), mean_s=np.array([1.0, 1.5, 3.0]), p99_s=np.array([2.0, 3.0, 6.0])
)
HPA = Hpa(target=4.0, least=1, most=10, warmup_s=30.0)


@pytest.mark.parametrize(
    ("current", "metric", "wanted"),
    [(2, 4.3, 2), (2, 8.0, 4), (2, 5.0, 3), (4, 2.0, 2), (1, 80.0, 5), (6, 80.0, 10), (1, 0.0, 1)],
)
def test_the_formula_is_that_of_kubernetes(current: int, metric: float, wanted: int) -> None:
    assert desired(current, metric, HPA) == wanted


@given(seed=st.integers(0, 10**6))
def test_what_arrives_is_served_or_waits(seed: int) -> None:
    rate = np.random.default_rng(seed).uniform(0, 9, 400)
    found = replay_hpa(rate, CURVE, HPA)
    assert np.allclose(np.cumsum(rate - found.served), found.backlog)
    assert (found.served <= found.serving * CURVE.per_s + 1e-9).all()
    assert (found.paid >= found.serving).all()
    assert found.serving.min() >= HPA.least
    assert found.paid.max() <= HPA.most


def test_a_step_waits_for_the_sync_and_the_warm_up() -> None:
    rate = np.r_[np.full(61, 1.0), np.full(400, 6.0)]
    found = replay_hpa(rate, CURVE, HPA)
    first = int(np.argmax(found.serving > 1))
    assert 61 + 30 <= first <= 61 + 15 + 30
    assert found.paid[first - 1] > 1
    faster = replay_hpa(rate, CURVE, Hpa(target=4.0, least=1, most=10, warmup_s=5.0))
    assert faster.p99(rate) < found.p99(rate)
    assert faster.backlog.max() < found.backlog.max()


def test_a_steady_load_keeps_its_replicas_and_latency() -> None:
    rate = np.full(900, 2.0)
    found = replay_hpa(rate, CURVE, Hpa(target=2.0, least=2, most=10, warmup_s=30.0))
    assert found.serving[-1] == 2
    assert found.mean(rate) == pytest.approx(1.5)
    assert found.p99(rate) == pytest.approx(3.0)
    assert found.replica_hours() == pytest.approx(0.5)


def test_scaling_down_waits_five_minutes() -> None:
    rate = np.r_[np.full(61, 8.0), np.full(800, 0.5)]
    found = replay_hpa(rate, CURVE, HPA)
    most = found.serving.max()
    assert most > 1
    assert (found.serving[120:355] == most).all()
    assert found.serving[-1] < most
