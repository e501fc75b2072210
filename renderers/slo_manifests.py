"""An SLO plan as Kubernetes objects: replicas and requests of every service, and how many of them may be away."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from renderers.manifests import (
    APP_LABEL,
    Manifest,
    cpu,
    decided,
    disruption_budget,
    dns_label,
    memory,
    metadata,
    quantity,
    rendered,
)
from specs.slo_plan import ServiceBudget, SloPlan

HEAD = (
    f"Each service is a Deployment of its name, whose pods have the label `{APP_LABEL}` of that value and a container",
    "of that name: a strategic merge (`kubectl patch`) or `kubectl apply --server-side` puts the rest beside it.",
)


def patches(plan: SloPlan, sha256: str) -> str:
    """Return a partial Deployment per service, and a disruption budget where there is more than one replica.

    Raises `InputError` for a plan without a decision, and for a name no Kubernetes object has.
    """
    services = decided(plan).services
    return rendered(HEAD, (one for service in services for one in _manifests(service, sha256)))


def _manifests(one: ServiceBudget, sha256: str) -> Iterator[Manifest]:
    dns_label(one.service, "service")
    yield {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(one.service, sha256, **_told(one)),
        "spec": {"replicas": one.replicas, **_template(one)},
    }
    if one.replicas > 1:
        yield disruption_budget(one.service, sha256, may_miss=spare(one))


def spare(one: ServiceBudget) -> int:
    """Return how many whole replicas there are beyond what the budget needs."""
    return 0 if one.replicas_exact is None else max(math.floor(one.replicas - one.replicas_exact), 0)


def _told(one: ServiceBudget) -> dict[str, str]:
    budget = {} if one.budget_s is None else {"budget_s": quantity(one.budget_s), "budget_level": one.level}
    return {**budget, "planned_rate_per_s": quantity(one.rate_per_s)}


def _template(one: ServiceBudget) -> dict[str, Any]:
    each = {
        "cpu": cpu(one.cpu_cores / one.replicas) if one.cpu_cores else None,
        "memory": memory(one.memory_gib / one.replicas) if one.memory_gib else None,
    }
    requests = {name: value for name, value in each.items() if value}
    if not requests:
        return {}
    container = {"name": one.service, "resources": {"requests": requests}}
    return {"template": {"spec": {"containers": [container]}}}
