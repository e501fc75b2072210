"""Learned policies: the simulator runs the trained actor, training goes on where it stopped, nothing weak is chosen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from planners.autoscaling.choosing import beats, choose, on_front, verdict
from planners.autoscaling.evolving import ELITE, evolve, first_population, following
from planners.autoscaling.learning import blank
from planners.autoscaling.question import ScaledLoad
from planners.autoscaling.scoring import Stretch, run
from predictors.autoscaling.capacity import service_capacity
from predictors.autoscaling.deciding import network
from predictors.autoscaling.looking import View
from predictors.autoscaling.simulation import static
from predictors.autoscaling.state import INPUTS, WEIGHTS
from specs.autoscaling import Axes, Method, ScalingSpec, Score
from specs.policies import PolicySpec


def stretch() -> Stretch:
    ticks = np.arange(2 * 1440)
    rate = 300.0 + 200.0 * np.sin(ticks / 1440 * 2 * np.pi)
    capacity = service_capacity(workers=4, service_s=0.05, bound_s=0.4, most=30)
    load = ScaledLoad(name="web", rate_per_s=rate, bound_s=0.4, late_share=0.01, capacity=capacity)
    view = View(rate_per_s=rate, start_s=0.0, tick_s=60.0, season_s=None)
    return Stretch(load=load, view=view, scaling=ScalingSpec(tick_s=60.0), first=0, last=len(rate))


def method(kind: str, late: float, hours: float) -> Method:
    policy = PolicySpec(kind=kind, min_replicas=1, max_replicas=5)
    score = Score(violations=late, replica_hours=hours, changes_per_hour=0, reversals_per_hour=0, recovers_s=0)
    axes = Axes(infrastructure="", architecture="", scaling="", objective="", behaviour="")
    return Method(name=kind, service="web", policy=policy, score=score, axes=axes)


def test_a_learned_policy_must_beat_the_best_simple_one() -> None:
    simple = [method("static", 0.0, 100.0), method("hpa", 0.005, 60.0), method("keda", 0.02, 40.0)]
    assert choose(simple, 0.01).name == "hpa"
    assert choose([*simple, method("td3", 0.005, 59.7)], 0.01).name == "hpa"
    assert choose([*simple, method("td3", 0.02, 30.0)], 0.01).name == "hpa"
    assert choose([*simple, method("td3", 0.005, 50.0)], 0.01).name == "td3"
    assert verdict(method("td3", 0.005, 66.0), simple[1], 0.01) == "does not beat the simple one (+10%)"


def test_where_none_keeps_the_promise_the_least_late_is_chosen() -> None:
    late = [method("static", 0.03, 10.0), method("hpa", 0.02, 90.0)]
    assert choose(late, 0.01).name == "hpa"
    assert beats(method("td3", 0.005, 200.0).score, late[1].score, 0.01)


def test_the_front_has_what_nothing_beats_in_both() -> None:
    methods = [method("static", 0.0, 100.0), method("hpa", 0.01, 60.0), method("keda", 0.02, 70.0)]
    assert on_front(methods) == {0, 1}


def test_evolution_never_loses_its_best_and_can_be_taken_up() -> None:
    part, policy = stretch(), blank("ga-rl", stretch())
    population = first_population(part, policy, 0)
    whole = evolve(part, policy, population, 4, 0)
    halves = evolve(part, policy, evolve(part, policy, population, 2, 0), 2, 0)
    assert np.array_equal(whole.weights, halves.weights)
    assert whole.costs[0] <= population.costs[0]
    assert (np.diff(whole.costs) >= 0).all()
    assert len(whole.weights) > ELITE


def test_a_network_that_follows_the_load_scales_with_it() -> None:
    part = stretch()
    policy = blank("ga-rl", part).model_copy(update={"weights": tuple(following())})
    trace = run(part, [policy])[0]
    assert trace.total.max() > trace.total.min() + 2
    assert run(part, [static(1)])[0].violations > trace.violations


@pytest.mark.extras
def test_the_simulator_runs_the_actor_that_was_trained() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("stable_baselines3")
    from planners.autoscaling.reinforcing import Learner

    learner = Learner(stretch(), blank("td3", stretch()), 0)
    seen = np.random.default_rng(1).random(INPUTS).astype(np.float32)
    with torch.no_grad():
        wanted = float(learner.model.actor(torch.as_tensor(seen[None, :]))[0, 0])
    assert network(learner.weights(), seen.astype(np.float64)) == pytest.approx(wanted, abs=1e-5)
    weights = np.random.default_rng(2).normal(0.0, 0.3, WEIGHTS)
    learner.begin_with(weights)
    assert learner.weights() == pytest.approx(weights, abs=1e-6)


@pytest.mark.extras
def test_an_interrupted_training_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("stable_baselines3")
    from planners.autoscaling.reinforcing import Learner

    part, policy = stretch(), blank("td3", stretch())
    whole = Learner(part, policy, 3)
    whole.learn(230)
    wanted = whole.learn(60)
    Learner(part, policy, 3, tmp_path).learn(230)
    resumed = Learner(part, policy, 3, tmp_path)
    assert resumed.segment == 1
    assert resumed.learn(60) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.extras
def test_an_evolution_that_was_interrupted_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("stable_baselines3")
    from planners.autoscaling import learning

    for name, value in (("GENERATIONS", 2), ("ROUNDS", 2), ("SHORT_STEPS", 210)):
        monkeypatch.setattr(learning, name, value)

    def stop(what: str) -> None:
        if "generation 2" in what:
            raise KeyboardInterrupt

    whole = learning.learn("ga-rl", stretch(), tmp_path / "whole", 1)
    with pytest.raises(KeyboardInterrupt):
        learning.learn("ga-rl", stretch(), tmp_path / "parts", 1, stop)
    steps: list[str] = []
    resumed = learning.learn("ga-rl", stretch(), tmp_path / "parts", 1, steps.append)
    assert steps == ["web: ga-rl, generation 2 of 4"]
    assert resumed.weights == pytest.approx(whole.weights)
