"""Groups of layers under an autoscaler each: against whole replicas where both are the same, and where one is weak."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from planners.autoscaling import layers
from planners.autoscaling.choosing import choose
from planners.autoscaling.families import as_ruled
from planners.autoscaling.question import Cut, LayerGroup, ScaledLoad
from planners.autoscaling.scoring import Stretch, score
from predictors.autoscaling.capacity import service_capacity
from predictors.autoscaling.looking import View
from specs.autoscaling import Nodes, ScalingSpec, StartUp
from specs.policies import PolicySpec, Trigger

START = StartUp(schedule_s=0, image_s=0, weights_s=0, warm_up_s=60)
CAPACITY = service_capacity(workers=4, service_s=0.05, bound_s=0.4, most=60)
MINUTES = np.arange(3 * 1440)
DAYS = 300.0 + 220.0 * np.sin(MINUTES / 1440 * 2 * np.pi)
POLICY = PolicySpec(kind="hpa", min_replicas=1, max_replicas=40, triggers=(Trigger(metric="in-flight", target=3.0),))


def group(at: int, share: float, gpus: float = 1.0) -> LayerGroup:
    return LayerGroup(name=f"llm-{at}", first_layer=at, last_layer=at, gpus=gpus, share=share, start_up=START)


def stretch_of(*groups: LayerGroup, gpus: int = 1, **fields: Any) -> Stretch:
    scaling = ScalingSpec(start_up=START, tick_s=60.0, **fields)
    cut = Cut(source="cut.yaml", capacity=CAPACITY, groups=groups, gpus_per_unit=1)
    load = ScaledLoad(
        name="llm", rate_per_s=DAYS, bound_s=0.4, late_share=0.01, capacity=CAPACITY, gpus=gpus, llm=True, cut=cut
    )
    view = View(rate_per_s=DAYS, start_s=0.0, tick_s=60.0, season_s=86400.0)
    return Stretch(load=load, view=view, scaling=scaling, first=0, last=len(DAYS))


@pytest.mark.parametrize("survive", ["nothing", "replica", "zone"])
def test_one_group_of_all_layers_is_a_whole_replica(survive: str) -> None:
    stretch = stretch_of(group(0, 1.0), survive=survive)
    whole, trace = score(stretch, POLICY)
    layered, together = layers.score(stretch, (POLICY,))
    assert layered == whole
    assert np.array_equal(together.gpus, trace.total)


def test_nodes_hold_as_many_more_as_groups_are_smaller() -> None:
    nodes = Nodes(replicas_per_node=2, provision_s=120.0)
    stretch = stretch_of(group(0, 1.0, 0.5), group(1, 1.0, 0.5), gpus=1, nodes=nodes)
    found, _ = layers.score(stretch, (POLICY, POLICY))
    whole, _ = score(stretch, POLICY)
    assert found.violations <= whole.violations + 1e-9
    assert found.gpu_hours == pytest.approx(whole.gpu_hours)


def test_the_loss_of_any_one_replica_is_survived_or_counted() -> None:
    safe = stretch_of(group(0, 1.0), group(1, 0.5), survive="replica")
    found, together = layers.score(safe, (POLICY, POLICY))
    assert found.violations_after_loss is not None
    assert found.violations_after_loss >= found.violations
    alone = [one.violated_after / one.requests for one in together.traces]
    assert found.violations_after_loss == pytest.approx(sum(alone))


def test_targets_are_in_proportion_to_what_a_replica_sustains_and_bounds_to_its_need() -> None:
    stretch = stretch_of(group(0, 1.0), group(1, 0.5), max_step=3)
    for one, other in layers.candidates(stretch):
        assert one.triggers[0].target == pytest.approx(2 * other.triggers[0].target, rel=0.02)
        assert other.max_replicas >= 2 * one.max_replicas - 1
        assert one == as_ruled(one, stretch.scaling)
        assert one.max_step == 3


def test_a_weak_group_alone_grows_and_that_saves_gpus() -> None:
    """Four groups, a GPU each; one sustains half as much: whole pipelines of four grow as it must."""
    stretch = stretch_of(group(0, 1.0), group(1, 2.0), group(2, 2.0), group(3, 2.0), gpus=4)
    found = layers.method(stretch, stretch)
    whole = score(stretch, POLICY)[0]
    assert found.score.violations <= stretch.load.late_share
    assert found.score.gpu_hours is not None
    assert whole.gpu_hours is not None
    means = [one.replicas_mean for one in found.layers]
    assert means[0] > 1.5 * max(means[1:])
    assert found.score.gpu_hours < 0.8 * 4 * means[0] * stretch.hours
    best = choose([found, found.model_copy(update={"name": "hpa", "layers": (), "score": whole})], 0.01)
    assert bool(best.layers) == (found.score.gpu_hours < whole.gpu_hours)


def test_the_same_cut_is_the_same_method() -> None:
    stretch = stretch_of(group(0, 1.0), group(1, 0.5))
    assert layers.method(stretch, stretch) == layers.method(stretch, replace(stretch))
