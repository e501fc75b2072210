"""Services that call each other: what each needs and how fast it is, who calls whom, and the load that enters."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from pydantic import Field, model_validator

from specs.base import Count, Document, NonNegative, Positive, Share, Sourced, Spec
from specs.profile import Machine

Quantity = Literal["mean", "p50", "p90", "p95", "p99"]
CurveForm = Literal["piecewise", "mgc", "usl"]
QoS = Literal["guaranteed", "burstable", "best-effort"]


class Usage(Spec):
    """One quantity of a workload over the time it was watched; percentiles over the samples."""

    mean: NonNegative
    p50: NonNegative
    p95: NonNegative
    p99: NonNegative
    high: NonNegative
    samples: Count


class LoadPoint(Spec):
    """Latency at one load, as measured. ``concurrency``: users or requests in flight where the tool says so."""

    rate_per_s: Positive
    latency_s: dict[Quantity, Positive]
    requests: NonNegative | None = None
    failures: NonNegative | None = None
    concurrency: Positive | None = None
    source: str | None = None


class Neighbours(Spec):
    """How busy the rest of a node is, apart from the service looked at: shares of its CPU and memory bandwidth."""

    cpu: Share = 0.0
    memory: Share = 0.0


class Interference(Neighbours):
    """How much what load adds to latency grows with the node's other work; ``cpu``, ``memory``: when it was measured.

    Slope × (1 + cpu_slope · cpu + memory_slope · memory), after Erms.
    """

    cpu_slope: NonNegative = 0.0
    memory_slope: NonNegative = 0.0


class LatencyCurveSpec(Spec):
    """Latency against load. ``mgc`` and ``usl`` have parameters, ``piecewise`` knots of (per second, seconds).

    ``error``: mean |predicted/measured − 1| over loads that the fit had not seen, and ``errors`` that of every form
    tried. The curve was measured between ``low_per_s`` and ``high_per_s``; beyond them it is an extrapolation.
    """

    quantity: Quantity
    form: CurveForm
    parameters: dict[str, float] = Field(default_factory=dict)
    knots: tuple[tuple[float, float], ...] = ()
    low_per_s: Positive
    high_per_s: Positive
    loads: Count  # distinct loads behind the fit
    error: NonNegative | None = None  # absent where too few loads could be left out
    errors: dict[CurveForm, NonNegative] = Field(default_factory=dict)
    interference: Interference | None = None  # where it was measured beside known neighbours

    @model_validator(mode="after")
    def _whole(self) -> LatencyCurveSpec:
        if self.form == "piecewise" and not self.knots:
            raise ValueError("a piecewise curve needs knots")
        return self


class ServiceProfileSpec(Spec):
    """What one service used, how much it was asked and how fast it answered; what was not seen is absent."""

    service: str
    namespace: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    started: str | None = None  # UTC, ISO 8601
    ended: str | None = None
    step_s: Positive | None = None
    replicas: Usage | None = None
    cpu_cores: Usage | None = None  # all replicas together
    memory_gib: Usage | None = None  # all replicas together
    requests_per_s: Usage | None = None
    latency_s: dict[Quantity, Positive] = Field(default_factory=dict)  # over the whole time, all requests
    self_time_s: dict[Quantity, NonNegative] = Field(default_factory=dict)  # of one visit, calls to others left out
    visits_per_request: NonNegative | None = None  # visits of this service per request that enters the application
    points: tuple[LoadPoint, ...] = ()
    curves: tuple[LatencyCurveSpec, ...] = ()
    sources: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()  # what could not be had, and why
    notes: tuple[str, ...] = ()
    machine: Machine = Machine()


class ServiceProfile(Document):
    """One service as it was watched; an output of `profile services`."""

    kind: Literal["ServiceProfile"] = "ServiceProfile"
    spec: ServiceProfileSpec


class Resources(Spec):
    """CPU and memory of one replica."""

    cpu_cores: NonNegative | None = None
    memory_gib: NonNegative | None = None


class Affinity(Spec):
    """Where replicas go: with or apart from other services, on nodes with these labels, so many on one node."""

    together_with: tuple[str, ...] = ()
    apart_from: tuple[str, ...] = ()
    node_labels: dict[str, str] = Field(default_factory=dict)
    most_per_node: Count | None = None  # spread: replicas of this service on one node


class ServiceTime(Spec):
    """How long one visit keeps one server busy, calls to others left out; ``cv``: standard deviation over mean.

    ``exponential`` has cv 1 and ``deterministic`` cv 0, whatever is given.
    """

    mean_s: Positive
    cv: NonNegative = 1.0
    distribution: Literal["exponential", "lognormal", "deterministic"] = "lognormal"


class Popularity(Spec):
    """How often each item is read: in proportion to rank^-``zipf`` of ``items``, or ``counts`` as measured."""

    items: Count | None = None
    zipf: NonNegative | None = None
    counts: tuple[Positive, ...] = ()

    @model_validator(mode="after")
    def _one_of_two(self) -> Popularity:
        if bool(self.counts) == (self.items is not None and self.zipf is not None):
            raise ValueError("give either `counts`, or `items` with `zipf`")
        return self


class Reads(Spec):
    """The calls of this service to ``database``, each of which reads one item of ``item_kib``.

    A read is answered from the memory of the replica, else by a shared memory store in ``store_s``, else by the
    database: from its buffer in ``buffer_s``, else from its disk in the mean time of its ``service_time``.
    """

    database: str
    item_kib: Positive
    popularity: Popularity | None = None
    store_s: Positive = 5e-4
    buffer_s: Positive = 2e-4


class Service(Spec):
    """One service. One that serves a language model refers to a Workload and a Deployment.

    ``concurrency``: visits that one replica works on at a time; ``service_time`` goes before what a profile says.
    """

    name: str = Field(min_length=1)
    namespace: str | None = None
    replicas: Count | None = None
    requests: Resources | None = None
    limits: Resources | None = None
    pods: tuple[str, ...] = ()
    qos: QoS | None = None
    affinity: Affinity | None = None
    owner: str | None = None
    usd_per_replica_hour: Sourced | None = None
    neighbours: Neighbours | None = None  # what its nodes run besides; absent: as when its curves were measured
    profile: str | None = None  # a ServiceProfile: a path, or an id in the store
    concurrency: Count | None = None
    service_time: ServiceTime | None = None
    workload: str | None = None
    deployment: str | None = None
    reads: Reads | None = None  # where they may be cached
    slowdown: NonNegative | None = None  # growth of its service time beside neighbours that fill the node's CPU


class Call(Spec):
    """What one visit of ``caller`` asks of ``callee``.

    Calls of one ``stage`` run side by side, stages one after the other. ``repeats`` says how several calls to the same
    callee run. An asynchronous call is not waited for. ``parallel_share``: visits in which it overlapped another call.
    """

    caller: str
    callee: str
    calls_per_request: Positive = 1.0
    stage: int = Field(default=0, ge=0)
    repeats: Literal["sequential", "parallel"] = "sequential"
    asynchronous: bool = False
    parallel_share: Share | None = None


class ApplicationSlo(Spec):
    """Bounds on the response time of an entry point, and the share of requests that must be answered well."""

    latency_s: dict[Quantity, Positive] = Field(default_factory=dict)
    availability: Share | None = None


class Entry(Spec):
    """Where load enters: a service (and operation), its rate, and what is promised there."""

    service: str
    operation: str | None = None
    rate_per_s: NonNegative | None = None
    share: Share | None = None  # of all requests seen
    slo: ApplicationSlo | None = None
    priority: Annotated[int, Field(ge=0)] | None = None  # at shared services; 0 goes first


class ApplicationSpec(Spec):
    """Services, the calls among them and the entries; every name in a call or entry is a service."""

    services: tuple[Service, ...] = Field(min_length=1)
    calls: tuple[Call, ...] = ()
    entries: tuple[Entry, ...] = ()
    cache_memory_gib: NonNegative | None = None  # to be split over the caches of every `reads`
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _names_are_known(self) -> ApplicationSpec:
        names = [service.name for service in self.services]
        twice = sorted(name for name, times in Counter(names).items() if times > 1)
        if twice:
            raise ValueError(f"services given twice: {', '.join(twice)}")
        used = [name for call in self.calls for name in (call.caller, call.callee)]
        used += [entry.service for entry in self.entries]
        unknown = sorted(set(used) - set(names))
        if unknown:
            raise ValueError(f"calls or entries name services that are not listed: {', '.join(unknown)}")
        return self


class Application(Document):
    """An application document."""

    kind: Literal["Application"] = "Application"
    spec: ApplicationSpec


def cycles(calls: tuple[Call, ...]) -> tuple[tuple[str, ...], ...]:
    """Return the groups of services that call each other in a circle (strongly connected), each sorted, all sorted.

    A service that calls itself is a group of one. Tarjan's algorithm without recursion (std).
    """
    calls_of: dict[str, list[str]] = {}
    for call in calls:
        calls_of.setdefault(call.caller, []).append(call.callee)
    loops = {call.caller for call in calls if call.caller == call.callee}
    groups = [group for group in _components(calls_of) if len(group) > 1 or group[0] in loops]
    return tuple(sorted(tuple(sorted(group)) for group in groups))


def _components(calls_of: dict[str, list[str]]) -> list[list[str]]:
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    open_: list[str] = []
    is_open: set[str] = set()
    found: list[list[str]] = []
    for root in calls_of:
        work = [(root, iter(calls_of[root]))] if root not in index else []
        if work:
            index[root] = low[root] = len(index)
            open_.append(root)
            is_open.add(root)
        while work:
            name, rest = work[-1]
            for callee in rest:
                if callee not in index:
                    index[callee] = low[callee] = len(index)
                    open_.append(callee)
                    is_open.add(callee)
                    work.append((callee, iter(calls_of.get(callee, ()))))
                    break
                if callee in is_open:
                    low[name] = min(low[name], index[callee])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == index[name]:
                    group: list[str] = []
                    while not group or group[-1] != name:
                        group.append(open_.pop())
                    is_open.difference_update(group)
                    found.append(group)
    return found
