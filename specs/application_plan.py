"""The plan of `tonnage plan application`: replicas, caches, nodes, GPUs, and how the whole was confirmed."""

from __future__ import annotations

from typing import Literal

from specs.application import Affinity, Resources
from specs.base import Figure, Share, Spec
from specs.deployment import DeploymentInPlan
from specs.plan import Percentiles, PlanDocument


class LoadPlanned(Spec):
    """The rate that was planned for, all entries together, and where it is from; ``scale``: of the document's rates."""

    rate_per_s: float
    scale: float
    basis: str
    level: str | None = None  # of the forecast's quantile
    at: str | None = None  # when the forecast is highest, UTC
    mean_per_s: float | None = None  # of the forecast's medians
    lowest_per_s: float | None = None  # of the same quantile within the horizon


class CachePlanned(Spec):
    """Memory of the three levels for one service's reads, the share of reads that each answers, and the mean time.

    ``process_gib``: of all its replicas together. ``read_s``: of one read; ``uncached_s``: without any cache.
    """

    service: str
    database: str
    reads_per_s: float
    process_gib: float
    store_gib: float
    buffer_gib: float
    process_share: float
    store_share: float
    buffer_share: float
    disk_share: float
    read_s: float
    uncached_s: float
    database_reads_per_s: float


class ScalingRange(Spec):
    """From the lowest to the highest forecast: replicas that the SLO needs at each, and the CPU use to hold between.

    ``cpu_utilisation``: of what a replica requests; the least that the SLO allows at the loads that were split between.
    """

    least: int
    most: int
    cpu_utilisation: Share
    least_rate_per_s: float  # of all entries together, at which ``least`` replicas keep the SLO


class ServicePlanned(Spec):
    """One service: its replicas, what they ask for together, its budget, and on which nodes they are.

    ``requests`` and ``limits`` are of one replica, its share of the caches in them. ``spare``: whole replicas beyond
    what the budget needs.
    """

    service: str
    namespace: str | None = None
    replicas: int
    spare: int = 0
    requests: Resources | None = None
    limits: Resources | None = None
    affinity: Affinity | None = None
    scaling: ScalingRange | None = None
    current_replicas: int | None = None
    budget_s: float | None = None
    visits_per_s: float
    utilisation: float
    limit_per_s: float
    cpu_cores: float
    memory_gib: float
    nodes: dict[str, int]  # replicas by node
    slowdown: float = 1.0  # of its time by its neighbours, mean over its replicas


class NodePlanned(Spec):
    """One node in use: what is requested of it, over what it offers."""

    node: str
    pool: str
    replicas: int
    cpu_share: float
    memory_share: float
    usd_per_hour: float | None = None


class GpusPlanned(Spec):
    """GPUs of one service that serves a language model, from its serving plan, and the latencies stated there.

    ``e2e_s``: of whole answers, whose upper ends the application is planned with. ``headroom``: the largest multiple
    of its rate at which the workload's own SLO still holds.
    """

    service: str
    workload: str
    gpus: int
    usd_per_hour: float | None = None
    outcome: str
    reason: str
    rate_per_s: float  # that it was planned for
    headroom: float | None = None
    deployments: tuple[DeploymentInPlan, ...]
    ttft_s: Percentiles
    e2e_s: Percentiles


class ApplicationDecision(Spec):
    """What to run: replicas on nodes, cache memory, GPUs, and what it costs."""

    services: tuple[ServicePlanned, ...]
    nodes: tuple[NodePlanned, ...]
    caches: tuple[CachePlanned, ...] = ()
    gpus: tuple[GpusPlanned, ...] = ()
    replicas: int
    usd_per_hour: float | None = None
    cpu_cores: float
    memory_gib: float
    node_label: str = "tonnage/node"  # whose value names the nodes; set it on them where it is not a hostname


class EntryPlanned(Spec):
    """One bound of the SLO and what the simulation of the whole found, network and neighbours in it."""

    entry: str
    level: str
    bound_s: float
    simulated_s: Figure
    standard_error_s: float
    network_s: float  # on the longest way, by the means of the placement
    holds: bool


class FailsFirst(Spec):
    """What gives way as the load rises with this allocation, and at which rate of all entries together."""

    what: str
    rate_per_s: float
    factor: float  # of the planned rate
    kind: Literal["bound", "capacity"]


class ApplicationExpected(Spec):
    """What will happen: latencies, the rate that still keeps every bound, the ceiling, and what limits it."""

    entries: tuple[EntryPlanned, ...]
    bottleneck: str
    ceiling_per_s: float
    ceiling_reason: str
    keeps_slo_up_to_per_s: float
    fails_first: FailsFirst
    cpu_utilisation: float  # of the nodes in use: cores kept busy over cores
    simulated_requests: int


class Compared(Spec):
    """Another way that was looked at: what it costs and the latency of the tightest bound, or why it fails."""

    way: str
    usd_per_hour: float | None = None
    nodes: int | None = None
    replicas: int | None = None
    latency_over_bound: float | None = None
    fails: str | None = None


class ApplicationWhy(Spec):
    """How each step decided, bounds and gaps, what was compared, and what the plan rests on.

    ``bound_usd_per_hour``: no plan of this application on these nodes costs less, whatever its caches, replicas and
    placement; ``gap``: how far this plan is above it, relative. ``proven`` and ``unproven``: what stands behind both.
    """

    load: LoadPlanned
    placement: str
    least_usd_per_hour: float | None = None  # no nodes for these replicas cost less
    bound_usd_per_hour: float | None = None
    gap: float | None = None
    proven: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()
    network_in_flight: float  # calls on the network at a time
    interference_cores: float  # lost to neighbours
    reserved_network_s: dict[str, float]  # taken off each bound before the split
    tightened: float
    compared: tuple[Compared, ...] = ()
    notes: tuple[str, ...] = ()


class ApplicationPlan(PlanDocument):
    """The plan of `tonnage plan application`."""

    kind: Literal["ApplicationPlan"] = "ApplicationPlan"
    decision: ApplicationDecision | None = None
    expected: ApplicationExpected | None = None
    why: ApplicationWhy | None = None
