"""`export kubernetes`, `keda`, `llm-d`, `prometheus` from the command line: objects out, or one clear message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import Result

from benchmarks.manifest_schemas import documents, validate
from renderers.manifests import PLAN
from specs.plan import PlanDocument
from specs.reading import sha256
from specs.writing import to_yaml
from tests.renderers import serving_plan
from tests.renderers.cluster_plans import HPA, STATIC, autoscaling, slo

Tonnage = Callable[..., Result]


def written(plan: PlanDocument) -> str:
    Path("plan.yaml").write_text(to_yaml(plan), encoding="utf-8")
    return "plan.yaml"


@pytest.mark.parametrize(
    ("plan", "command"),
    [
        (autoscaling(), "kubernetes"),
        (autoscaling(), "keda"),
        (slo(), "kubernetes"),
        (serving_plan.plan(), "kubernetes"),
        (serving_plan.plan(), "llm-d"),
    ],
    ids=lambda one: getattr(one, "kind", one),
)
def test_what_is_printed_is_valid_and_names_the_file(tonnage: Tonnage, plan: PlanDocument, command: str) -> None:
    result = tonnage("export", command, written(plan))
    assert result.exit_code == 0, result.output
    found = documents(result.stdout)
    assert found
    for one in found:
        validate(one)
        assert one["metadata"]["annotations"][PLAN] == sha256("plan.yaml")


def test_keda_asks_the_prometheus_that_is_named(tonnage: Tonnage) -> None:
    result = tonnage("export", "keda", written(autoscaling()), "--prometheus", "http://there:9090")
    assert "serverAddress: http://there:9090" in result.stdout


def test_the_nodes_of_llm_d_have_as_many_gpus_as_said(tonnage: Tonnage) -> None:
    result = tonnage("export", "llm-d", written(serving_plan.plan()), "--gpus-per-node", "2")
    assert "kind: LeaderWorkerSet" in result.stdout


@pytest.mark.parametrize("plan", [autoscaling(), slo(), serving_plan.plan()], ids=lambda one: one.kind)
def test_rules_are_groups_of_prometheus(tonnage: Tonnage, plan: PlanDocument) -> None:
    result = tonnage("export", "prometheus", written(plan))
    assert result.exit_code == 0, result.output
    assert all(group["rules"] for group in yaml.safe_load(result.stdout)["groups"])


@pytest.mark.parametrize(
    ("plan", "command", "told"),
    [
        (autoscaling(gateway=HPA, payment=STATIC), "keda", "on one target"),
        (autoscaling(Cart=HPA), "kubernetes", "not a name of a Kubernetes object"),
        (slo(), "keda", "AutoscalingPlan"),
        (slo(), "llm-d", "ServingPlan"),
        (serving_plan.infeasible(), "kubernetes", "nothing to export"),
        (serving_plan.infeasible(), "prometheus", "nothing to export"),
    ],
    ids=["hpa beside keda", "name", "kind for keda", "kind for llm-d", "no decision", "no decision for rules"],
)
def test_one_clear_message(tonnage: Tonnage, plan: PlanDocument, command: str, told: str) -> None:
    result = tonnage("export", command, written(plan))
    assert result.exit_code == 2, result.output
    assert result.stderr.count("error:") == 1
    assert "Traceback" not in result.output
    assert told in " ".join(result.stderr.split())
