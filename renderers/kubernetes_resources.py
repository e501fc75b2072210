"""A right-sizing plan as Kubernetes manifests: patches of resources, autoscaler targets, and VPA objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from renderers.manifests import cpu, dns_label, memory, metadata, rendered, target
from specs.errors import InputError
from specs.rightsizing import ContainerDecision, ContainerResources, RightsizingPlan

ASSUMED = "Each workload is taken for a Deployment: change `kind` where it is another."


def patches(plan: RightsizingPlan, sha256: str) -> str:
    """Return one strategic-merge patch per workload, and one per autoscaler whose target moves with the request.

    ``sha256``: of the plan's file, carried as an annotation. Raises `InputError` for a name no Kubernetes object has.
    """
    found = [*(_deployment(w, sha256) for w in _workloads(plan)), *_scalers(plan, sha256)]
    return rendered([ASSUMED], found)


def vpa_objects(plan: RightsizingPlan, sha256: str) -> str:
    """Return one VerticalPodAutoscaler per workload that only recommends, bounded by the plan's requests."""
    return rendered([], (_vpa(one, sha256) for one in _workloads(plan)))


def _workloads(plan: RightsizingPlan) -> list[list[ContainerDecision]]:
    found: dict[tuple[str | None, str], list[ContainerDecision]] = {}
    for one in plan.decision.containers if plan.decision else ():
        if one.recommended is not None and one.verdict == "change":
            _check(one)
            found.setdefault((one.namespace, one.workload), []).append(one)
    if not found:
        raise InputError(f"{plan.metadata.name}: changes no container", cure="`tonnage explain` says why.")
    return list(found.values())


def _check(one: ContainerDecision) -> None:
    for name in (one.namespace, one.workload, one.container):
        if name is not None:
            dns_label(name, one.label)


def _metadata(one: ContainerDecision, name: str, sha256: str) -> dict[str, Any]:
    return metadata(name, sha256, namespace=one.namespace)


def _deployment(containers: list[ContainerDecision], sha256: str) -> dict[str, Any]:
    inside = [{"name": one.container, "resources": resources(one.recommended)} for one in containers if one.recommended]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(containers[0], containers[0].workload, sha256),
        "spec": {"template": {"spec": {"containers": inside}}},
    }


def resources(given: ContainerResources) -> dict[str, Any]:
    """Return requests and limits as Kubernetes spells them: millicores and MiB, rounded up."""
    requests = {"cpu": cpu(given.cpu_request_cores), "memory": memory(given.memory_request_gib)}
    limits = {"cpu": cpu(given.cpu_limit_cores), "memory": memory(given.memory_limit_gib)}
    parts = {"requests": requests, "limits": limits}
    kept = {name: {key: value for key, value in part.items() if value} for name, part in parts.items()}
    return {name: part for name, part in kept.items() if part}


def _scalers(plan: RightsizingPlan, sha256: str) -> Iterator[dict[str, Any]]:
    for one in plan.decision.containers if plan.decision else ():
        if one.autoscaler is not None and one.recommended is not None:
            yield _scaler(one, sha256)


def _scaler(one: ContainerDecision, sha256: str) -> dict[str, Any]:
    assert one.autoscaler is not None
    aim = {"type": "Utilization", "averageUtilization": max(1, round(100 * one.autoscaler.target))}
    bounds = {"minReplicas": one.autoscaler.least, "maxReplicas": one.autoscaler.most or 100}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": _metadata(one, one.workload, sha256),
        "spec": {
            "scaleTargetRef": target(one.workload),
            **{name: value for name, value in bounds.items() if value is not None},
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": aim}}],
        },
    }


def _vpa(containers: list[ContainerDecision], sha256: str) -> dict[str, Any]:
    policies = [
        {
            "containerName": one.container,
            "controlledResources": ["cpu", "memory"],
            "minAllowed": resources(one.recommended)["requests"],
        }
        for one in containers
        if one.recommended
    ]
    return {
        "apiVersion": "autoscaling.k8s.io/v1",
        "kind": "VerticalPodAutoscaler",
        "metadata": _metadata(containers[0], containers[0].workload, sha256),
        "spec": {
            "targetRef": target(containers[0].workload),
            "updatePolicy": {"updateMode": "Off"},
            "resourcePolicy": {"containerPolicies": policies},
        },
    }
