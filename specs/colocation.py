"""The plan of `tonnage plan colocation`: which pods go on which nodes, and how much they will slow each other."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from specs.application import Quantity
from specs.base import Count, Figure, NonNegative, Positive, Spec
from specs.plan import PlanDocument

PodClass = Literal["LSE", "LSR", "LS", "BE"]


class PlacedNode(Spec):
    """One node that is used: replicas of each service, what they request, and how loaded it is.

    ``requested_*`` are of latency-sensitive pods; best-effort pods run on the batch capacity.
    """

    node: str
    pool: str
    node_type: str
    pods: dict[str, Count]
    requested_cpu_cores: NonNegative
    requested_memory_gib: NonNegative
    used_cpu_cores: NonNegative
    batch_cpu_cores: NonNegative = 0.0  # requested by best-effort pods
    batch_memory_gib: NonNegative = 0.0


class PlacedService(Spec):
    """What the manifests need of one service: its class, its nodes, and the services it may not share a node with."""

    service: str
    namespace: str | None = None
    replicas: Count
    qos: PodClass
    cpu_cores: NonNegative  # request of one replica
    memory_gib: NonNegative
    nodes: tuple[str, ...]
    most_per_node: Count
    apart_from: tuple[str, ...] = ()
    together_with: tuple[str, ...] = ()
    node_labels: dict[str, str] = Field(default_factory=dict)


class ColocationDecision(Spec):
    """The placement, by service and by node."""

    services: tuple[PlacedService, ...]
    nodes: tuple[PlacedNode, ...]
    nodes_used: Count
    nodes_free: NonNegative
    usd_per_hour: NonNegative | None = None
    node_label: str = "tonnage/node"  # whose value names the nodes; set it on them where it is not a hostname


class ServiceSlowdown(Spec):
    """Predicted slowdown of one service against running alone on the same node type: mean and worst replica."""

    service: str
    qos: PodClass
    mean: Figure
    worst: Figure


class BatchCapacity(Spec):
    """What best-effort pods may use on all nodes of a pool, by one of Koordinator's formulas, and what it leaves.

    ``unused_*``: capacity that neither latency-sensitive pods use nor the formula gives away.
    """

    pool: str
    policy: Literal["usage", "request", "maxUsageRequest"]
    cpu_cores: NonNegative
    memory_gib: NonNegative
    unused_cpu_cores: NonNegative
    unused_memory_gib: NonNegative


class Overcommit(Spec):
    """Promised over capacity on the used nodes, and the chance that a node's pods want more than it has."""

    cpu_ratio: NonNegative  # requests of all pods over capacity
    memory_ratio: NonNegative
    worst_node: str
    worst_cpu_risk: NonNegative  # chance, at any moment, that the CPU wanted exceeds the node
    worst_memory_risk: NonNegative
    basis: str


class EntryConfirmed(Spec):
    """Simulated response times of one entry, without neighbours and on this placement; whether its bounds hold there.

    ``standard_error_s``: of the latter, what another seed would change.
    """

    entry: str
    before_s: dict[Quantity, NonNegative]
    after_s: dict[Quantity, NonNegative]
    standard_error_s: dict[Quantity, NonNegative]
    bounds_s: dict[Quantity, Positive] = Field(default_factory=dict)
    holds: dict[Quantity, bool] = Field(default_factory=dict)


class ColocationExpected(Spec):
    """What will then happen."""

    slowdown: Figure  # mean over latency-sensitive pods, weighed by CPU used
    p99_slowdown: Figure
    services: tuple[ServiceSlowdown, ...]
    cost_cores: Figure  # the objective
    batch: tuple[BatchCapacity, ...]
    overcommit: Overcommit
    confirmed: tuple[EntryConfirmed, ...] = ()  # empty where nothing could be; a note says why


class PlacementCompared(Spec):
    """One way to place the same pods, judged by the same prediction."""

    method: str
    nodes: NonNegative
    mean_slowdown: Positive
    p99_slowdown: Positive
    cost_cores: NonNegative
    breaks: str | None = None


class ColocationWhy(Spec):
    """What the answer was compared with, and the bound below which nothing can lie."""

    objective: str
    lower_bound_cores: NonNegative
    bound_basis: str
    gap: NonNegative | None = None
    compared: tuple[PlacementCompared, ...] = ()
    binding: str | None = None
    headroom: NonNegative | None = None
    notes: tuple[str, ...] = ()


class ColocationPlan(PlanDocument):
    """The plan of `tonnage plan colocation`."""

    kind: Literal["ColocationPlan"] = "ColocationPlan"
    decision: ColocationDecision | None = None
    expected: ColocationExpected | None = None
    why: ColocationWhy | None = None
