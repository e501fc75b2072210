"""A serving plan for llm-d: a LeaderWorkerSet for replicas that span nodes, a Deployment for those that do not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from renderers.manifests import APP_LABEL, Manifest, disruption_budget, rendered
from renderers.serving_manifests import GPUS_PER_NODE, head, priority, service
from renderers.serving_pods import Group, annotated, container, groups, image, pod
from specs.errors import InputError
from specs.plan import ServingPlan

RAY_PORT = 6379
ROLES = {"mixed": "both", "prefill": "prefill", "decode": "decode"}
LEADER = "leaderworkerset.sigs.k8s.io/worker-index"
"""LeaderWorkerSet labels each pod with its place in the group; the leader's is 0."""
START_LEADER = f'ray start --head --port={RAY_PORT} && exec vllm serve "$@"'
START_WORKER = f'exec ray start --address="$LWS_LEADER_ADDRESS:{RAY_PORT}" --block'
"""vLLM waits for the GPUs of all nodes before it loads weights. [vLLM docs, parallelism and scaling]"""


def manifests(plan: ServingPlan, sha256: str, gpus_per_node: int = GPUS_PER_NODE) -> str:
    """Return the objects of every group, labelled as llm-d's router finds pods.

    Raises `InputError` where a replica's GPUs do not come in whole, equal nodes of ``gpus_per_node``.
    """
    found = groups(plan)
    comments = [*head(plan, found), *(_told(one, gpus_per_node) for one in found)]
    objects = (one for group in found for one in _objects(group, sha256, gpus_per_node))
    return rendered(comments, [priority(sha256), *objects])


def nodes(group: Group, gpus_per_node: int) -> int:
    """Return how many nodes one replica takes."""
    gpus = group.parallel.gpus
    if gpus <= gpus_per_node:
        return 1
    if group.parallel.dp > 1:
        cure = "Plan with data parallelism within a node: more replicas, each of fewer GPUs."
        raise InputError(f"{group.name}: data parallelism of {group.parallel.dp} over several nodes", cure=cure)
    if gpus % gpus_per_node:
        cure = f"Plan with a multiple of {gpus_per_node}, or give --gpus-per-node."
        raise InputError(f"{group.name}: {gpus} GPUs do not fill nodes of {gpus_per_node}", cure=cure)
    return gpus // gpus_per_node


def _told(group: Group, gpus_per_node: int) -> str:
    size = nodes(group, gpus_per_node)
    if size == 1:
        return f"{group.name}: a replica fits a node of {gpus_per_node} GPUs, so it is a plain Deployment."
    return f"{group.name}: a replica spans {size} nodes of {gpus_per_node} GPUs: a LeaderWorkerSet of that size."


def _objects(group: Group, sha256: str, gpus_per_node: int) -> Iterator[Manifest]:
    size, labels = nodes(group, gpus_per_node), _labels(group)
    yield _deployment(group, labels, sha256) if size == 1 else _set(group, labels, size, gpus_per_node, sha256)
    front = {APP_LABEL: group.name} | ({} if size == 1 else {LEADER: "0"})
    yield service(group, front, sha256)
    yield disruption_budget(group.name, sha256, may_miss=1)


def _labels(group: Group) -> dict[str, str]:
    return {APP_LABEL: group.name, "llm-d.ai/inferenceServing": "true", "llm-d.ai/role": ROLES[group.role]}


def _deployment(group: Group, labels: dict[str, str], sha256: str) -> Manifest:
    engine = container(group, group.parallel.gpus, command=["vllm", "serve"], args=group.words)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**annotated(group, sha256), "labels": labels},
        "spec": {
            "replicas": group.replicas,
            "selector": {"matchLabels": {APP_LABEL: group.name}},
            "template": pod(group, [engine], labels, sha256),
        },
    }


def _set(group: Group, labels: dict[str, str], size: int, gpus: int, sha256: str) -> Manifest:
    words = [*group.words, "--distributed-executor-backend", "ray"]
    leader = container(group, gpus, command=["sh", "-c", START_LEADER, "vllm"], args=words)
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {**annotated(group, sha256), "labels": labels},
        "spec": {
            "replicas": group.replicas,
            "leaderWorkerTemplate": {
                "size": size,
                "restartPolicy": "RecreateGroupOnPodRestart",
                "leaderTemplate": pod(group, [leader], labels, sha256),
                "workerTemplate": pod(group, [_worker(group, gpus)], {APP_LABEL: group.name}, sha256),
            },
        },
    }


def _worker(group: Group, gpus: int) -> dict[str, Any]:
    """A worker only lends its GPUs: it answers no requests, so it has no port and no probe."""
    return {
        "name": "engine", "image": image(group), "command": ["sh", "-c", START_WORKER],
        "resources": {"limits": {"nvidia.com/gpu": gpus}},
        "volumeMounts": [{"name": "shared-memory", "mountPath": "/dev/shm"}],
    }  # fmt: skip
