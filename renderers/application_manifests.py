"""An application's plan as Kubernetes objects: replicas on their nodes, caches, ranges to scale in, and GPUs."""

from __future__ import annotations

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
    target,
)
from renderers.serving_manifests import GPUS_PER_NODE, of_group, priority
from renderers.serving_pods import POOL_LABEL, Group, groups_of
from specs.application import Affinity, Resources
from specs.application_plan import (
    ApplicationDecision,
    ApplicationPlan,
    CachePlanned,
    GpusPlanned,
    NodePlanned,
    ServicePlanned,
)
from specs.errors import InputError

MOST_NAMED = 20


def patches(plan: ApplicationPlan, sha256: str) -> str:
    """Return per service a partial Deployment, a budget and a scaler; of one on GPUs all that its serving plan decides.

    Deployments of services on nodes are meant for `kubectl apply --server-side`, which merges them into those that run;
    one that is scaled has no replicas of its own, which its autoscaler sets. Raises `InputError` for a plan without a
    decision, a name no Kubernetes object has, and a replica that needs more GPUs than a node has.
    """
    decision: ApplicationDecision = decided(plan)
    engines = [group for one in decision.gpus for group in _groups(one)]
    served = {one.service for one in decision.gpus}
    found = [one for each in decision.services if each.service not in served for one in _of(each, decision, sha256)]
    if engines:
        found = [priority(sha256), *found, *(one for group in engines for one in of_group(group, sha256))]
    return rendered(_head(plan, decision, engines), found)


def _groups(one: GpusPlanned) -> list[Group]:
    found = groups_of(dns_label(one.service, "service"), one.deployments)
    wide = [group for group in found if group.parallel.gpus > GPUS_PER_NODE]
    if wide:
        cure = f"Export the serving plan of {one.workload}: `tonnage export llm-d` writes a LeaderWorkerSet."
        raise InputError(f"{one.service}: a replica of {wide[0].parallel.gpus} GPUs spans nodes", cure=cure)
    return found


def _head(plan: ApplicationPlan, decision: ApplicationDecision, engines: list[Group]) -> Iterator[str]:
    yield f"{plan.metadata.name}: {plan.status.reason}"
    yield f"Each service is a Deployment of its name, whose pods have the label `{APP_LABEL}` of that value and a"
    yield "container of that name; merge with `kubectl apply --server-side -f -`."
    if decision.node_label != "kubernetes.io/hostname":
        yield "The plan numbers the nodes. Name them first, one each:"
        for node in decision.nodes[:MOST_NAMED]:
            yield f"  kubectl label node NODE {decision.node_label}={node.node}   # of pool {node.pool}"
        if len(decision.nodes) > MOST_NAMED:
            yield f"  and {len(decision.nodes) - MOST_NAMED} more: `nodes` of the plan"
    for pool in sorted({one.deployment.pool for one in engines if one.deployment.pool}):
        yield f"Label the nodes of a pool of GPUs: kubectl label node NODE {POOL_LABEL}={pool}"
    if any(one.deployment.router != "round-robin" for one in engines):
        yield "A Service spreads connections at random: put the planned router (tonnage/router) before it."
    if any(_rollout(one, decision) for one in decision.services if one.nodes):
        yield "Where a service's nodes have no room for a pod more, its rollouts take one away first (maxSurge 0)."
    stored = sum(one.store_gib for one in decision.caches)
    if stored > 0.0:
        yield f"The shared store of {stored:.3g} GiB (tonnage/cache-store-gib) is a service of its own: not here."
    if decision.caches:
        yield "Services read their cache sizes from the environment (CACHE_GIB, BUFFER_GIB) or the annotations."


def _of(one: ServicePlanned, decision: ApplicationDecision, sha256: str) -> Iterator[Manifest]:
    dns_label(one.service, "service")
    told = metadata(one.service, sha256, namespace=one.namespace, **_told(one, decision))
    replicas = {} if one.scaling else {"replicas": one.replicas}
    yield {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": told,
        "spec": {**replicas, **_rollout(one, decision), "template": {
            "metadata": {"labels": {APP_LABEL: one.service}},
            "spec": _pod(one, decision),
        }},
    }  # fmt: skip
    if one.replicas > 1:
        yield _spaced(disruption_budget(one.service, sha256, may_miss=one.spare), one)
    if one.scaling:
        yield _scaler(one, sha256)


def _spaced(manifest: Manifest, one: ServicePlanned) -> Manifest:
    space = {"namespace": one.namespace} if one.namespace else {}
    return {**manifest, "metadata": {**manifest["metadata"], **space}}


def _rollout(one: ServicePlanned, decision: ApplicationDecision) -> dict[str, Any]:
    """Where none of its nodes holds one pod more, a rollout must take one away before it starts another."""
    if any(_holds_one_more(one, node, decision) for node in decision.nodes if node.node in one.nodes):
        return {}
    return {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}}


def _holds_one_more(one: ServicePlanned, node: NodePlanned, decision: ApplicationDecision) -> bool:
    most = one.affinity.most_per_node if one.affinity else None
    if most is not None and one.nodes[node.node] >= most:
        return False
    asked = [(each.nodes.get(node.node, 0), each.requests or Resources()) for each in decision.services]
    mine = one.requests or Resources()
    cpu_there = sum(n * (each.cpu_cores or 0.0) for n, each in asked)
    gib_there = sum(n * (each.memory_gib or 0.0) for n, each in asked)
    return _fits(cpu_there, node.cpu_share, mine.cpu_cores) and _fits(gib_there, node.memory_share, mine.memory_gib)


def _fits(there: float, share: float, more: float | None) -> bool:
    """Whether a node of which ``there`` is the ``share`` has ``more`` left."""
    return share <= 0.0 or there + (more or 0.0) <= there / share * (1.0 + 1e-9)


def _caches(one: ServicePlanned, decision: ApplicationDecision) -> Iterator[tuple[str, float]]:
    """Sizes by name: of one replica's own memory and buffer, and of the shared store."""
    own: list[CachePlanned] = [each for each in decision.caches if each.service == one.service]
    for each in own:
        yield "cache", each.process_gib / one.replicas
        yield "cache_store", each.store_gib
    buffer = [each.buffer_gib for each in decision.caches if each.database == one.service]
    if buffer:
        yield "buffer", sum(buffer) / one.replicas


def _told(one: ServicePlanned, decision: ApplicationDecision) -> dict[str, str]:
    budget = {} if one.budget_s is None else {"budget_s": quantity(one.budget_s)}
    sizes = {f"{name}_gib": quantity(gib) for name, gib in _caches(one, decision)}
    return {**budget, "planned_rate_per_s": quantity(one.visits_per_s), **sizes}


def _pod(one: ServicePlanned, decision: ApplicationDecision) -> dict[str, Any]:
    sizes = [
        {"name": f"{name.upper()}_GIB", "value": quantity(gib)}
        for name, gib in _caches(one, decision)
        if name != "cache_store"
    ]
    container: dict[str, Any] = {"name": one.service, "resources": _resources(one)}
    pod: dict[str, Any] = {"containers": [container | ({"env": sizes} if sizes else {})]}
    if one.nodes:
        pod["affinity"] = _affinity(one, decision)
        pod["topologySpreadConstraints"] = [_spread(one, decision)]
    return pod


def _resources(one: ServicePlanned) -> dict[str, dict[str, str]]:
    given = {"requests": one.requests, "limits": one.limits}
    return {name: asked for name, each in given.items() if each and (asked := _asked(each))}


def _asked(one: Resources) -> dict[str, str]:
    given = {"cpu": cpu(one.cpu_cores), "memory": memory(one.memory_gib)}
    return {name: value for name, value in given.items() if value}


def _affinity(one: ServicePlanned, decision: ApplicationDecision) -> dict[str, Any]:
    asked = one.affinity or Affinity()
    terms = [{"key": decision.node_label, "operator": "In", "values": list(one.nodes)}]
    terms += [{"key": key, "operator": "In", "values": [value]} for key, value in asked.node_labels.items()]
    rules: dict[str, Any] = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": terms}]}
        }
    }
    apart = list(dict.fromkeys([*asked.apart_from, *([one.service] if asked.most_per_node == 1 else [])]))
    together = [other for other in asked.together_with if other != one.service]
    for name, services in (("podAffinity", together), ("podAntiAffinity", apart)):
        if services:
            rules[name] = {"requiredDuringSchedulingIgnoredDuringExecution": [_with(s, decision) for s in services]}
    return rules


def _with(service: str, decision: ApplicationDecision) -> dict[str, Any]:
    space = next(one.namespace for one in decision.services if one.service == service)
    where = {"namespaces": [space]} if space else {}
    return {"labelSelector": {"matchLabels": {APP_LABEL: service}}, "topologyKey": decision.node_label, **where}


def _spread(one: ServicePlanned, decision: ApplicationDecision) -> dict[str, Any]:
    """How unevenly the replicas may lie on their nodes: as the plan has them, and no more."""
    counts = list(one.nodes.values())
    return {
        "maxSkew": max(max(counts) - min(counts), 1), "topologyKey": decision.node_label,
        "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {APP_LABEL: one.service}},
    }  # fmt: skip


def _scaler(one: ServicePlanned, sha256: str) -> Manifest:
    assert one.scaling is not None
    aim = {"type": "Utilization", "averageUtilization": max(round(100.0 * one.scaling.cpu_utilisation), 1)}
    told = {"least_rate_per_s": quantity(one.scaling.least_rate_per_s)}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(one.service, sha256, namespace=one.namespace, **told),
        "spec": {
            "scaleTargetRef": target(one.service),
            "minReplicas": one.scaling.least,
            "maxReplicas": one.scaling.most,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": aim}}],
        },
    }
