"""The pods of a serving plan: one group per deployment and role, with the engine arguments that enforce its limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from renderers.manifests import APP_LABEL, Manifest, decided, dns_label, metadata
from renderers.vllm import PORT, arguments
from specs.deployment import DeploymentInPlan, Parallel, Roles
from specs.errors import InputError
from specs.plan import ServingPlan

POOL_LABEL = "tonnage/pool"
"""Nodes of a pool are told by this label, whose value is the pool's name in the cluster document."""
PRIORITY_CLASS, PRIORITY = "tonnage-serving", 100_000
GPU = "nvidia.com/gpu"
IMAGE = "vllm/vllm-openai"
START_S, PROBE_S = 3600, 10
"""How long weights may take to load before a pod counts as failed; how often it is asked."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Replicas that are alike: their name, the deployment, how many, their parallelism, role and KV connector."""

    name: str
    deployment: DeploymentInPlan
    replicas: int
    parallel: Parallel
    role: str = "mixed"
    connector: str | None = None

    @property
    def words(self) -> list[str]:
        """The words after `vllm serve`."""
        return arguments(self.deployment, self.parallel, self.connector)

    @property
    def labels(self) -> dict[str, str]:
        """Labels of its pods."""
        return {APP_LABEL: self.name}


def groups(plan: ServingPlan) -> list[Group]:
    """Return the groups, named after the plan, the deployment where there are several, and the role.

    Raises `InputError` for a plan without a decision, of another engine than vLLM, or whose name is no object's.
    """
    return groups_of(plan.metadata.name, decided(plan).deployments)


def groups_of(name: str, deployments: tuple[DeploymentInPlan, ...]) -> list[Group]:
    """Return the groups of ``deployments`` under ``name``. Raises `InputError` as `groups` does."""
    several = len(deployments) > 1
    names = [f"{name}-{at}" if several else name for at in range(1, len(deployments) + 1)]
    return [group for name, one in zip(names, deployments, strict=True) for group in _groups(name, one)]


def _groups(name: str, one: DeploymentInPlan) -> Iterator[Group]:
    if one.engine.name != "vllm":
        raise InputError(f"the plan is for {one.engine.name}, not vLLM", cure="Plan with engine vllm.")
    if not isinstance(one.roles, Roles):
        dns_label(name, "plan")
        yield Group(name=name, deployment=one, replicas=one.replicas, parallel=one.parallel)
        return
    for role, given, connector in (
        ("prefill", one.roles.prefill, "kv_producer"),
        ("decode", one.roles.decode, "kv_consumer"),
    ):
        yield Group(
            name=dns_label(f"{name}-{role}", "plan"), deployment=one, replicas=given.replicas,
            parallel=given.parallel, role=role, connector=connector,
        )  # fmt: skip


def annotated(group: Group, sha256: str) -> dict[str, Any]:
    """Return the metadata of a group: what the plan decides and no field of Kubernetes holds, as annotations."""
    one = group.deployment
    told = {
        "device": one.device, "router": one.router, "role": group.role,
        "max_waiting": one.admission.max_waiting, "queue_timeout_s": one.admission.queue_timeout_s,
        "client_timeout_s": one.admission.client_timeout_s, "prompt_tokens": one.labels.get("prompt_tokens"),
        "draft_tokens": one.speculative.draft_tokens if one.speculative else None,
    }  # fmt: skip
    return metadata(group.name, sha256, **{key: str(value) for key, value in told.items() if value is not None})


def image(group: Group) -> str:
    """Return the engine's image at the planned version: `0.19` is `v0.19.0`."""
    version = group.deployment.engine.version
    return f"{IMAGE}:v{version}{'.0' if version.count('.') == 1 else ''}"


def container(group: Group, gpus: int, **more: Any) -> dict[str, Any]:
    """Return the engine's container with so many GPUs, ready when it answers `/health`."""
    asked = {"httpGet": {"path": "/health", "port": PORT}, "periodSeconds": PROBE_S}
    return {
        "name": "engine", "image": image(group), **more,
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": {"limits": {GPU: gpus}},
        "startupProbe": {**asked, "failureThreshold": START_S // PROBE_S},
        "readinessProbe": asked,
        "volumeMounts": [{"name": "shared-memory", "mountPath": "/dev/shm"}],
    }  # fmt: skip


def pod(group: Group, containers: list[dict[str, Any]], labels: dict[str, str], sha256: str) -> Manifest:
    """Return a pod template on the nodes of the group's pool, with shared memory for the GPUs to talk through."""
    pool = group.deployment.pool
    return {
        "metadata": {"labels": labels, "annotations": annotated(group, sha256)["annotations"]},
        "spec": {
            "priorityClassName": PRIORITY_CLASS,
            **({"nodeSelector": {POOL_LABEL: dns_label(pool, "pool")}} if pool else {}),
            "containers": containers,
            "volumes": [{"name": "shared-memory", "emptyDir": {"medium": "Memory"}}],
        },
    }
