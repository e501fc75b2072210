"""`tonnage export kubernetes`, `vpa`, `keda`, `llm-d` and `prometheus`: plans as objects of a cluster."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

# The renderer of each kind of plan; its function `patches(plan, sha256)` returns the manifests.
PATCHES: dict[str, str] = {
    "ApplicationPlan": "renderers.application_manifests",
    "AutoscalingPlan": "renderers.autoscaling_manifests",
    "ColocationPlan": "renderers.colocation_manifests",
    "RightsizingPlan": "renderers.kubernetes_resources",
    "ServingPlan": "renderers.serving_manifests",
    "SloPlan": "renderers.slo_manifests",
}
# The renderer of each kind of plan; its function `groups(plan)` returns groups of rules.
RULES: dict[str, str] = {
    "AutoscalingPlan": "renderers.rules.autoscaling",
    "ServingPlan": "renderers.rules.serving",
    "SloPlan": "renderers.rules.slo",
}


def kubernetes(plan: Annotated[Path, typer.Argument(help=f"A plan: {', '.join(PATCHES)}.")]) -> None:
    """Print the manifests that put a plan into force, each with the plan's sha256 as an annotation.

    Example: tonnage export kubernetes plan.yaml
    """
    from cli.output import show
    from specs.kinds import read_plan
    from specs.reading import sha256

    found = read_plan(plan, tuple(PATCHES))
    show(importlib.import_module(PATCHES[found.kind]).patches(found, sha256(plan)).rstrip("\n"))


def vpa(plan: Annotated[Path, typer.Argument(help="A RightsizingPlan.")]) -> None:
    """Print VerticalPodAutoscaler objects that only recommend, never below the plan's requests.

    Example: tonnage export vpa plan.yaml
    """
    from cli.output import show
    from renderers.kubernetes_resources import vpa_objects
    from specs.reading import read_document, sha256
    from specs.rightsizing import RightsizingPlan

    show(vpa_objects(read_document(plan, RightsizingPlan), sha256(plan)).rstrip("\n"))


def keda(
    plan: Annotated[Path, typer.Argument(help="An AutoscalingPlan.")],
    prometheus: Annotated[str | None, typer.Option(metavar="URL", help="The Prometheus that KEDA asks.")] = None,
) -> None:
    """Print a ScaledObject for every service that KEDA scales: what was tried on the load is what is deployed.

    Example: tonnage export keda plan.yaml --prometheus http://prometheus.monitoring:9090
    """
    from cli.output import show
    from renderers.keda import PROMETHEUS, scaled_objects
    from specs.autoscaling import AutoscalingPlan
    from specs.reading import read_document, sha256

    found = read_document(plan, AutoscalingPlan)
    show(scaled_objects(found, sha256(plan), prometheus or PROMETHEUS).rstrip("\n"))


def llm_d(
    plan: Annotated[Path, typer.Argument(help="A ServingPlan.")],
    gpus_per_node: Annotated[int, typer.Option(min=1, help="GPUs of one node.")] = 8,
) -> None:
    """Print the objects that llm-d routes to: a LeaderWorkerSet where a replica spans nodes, else a Deployment.

    Example: tonnage export llm-d plan.yaml
    """
    from cli.output import show
    from renderers.llm_d import manifests
    from specs.plan import ServingPlan
    from specs.reading import read_document, sha256

    show(manifests(read_document(plan, ServingPlan), sha256(plan), gpus_per_node).rstrip("\n"))


def prometheus(plan: Annotated[Path, typer.Argument(help=f"A plan: {', '.join(RULES)}.")]) -> None:
    """Print recording and alerting rules: how fast the SLO's budget burns, and whether the plan's assumptions hold.

    Example: tonnage export prometheus plan.yaml > rules.yaml
    """
    from cli.output import show
    from renderers.rules.burning import rules_file
    from specs.kinds import read_plan
    from specs.reading import sha256

    found = read_plan(plan, tuple(RULES))
    groups = importlib.import_module(RULES[found.kind]).groups(found)
    show(rules_file(found, groups, sha256(plan)).rstrip("\n"))
