"""A colocation plan as Kubernetes manifests: priority classes, and a patch per Deployment that enforces its nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from renderers.manifests import APP_LABEL, PLAN, decided, dns_label
from specs.colocation import ColocationDecision, ColocationPlan, PlacedService
from specs.plan import PlanDocument
from specs.writing import data_to_yaml

PRIORITIES = {"koord-prod": 9000, "koord-batch": 5000}
"""Koordinator's classes with the lower end of their ranges (koord-prod 9000–9999, koord-batch 5000–5999). [std]"""


def patches(plan: PlanDocument, sha256: str) -> str:
    """Return PriorityClasses and one partial Deployment per service; raises `InputError` without a decision.

    The Deployments are meant for `kubectl apply --server-side`, which merges them into those that run. ``sha256``: of
    the plan's file, carried as an annotation.
    """
    assert isinstance(plan, ColocationPlan)
    decision: ColocationDecision = decided(plan)
    documents = [*_priorities(decision), *(deployment(one, decision) for one in decision.services)]
    for one in documents:
        one["metadata"]["annotations"] = {PLAN: sha256}
    return "\n".join([*_head(plan), "---\n".join(data_to_yaml(one) for one in documents)])


def _head(plan: ColocationPlan) -> Iterator[str]:
    assert plan.decision is not None
    yield f"# {plan.metadata.name}: {plan.decision.nodes_used} nodes; merge with `kubectl apply --server-side -f -`."
    yield f"# Pods are told by the label `{APP_LABEL}`, which must be the service's name."
    if any(one.qos == "BE" for one in plan.decision.services):
        yield "# Best-effort pods get batch-cpu and batch-memory from a ClusterColocationProfile of Koordinator for BE."
    if plan.decision.node_label != "kubernetes.io/hostname":
        yield "# The plan numbers the nodes. Name them first, one each:"
        for node in plan.decision.nodes:
            label = f"{plan.decision.node_label}={node.node}"
            yield f"#   kubectl label node NODE {label}   # a {node.node_type} of pool {node.pool}"


def _priorities(decision: ColocationDecision) -> Iterator[dict[str, Any]]:
    used = {_priority(one) for one in decision.services}
    for name, value in PRIORITIES.items():
        if name in used:
            yield {
                "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
                "value": value, "globalDefault": False,
                "description": "best effort, runs on batch capacity" if name == "koord-batch" else "latency-sensitive",
            }  # fmt: skip


def _priority(one: PlacedService) -> str:
    return "koord-batch" if one.qos == "BE" else "koord-prod"


def deployment(one: PlacedService, decision: ColocationDecision) -> dict[str, Any]:
    """Return the part of a Deployment that this plan decides: replicas, class, priority, nodes, spread."""
    metadata = {"name": dns_label(one.service, "service")} | ({"namespace": one.namespace} if one.namespace else {})
    pod: dict[str, Any] = {
        "priorityClassName": _priority(one),
        "affinity": _affinity(one, decision),
        "topologySpreadConstraints": [_spread(one, decision)],
    }
    labels = {APP_LABEL: one.service, "koordinator.sh/qosClass": one.qos}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
        "spec": {"replicas": one.replicas, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }  # fmt: skip


def _affinity(one: PlacedService, decision: ColocationDecision) -> dict[str, Any]:
    terms = [{"key": decision.node_label, "operator": "In", "values": list(one.nodes)}]
    terms += [{"key": key, "operator": "In", "values": [value]} for key, value in one.node_labels.items()]
    rules: dict[str, Any] = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": terms}]}
        }
    }
    apart = [*one.apart_from, *([one.service] if one.most_per_node == 1 else [])]
    for name, services in (("podAffinity", one.together_with), ("podAntiAffinity", apart)):
        if services:
            rules[name] = {"requiredDuringSchedulingIgnoredDuringExecution": [_with(s, decision) for s in services]}
    return rules


def _with(service: str, decision: ColocationDecision) -> dict[str, Any]:
    namespaces = {other.service: other.namespace for other in decision.services}
    where = {"namespaces": [namespaces[service]]} if namespaces.get(service) else {}
    return {"labelSelector": {"matchLabels": {APP_LABEL: service}}, "topologyKey": decision.node_label, **where}


def _spread(one: PlacedService, decision: ColocationDecision) -> dict[str, Any]:
    """Return how unevenly the replicas may lie on their nodes: as the plan has them, and no more."""
    counts = [node.pods[one.service] for node in decision.nodes if one.service in node.pods]
    return {
        "maxSkew": max(max(counts) - min(counts), 1), "topologyKey": decision.node_label,
        "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {APP_LABEL: one.service}},
    }  # fmt: skip
