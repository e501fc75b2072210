"""A serving plan as Kubernetes objects: Deployments that enforce the planned limits, Services, budgets, a priority."""

from __future__ import annotations

from collections.abc import Iterator

from renderers.manifests import APP_LABEL, Manifest, disruption_budget, metadata, priority_class, rendered
from renderers.serving_pods import (
    POOL_LABEL,
    PRIORITY,
    PRIORITY_CLASS,
    Group,
    annotated,
    container,
    groups,
    pod,
)
from renderers.vllm import PORT
from specs.errors import InputError
from specs.plan import ServingPlan

GPUS_PER_NODE = 8


def patches(plan: ServingPlan, sha256: str) -> str:
    """Return a PriorityClass, and per group of replicas a Deployment, a Service and a disruption budget.

    Raises `InputError` for a replica that needs more GPUs than a node has.
    """
    found = groups(plan)
    wide = [one for one in found if one.parallel.gpus > GPUS_PER_NODE]
    if wide:
        raise InputError(
            f"{wide[0].name}: a replica of {wide[0].parallel.gpus} GPUs spans nodes, which a Deployment cannot",
            cure="`tonnage export llm-d` writes a LeaderWorkerSet.",
        )
    return rendered(head(plan, found), [priority(sha256), *(one for group in found for one in of_group(group, sha256))])


def head(plan: ServingPlan, found: list[Group]) -> Iterator[str]:
    """Yield comments: the reason, and what the manifests take for granted."""
    yield f"{plan.metadata.name}: {plan.status.reason}"
    pools = sorted({one.deployment.pool for one in found if one.deployment.pool})
    for name in pools:
        yield f"Label the nodes of a pool first: kubectl label node NODE {POOL_LABEL}={name}"
    yield "Where the image cannot fetch the weights, add a volume with them, or the credentials of where they are."
    if any(one.deployment.router != "round-robin" for one in found):
        yield "A Service spreads connections at random: put the planned router (tonnage/router) before it."
    if any(one.deployment.admission.max_waiting or one.deployment.admission.queue_timeout_s for one in found):
        yield "The gateway must enforce tonnage/max-waiting and tonnage/queue-timeout-s: vLLM has no such limit."
    if any(one.deployment.speculative for one in found):
        yield "The plan counts on speculative decoding, whose draft it does not name: add --speculative-config."


def priority(sha256: str) -> Manifest:
    """Return the class of serving pods, which may push out pods that can wait for a GPU."""
    return priority_class(PRIORITY_CLASS, PRIORITY, "serves requests under an SLO", sha256)


def of_group(group: Group, sha256: str) -> Iterator[Manifest]:
    """Yield the Deployment, the Service and the disruption budget of a group."""
    engine = container(group, group.parallel.gpus, command=["vllm", "serve"], args=group.words)
    yield {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": annotated(group, sha256),
        "spec": {
            "replicas": group.replicas,
            "selector": {"matchLabels": {APP_LABEL: group.name}},
            "template": pod(group, [engine], group.labels, sha256),
        },
    }
    yield service(group, group.labels, sha256)
    yield disruption_budget(group.name, sha256, may_miss=1)


def service(group: Group, selector: dict[str, str], sha256: str) -> Manifest:
    """Return the Service before a group's replicas."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**metadata(group.name, sha256), "labels": {APP_LABEL: group.name}},
        "spec": {"selector": selector, "ports": [{"name": "http", "port": PORT, "targetPort": "http"}]},
    }
