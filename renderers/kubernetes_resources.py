"""A right-sizing plan as Kubernetes manifests: patches of resources, autoscaler targets, and VPA objects."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from specs.errors import InputError
from specs.rightsizing import ContainerDecision, ContainerResources, RightsizingPlan
from specs.writing import data_to_yaml

PLAN = "tonnage/plan"
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
MIB_PER_GIB = 1024
ASSUMED = "# Each workload is taken for a Deployment: change `kind` where it is another.\n"


def patches(plan: RightsizingPlan, sha256: str) -> str:
    """Return one strategic-merge patch per workload, and one per autoscaler whose target moves with the request.

    ``sha256``: of the plan's file, carried as an annotation. Raises `InputError` for a name no Kubernetes object has.
    """
    found = [*(_deployment(w, sha256) for w in _workloads(plan)), *_scalers(plan, sha256)]
    return ASSUMED + "---\n".join(data_to_yaml(one) for one in found)


def vpa_objects(plan: RightsizingPlan, sha256: str) -> str:
    """Return one VerticalPodAutoscaler per workload that only recommends, bounded by the plan's requests."""
    return "---\n".join(data_to_yaml(_vpa(one, sha256)) for one in _workloads(plan))


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
        if name is not None and not DNS_LABEL.fullmatch(name):
            cure = "Kubernetes takes lower-case letters, digits and hyphens, 63 at most."
            raise InputError(f"{one.label}: {name!r} is not a name of a Kubernetes object", cure=cure)


def _metadata(one: ContainerDecision, name: str, sha256: str) -> dict[str, Any]:
    space = {"namespace": one.namespace} if one.namespace else {}
    return {"name": name, **space, "annotations": {PLAN: sha256}}


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


def cpu(cores: float | None) -> str | None:
    """Return for example `250m`; None where nothing is set."""
    return None if cores is None else f"{math.ceil(round(1000 * cores, 6))}m"


def memory(gib: float | None) -> str | None:
    """Return for example `512Mi`; None where nothing is set."""
    return None if gib is None else f"{math.ceil(round(MIB_PER_GIB * gib, 6))}Mi"


def _scalers(plan: RightsizingPlan, sha256: str) -> Iterator[dict[str, Any]]:
    for one in plan.decision.containers if plan.decision else ():
        if one.autoscaler is not None and one.recommended is not None:
            yield _scaler(one, sha256)


def _scaler(one: ContainerDecision, sha256: str) -> dict[str, Any]:
    assert one.autoscaler is not None
    target = {"type": "Utilization", "averageUtilization": max(1, round(100 * one.autoscaler.target))}
    bounds = {"minReplicas": one.autoscaler.least, "maxReplicas": one.autoscaler.most or 100}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": _metadata(one, one.workload, sha256),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": one.workload},
            **{name: value for name, value in bounds.items() if value is not None},
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
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
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": containers[0].workload},
            "updatePolicy": {"updateMode": "Off"},
            "resourcePolicy": {"containerPolicies": policies},
        },
    }
