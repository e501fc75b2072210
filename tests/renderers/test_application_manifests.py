"""Manifests of an application's plan: valid, every decided field in them, and refused where they could not hold."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from benchmarks.manifest_fields import missing
from benchmarks.manifest_schemas import documents, validate
from renderers.application_manifests import patches
from renderers.manifests import PLAN
from specs.base import plain
from specs.deployment import Parallel
from specs.errors import InputError
from tests.renderers import application_whole, serving_plan
from tests.renderers.cluster_plans import SHA

Manifest = dict[str, Any]


@pytest.fixture
def found() -> list[Manifest]:
    return documents(patches(application_whole.plan(), SHA))


def one(found: list[Manifest], kind: str, name: str) -> Manifest:
    return next(each for each in found if (each["kind"], each["metadata"]["name"]) == (kind, name))


def pod(found: list[Manifest], name: str) -> Manifest:
    return dict(one(found, "Deployment", name)["spec"]["template"]["spec"])


def test_every_object_is_valid_and_carries_the_plans_sha(found: list[Manifest]) -> None:
    assert {each["kind"] for each in found} == {
        "Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget", "PriorityClass", "Service",
    }  # fmt: skip
    for each in found:
        validate(each)
        assert each["metadata"]["annotations"][PLAN] == SHA


def test_every_decided_field_is_found(found: list[Manifest]) -> None:
    fields, lost = missing(plain(application_whole.plan()), found)
    assert lost == []
    assert fields > 50


@pytest.mark.parametrize(
    ("kind", "name", "path", "value", "field"),
    [
        ("Deployment", "front", ("spec", "replicas"), 3, "services.replicas = 2"),
        ("Deployment", "model", ("spec", "replicas"), 9, "services.replicas = 3"),
        ("HorizontalPodAutoscaler", "items", ("spec", "maxReplicas"), 9, "services.scaling.most = 3"),
        ("Deployment", "store", ("metadata", "annotations", "tonnage/buffer-gib"), "0.1", "caches.buffer_gib = 0.5"),
        ("Deployment", "items", ("spec", "template", "spec", "affinity"), {}, "services.nodes.disks-1 = 1"),
    ],
)
def test_a_field_that_is_lost_is_missed(
    found: list[Manifest], kind: str, name: str, path: tuple[str, ...], value: object, field: str
) -> None:
    changed = copy.deepcopy(found)
    inside = one(changed, kind, name)
    for step in path[:-1]:
        inside = inside[step]
    inside[path[-1]] = value
    try:
        lost = missing(plain(application_whole.plan()), changed)[1]
    except KeyError:
        assert value == {}  # without affinity there is nothing to look in
        return
    assert field in lost


def test_a_replica_has_its_own_part_of_the_caches(found: list[Manifest]) -> None:
    told = one(found, "Deployment", "items")["metadata"]["annotations"]
    assert told["tonnage/cache-gib"] == "0.2"  # 0.6 GiB over three
    assert told["tonnage/cache-store-gib"] == "0.25"
    assert pod(found, "items")["containers"][0]["env"] == [{"name": "CACHE_GIB", "value": "0.2"}]
    assert pod(found, "store")["containers"][0]["env"] == [{"name": "BUFFER_GIB", "value": "0.5"}]
    assert pod(found, "store")["containers"][0]["resources"]["requests"] == {"cpu": "2000m", "memory": "4608Mi"}


def test_rules_are_required_affinities(found: list[Manifest]) -> None:
    rules = pod(found, "items")["affinity"]
    terms = rules["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert terms[0]["matchExpressions"] == [
        {"key": "tonnage/node", "operator": "In", "values": ["disks-1", "disks-2", "disks-3"]},
        {"key": "disk", "operator": "In", "values": ["nvme"]},
    ]
    apart = rules["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert [each["labelSelector"]["matchLabels"]["app"] for each in apart] == ["store", "items"]
    assert apart[0]["namespaces"] == ["data"]
    beside = pod(found, "front")["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert beside[0]["labelSelector"]["matchLabels"] == {"app": "store"}


def test_rollouts_take_a_pod_away_first_where_no_node_has_room(found: list[Manifest]) -> None:
    assert one(found, "Deployment", "items")["spec"]["strategy"]["rollingUpdate"] == {
        "maxSurge": 0,
        "maxUnavailable": 1,
    }
    assert "strategy" not in one(found, "Deployment", "front")["spec"]  # 4 of 8 cores of its node are asked for
    plan = application_whole.plan()
    assert plan.decision is not None
    full = tuple(node.model_copy(update={"cpu_share": 0.9}) for node in plan.decision.nodes)
    again = documents(patches(application_whole.plan(nodes=full), SHA))
    assert one(again, "Deployment", "front")["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 0


def test_a_range_is_an_autoscaler_and_sets_no_replicas(found: list[Manifest]) -> None:
    assert "replicas" not in one(found, "Deployment", "items")["spec"]
    spec = one(found, "HorizontalPodAutoscaler", "items")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (1, 3)
    assert spec["metrics"][0]["resource"]["target"]["averageUtilization"] == 55
    assert one(found, "PodDisruptionBudget", "items")["spec"]["maxUnavailable"] == 1


def test_a_model_has_its_gpus_and_batch_limits(found: list[Manifest]) -> None:
    container = pod(found, "model")["containers"][0]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 4
    assert container["args"][container["args"].index("--max-num-seqs") + 1] == "192"
    assert one(found, "Service", "model")


def test_what_could_not_hold_is_refused() -> None:
    good = application_whole.plan()
    assert good.decision is not None
    wide = serving_plan.DEPLOYMENT.model_copy(update={"parallel": Parallel(tp=8, pp=2)})
    gpus = good.decision.gpus[0].model_copy(update={"deployments": (wide,)})
    with pytest.raises(InputError, match="spans nodes"):
        patches(application_whole.plan(gpus=(gpus,)), SHA)
    odd = application_whole.service("Items_1", 1, {"plain-1": 1})
    with pytest.raises(InputError, match="not a name of a Kubernetes object"):
        patches(application_whole.plan(services=(odd,), gpus=(), caches=()), SHA)
    with pytest.raises(InputError, match="nothing to export"):
        patches(good.model_copy(update={"decision": None}), SHA)
