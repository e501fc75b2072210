"""A colocation plan as a table, in sentences and as manifests that Kubernetes would take."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest
import yaml

from renderers.colocation import colocation_table
from renderers.colocation_explain import explain
from renderers.colocation_manifests import patches
from specs.base import Metadata
from specs.colocation import ColocationPlan, EntryConfirmed
from specs.errors import InputError
from specs.plan import Status
from tests.planners.colocation.plans import shop_plan

VERSION = "1.34"
SHA = "sha256:" + "0" * 64


@pytest.mark.parametrize("width", [80, 100])
def test_the_table_fits_and_puts_the_decision_first(width: int) -> None:
    lines = colocation_table(shop_plan(), width).split("\n")
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("shop on shop-nodes")
    assert "28 pods on" in lines[2]


@pytest.mark.parametrize("width", [80, 100])
def test_confirmed_times_stand_beside_their_bounds(width: int) -> None:
    found = shop_plan()
    assert found.expected is not None
    entry = EntryConfirmed(
        entry="gateway/an-operation-with-quite-a-long-name", before_s={"p50": 0.01, "p99": 0.1},
        after_s={"p50": 0.011, "p99": 0.12}, standard_error_s={"p50": 0.001, "p99": 0.002}, bounds_s={"p99": 0.15},
        holds={"p99": True},
    )  # fmt: skip
    expected = found.expected.model_copy(update={"confirmed": (entry,)})
    lines = colocation_table(found.model_copy(update={"expected": expected}), width).split("\n")
    assert max(map(len, lines)) <= width
    assert any(line.split()[-4:] == ["p99", "100", "120", "150"] for line in lines)


def test_a_refusal_names_conflict_and_cure() -> None:
    status = Status(outcome="infeasible", reason="no", conflicts=("pod a: CPU 9",), smallest_change="1 more node")
    text = colocation_table(ColocationPlan(metadata=Metadata(name="x"), status=status), 80)
    assert "conflict      pod a: CPU 9" in text
    assert "would do      1 more node" in text


def test_the_explanation_has_arithmetic_that_adds_up() -> None:
    text = explain(shop_plan(), plot=True)
    assert "Batch capacity is capacity less a safety margin" in text
    assert "worst slowdown by service" in text
    assert max(map(len, text.split("\n"))) <= 100


def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(patches(shop_plan(), SHA)))


def test_each_manifest_merged_into_a_running_deployment_is_valid() -> None:
    for part in documents():
        whole = part if part["kind"] == "PriorityClass" else merged(part)
        kubernetes_validate.validate(whole, VERSION, strict=True)


def merged(part: dict[str, Any]) -> dict[str, Any]:
    """What a server-side apply makes of a plain Deployment and the part."""
    template = part["spec"]["template"]
    labels = template["metadata"]["labels"]
    pod = template["spec"] | {"containers": [{"name": "main", "image": "example/image:1"}]}
    spec = part["spec"] | {
        "selector": {"matchLabels": {"app": labels["app"]}},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    return part | {"spec": spec}


def test_the_manifests_hold_classes_nodes_and_qos() -> None:
    plan, parts = shop_plan(), documents()
    assert plan.decision is not None
    classes = {one["metadata"]["name"]: one["value"] for one in parts if one["kind"] == "PriorityClass"}
    assert classes == {"koord-prod": 9000, "koord-batch": 5000}
    deployments = {one["metadata"]["name"]: one["spec"] for one in parts if one["kind"] == "Deployment"}
    for placed in plan.decision.services:
        template = deployments[placed.service]["template"]
        assert template["metadata"]["labels"]["koordinator.sh/qosClass"] == placed.qos
        affinity = template["spec"]["affinity"]
        terms = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        assert terms[0]["matchExpressions"][0]["values"] == list(placed.nodes)
    assert "podAntiAffinity" in deployments["report"]["template"]["spec"]["affinity"]
    assert deployments["etl"]["template"]["spec"]["priorityClassName"] == "koord-batch"


def test_nothing_is_exported_of_a_plan_that_decided_nothing() -> None:
    status = Status(outcome="infeasible", reason="no")
    with pytest.raises(InputError, match="nothing to export"):
        patches(ColocationPlan(metadata=Metadata(name="x"), status=status), SHA)
