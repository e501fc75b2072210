"""Manifests of a right-sizing plan are valid, carry what was decided, and refuse names that no object has."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest
import yaml

from renderers.kubernetes_resources import patches, vpa_objects
from renderers.manifests import PLAN
from specs.base import Metadata
from specs.errors import InputError
from specs.plan import Status
from specs.rightsizing import ContainerDecision, ContainerResources, RightsizingDecision, RightsizingPlan, ScaledBy

SHA = "sha256:" + "0" * 64
NEW = ContainerResources(cpu_request_cores=0.25, memory_request_gib=0.5, memory_limit_gib=0.75)


def plan(workload: str = "cart", recommended: ContainerResources | None = NEW) -> RightsizingPlan:
    scaler = ScaledBy(target=0.7, target_now=0.5, cores_at_target=0.175, least=2, most=9)
    one = ContainerDecision(
        namespace="shop", workload=workload, container="app", verdict="change", reason="tests",
        recommended=recommended, autoscaler=scaler,
    )  # fmt: skip
    status = Status(outcome="feasible", reason="tests")
    return RightsizingPlan(
        metadata=Metadata(name="tests"), status=status, decision=RightsizingDecision(containers=(one,))
    )


def documents(text: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(text) if one]


def test_a_patch_has_requests_limits_and_the_plans_sha() -> None:
    deployment, scaler = documents(patches(plan(), SHA))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {
        "requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "768Mi"},
    }  # fmt: skip
    assert deployment["metadata"]["annotations"] == {PLAN: SHA}
    assert scaler["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 70
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 9)


def test_an_autoscaler_is_valid_and_a_patch_completed_is() -> None:
    deployment, scaler = documents(patches(plan(), SHA))
    kubernetes_validate.validate(scaler, "1.31", strict=True)
    labels = {"app": "cart"}
    deployment["spec"] |= {"selector": {"matchLabels": labels}}
    deployment["spec"]["template"]["metadata"] = {"labels": labels}
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "cart:1"
    kubernetes_validate.validate(deployment, "1.31", strict=True)


def test_a_vpa_only_recommends() -> None:
    (one,) = documents(vpa_objects(plan(), SHA))
    assert one["spec"]["updatePolicy"] == {"updateMode": "Off"}
    assert one["spec"]["targetRef"]["name"] == "cart"


@pytest.mark.parametrize("name", ["Cart", "cart_1", "-cart", "c" * 64])
def test_a_name_that_no_object_has_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="not a name of a Kubernetes object"):
        patches(plan(name), SHA)


def test_a_plan_that_changes_nothing_has_no_manifest() -> None:
    with pytest.raises(InputError, match="changes no container"):
        patches(plan(recommended=None), SHA)
