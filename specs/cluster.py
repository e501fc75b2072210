"""The machines that can be used: pools of nodes, their GPUs, links and prices."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from specs.base import Count, Document, NonNegative, Positive, Share, Sourced, Spec


class Pool(Spec):
    """Nodes of one kind.

    ``taken_gpus``: GPUs already in use per node, as a list of nodes (shorter lists leave the rest free),
    or one number for every node. ``idle_gib``: memory that those who hold the taken GPUs leave idle, per taken GPU in
    order, or one number for each; ``taken_busy``: share of the time that they compute.
    """

    name: str
    device: str  # catalogue name, or path of a device document
    nodes: Count
    gpus_per_node: Count
    usd_per_gpu_hour: Sourced | None = None
    taken_gpus: int | tuple[int, ...] = 0
    idle_gib: NonNegative | tuple[NonNegative, ...] = 0.0
    taken_busy: Share = 0.0
    memory_gib: Positive | None = None  # host memory per node

    @model_validator(mode="after")
    def _taken_fits(self) -> Pool:
        for node, taken in enumerate(self.taken_by_node()):
            if not 0 <= taken <= self.gpus_per_node:
                raise ValueError(f"node {node} has {self.gpus_per_node} GPUs, of which {taken} cannot be taken")
        taken = sum(self.taken_by_node())
        if isinstance(self.idle_gib, tuple) and len(self.idle_gib) > taken:
            raise ValueError(f"idle_gib lists {len(self.idle_gib)} GPUs, {taken} are taken")
        return self

    def taken_by_node(self) -> tuple[int, ...]:
        """GPUs already taken on each node."""
        if isinstance(self.taken_gpus, int):
            return (self.taken_gpus,) * self.nodes
        if len(self.taken_gpus) > self.nodes:
            raise ValueError(f"taken_gpus lists {len(self.taken_gpus)} nodes, the pool has {self.nodes}")
        return self.taken_gpus + (0,) * (self.nodes - len(self.taken_gpus))

    def idle_by_gpu(self) -> tuple[tuple[int, int, float], ...]:
        """(node, index on it, idle GiB) of each taken GPU; the taken GPUs of a node come first."""
        taken = [(node, gpu) for node, count in enumerate(self.taken_by_node()) for gpu in range(count)]
        if isinstance(self.idle_gib, tuple):
            idle = self.idle_gib + (0.0,) * (len(taken) - len(self.idle_gib))
        else:
            idle = (self.idle_gib,) * len(taken)
        return tuple((node, gpu, gib) for (node, gpu), gib in zip(taken, idle, strict=True))

    def free_by_node(self) -> tuple[int, ...]:
        """GPUs still free on each node."""
        return tuple(self.gpus_per_node - taken for taken in self.taken_by_node())


class CpuPool(Spec):
    """Nodes of one kind for services; figures are of one node.

    ``system_cpu_cores`` and ``system_memory_gib``: what the system, the kubelet and daemons use, or what is
    reserved for them, whichever is larger.
    """

    name: str = Field(min_length=1)
    node_type: str = Field(min_length=1)  # CPU model or instance type, as interference was measured on it
    nodes: Count
    cpu_cores: Positive
    memory_gib: Positive
    system_cpu_cores: NonNegative = 0.0
    system_memory_gib: NonNegative = 0.0
    most_pods: Count = 110  # the kubelet's limit
    labels: dict[str, str] = Field(default_factory=dict)
    hostnames: tuple[str, ...] = ()  # of the nodes, as Kubernetes knows them; else plans number them
    usd_per_node_hour: Sourced | None = None

    @model_validator(mode="after")
    def _system_fits(self) -> CpuPool:
        if self.system_cpu_cores >= self.cpu_cores:
            raise ValueError(f"the system takes {self.system_cpu_cores:g} of {self.cpu_cores:g} cores")
        if self.system_memory_gib >= self.memory_gib:
            raise ValueError(f"the system takes {self.system_memory_gib:g} of {self.memory_gib:g} GiB")
        if self.hostnames and len(set(self.hostnames)) != self.nodes:
            raise ValueError(f"hostnames lists {len(set(self.hostnames))} different nodes, the pool has {self.nodes}")
        return self


class ClusterSpec(Spec):
    """All pools, of GPU nodes and of CPU nodes, and the network between nodes in Gbit/s."""

    pools: tuple[Pool, ...] = ()
    cpu_pools: tuple[CpuPool, ...] = ()
    network_gbps: NonNegative = 100.0
    call_s: Sourced | None = None  # what the network adds to one call between two nodes, there and back

    @model_validator(mode="after")
    def _is_not_empty(self) -> ClusterSpec:
        if not self.pools and not self.cpu_pools:
            raise ValueError("no pool is given: list `pools` of GPU nodes or `cpu_pools`")
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> ClusterSpec:
        names = [*(pool.name for pool in self.pools), *(pool.name for pool in self.cpu_pools)]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two pools are named {name!r}")
        return self


class Cluster(Document):
    """What can be bought or used."""

    kind: Literal["Cluster"] = "Cluster"
    spec: ClusterSpec
