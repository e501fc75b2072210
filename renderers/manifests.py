"""What all manifests share: names that Kubernetes takes, the plan's sha256, disruption budgets, one scaler a target."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from specs.errors import InputError
from specs.plan import PlanDocument
from specs.writing import data_to_yaml

Manifest = dict[str, Any]
PLAN = "tonnage/plan"
APP_LABEL = "app"
"""Pods of a service are told by this label, whose value is the service's name."""
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
MIB_PER_GIB = 1024


def rendered(head: Iterable[str], manifests: Iterable[Manifest]) -> str:
    """Return one YAML stream under comment lines; raises `InputError` where two objects scale one target."""
    found = list(manifests)
    refuse_two_scalers(found)
    return "".join(f"# {line}\n" for line in head) + "---\n".join(data_to_yaml(one) for one in found)


def decided(plan: PlanDocument) -> Any:
    """Return the plan's decision; raises `InputError` where there is none."""
    if plan.decision is None:
        cure = plan.status.smallest_change or plan.status.missing or ""
        raise InputError(f"{plan.metadata.name}: is {plan.status.outcome}, so there is nothing to export", cure=cure)
    return plan.decision


def dns_label(name: str, what: str) -> str:
    """Return ``name``; raises `InputError` where no Kubernetes object can be called so."""
    if not DNS_LABEL.fullmatch(name):
        cure = "Kubernetes takes lower-case letters, digits and hyphens, 63 at most."
        raise InputError(f"{what}: {name!r} is not a name of a Kubernetes object", cure=cure)
    return name


def metadata(name: str, sha256: str, *, namespace: str | None = None, **annotations: str) -> dict[str, Any]:
    """Return an object's metadata with the plan's sha256; ``annotations`` under `tonnage/`, hyphens for underscores."""
    space = {"namespace": namespace} if namespace else {}
    more = {f"tonnage/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return {"name": name, **space, "annotations": {PLAN: sha256, **more}}


def target(name: str) -> dict[str, str]:
    """Return the reference to a Deployment."""
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}


def disruption_budget(name: str, sha256: str, *, may_miss: int, label: str = APP_LABEL) -> Manifest:
    """Return a PodDisruptionBudget: at most ``may_miss`` pods of the service away at once, and at least one may be."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(name, sha256),
        "spec": {"maxUnavailable": max(may_miss, 1), "selector": {"matchLabels": {label: name}}},
    }


def priority_class(name: str, value: int, description: str, sha256: str) -> Manifest:
    """Return a PriorityClass, which is never the default."""
    return {
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": metadata(name, sha256),
        "value": value, "globalDefault": False, "description": description,
    }  # fmt: skip


def refuse_two_scalers(manifests: Iterable[Manifest]) -> None:
    """Raise `InputError` where two autoscalers, of whichever kind, would set the replicas of one target."""
    kinds = [(_scaled(one), str(one["kind"])) for one in manifests]
    twice = [name for name, times in Counter(name for name, _ in kinds if name).items() if times > 1]
    if twice:
        by = " and a ".join(kind for name, kind in kinds if name == twice[0])
        cure = "Keep one: a ScaledObject makes its own HorizontalPodAutoscaler, with CPU as a trigger where needed."
        raise InputError(f"{twice[0]}: a {by} would both set its replicas, and undo each other", cure=cure)


def _scaled(manifest: Manifest) -> str | None:
    if manifest["kind"] not in ("HorizontalPodAutoscaler", "ScaledObject"):
        return None
    space = manifest["metadata"].get("namespace")
    name = str(manifest["spec"]["scaleTargetRef"]["name"])
    return f"{space}/{name}" if space else name


def cpu(cores: float | None) -> str | None:
    """Return for example `250m`, rounded up; None where nothing is set."""
    return None if cores is None else f"{math.ceil(round(1000 * cores, 6))}m"


def memory(gib: float | None) -> str | None:
    """Return for example `512Mi`, rounded up; None where nothing is set."""
    return None if gib is None else f"{math.ceil(round(MIB_PER_GIB * gib, 6))}Mi"


def quantity(value: float) -> str:
    """Return a number as Kubernetes reads quantities."""
    return f"{value:.10g}"
