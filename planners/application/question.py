"""The question of `plan application` in one object: services, nodes, and the load that is planned for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from planners.application.load import LoadAsked, planned_load
from predictors.application.graph import Graph, read_graph
from profilers.applications import read_application
from specs.application import Application, Service, ServiceProfileSpec
from specs.application_plan import LoadPlanned
from specs.base import Sourced
from specs.cluster import Cluster, CpuPool
from specs.errors import InputError
from specs.explaining import nearest
from specs.reading import read_document, sha256

OnProgress = Callable[[float, float, str], None]
ASSUMED_CALL = Sourced(value=5e-4, source="assumed: 0.5 ms between two nodes, there and back", date="2026-11-28")
MOST_NODES, MOST_REPLICAS = 500, 2000


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked; ``llm`` are the services that a Workload serves, which stand on GPUs instead of ``pools``."""

    path: Path
    cluster: Path
    application: Application
    profiles: Mapping[str, ServiceProfileSpec]
    pools: tuple[CpuPool, ...]
    call: Sourced
    load: LoadPlanned
    graph: Graph  # at the planned load
    llm: frozenset[str]
    inputs: dict[str, str]
    store: str | None
    seed: int
    confidence: float

    @property
    def services(self) -> tuple[Service, ...]:
        """All services, in the document's order."""
        return self.application.spec.services


def read_question(
    path: Path, cluster: Path, *, asked: LoadAsked, store: str | None, seed: int, on_progress: OnProgress
) -> Question:
    """Read both documents and the load; raises `InputError` for whatever in them cannot be planned."""
    application, profiles = read_application(path, store)
    offered = read_document(cluster, Cluster)
    if not offered.spec.cpu_pools:
        cure = "List nodes under `spec.cpu_pools`."
        raise InputError(f"{cluster}: has no pool of CPU nodes to put services on", cure=cure)
    nodes = sum(pool.nodes for pool in offered.spec.cpu_pools)
    if nodes > MOST_NODES:
        raise InputError(f"{cluster}: {nodes} CPU nodes, more than {MOST_NODES}", cure="Plan a part of it.")
    graph = read_graph(application.spec)
    llm = frozenset(one.name for one in application.spec.services if one.workload and not one.service_time)
    llm -= profiles.keys()
    _check(path, application, llm)
    inputs = {one.name: sha256(one) for one in (path, cluster)}
    load = planned_load(float(graph.rate_per_s.sum()), asked, inputs, on_progress)
    return Question(
        path=path, cluster=cluster, application=application, profiles=profiles, pools=offered.spec.cpu_pools,
        call=offered.spec.call_s or ASSUMED_CALL, load=load, graph=read_graph(application.spec, load.scale), llm=llm,
        inputs=inputs, store=store, seed=seed, confidence=asked.confidence,
    )  # fmt: skip


def _check(path: Path, application: Application, llm: frozenset[str]) -> None:
    spec = application.spec
    names = [one.name for one in spec.services]
    if llm == set(names):
        cure = f"Plan each alone: tonnage plan serving {spec.services[0].workload} --cluster CLUSTER."
        raise InputError(f"{path}: every service stands on GPUs: there is nothing to put on CPU nodes", cure=cure)
    for one in spec.services:
        asks = one.requests
        lacks = not (asks and asks.cpu_cores and asks.memory_gib) and one.name not in llm
        if lacks:
            cure = "Give `requests: {cpu_cores: …, memory_gib: …}` of one replica (`tonnage plan rightsizing`)."
            raise InputError(f"{path}: service {one.name}: nothing says what a replica asks of its node", cure=cure)
        _check_affinity(path, one, names, llm)
        if one.slowdown and one.service_time is None:
            raise InputError(f"{path}: service {one.name}: slowdown needs a service_time", cure="Give both.")
        if one.reads is not None:
            _check_reads(path, application, one, names)


def _check_affinity(path: Path, one: Service, names: list[str], llm: frozenset[str]) -> None:
    asked = one.affinity
    if asked is None:
        return
    where = f"{path}: service {one.name}: affinity"
    for part, others in (("together_with", asked.together_with), ("apart_from", asked.apart_from)):
        for other in others:
            if other not in names:
                raise InputError(f"{where}.{part}: no service {other!r}{nearest(other, names)}", cure="Name a service.")
    both = sorted(set(asked.together_with) & set(asked.apart_from))
    if both:
        raise InputError(f"{where}: both together with and apart from {both[0]!r}", cure="Keep one of them.")
    on_gpus = sorted(set(asked.together_with) & llm) or ([one.name] if one.name in llm and asked.together_with else [])
    if on_gpus:
        cure = "Its GPUs are planned on the cluster's `pools`, other services on its `cpu_pools`: leave it out."
        raise InputError(f"{where}.together_with: {on_gpus[0]} stands on GPUs", cure=cure)


def _check_reads(path: Path, application: Application, one: Service, names: list[str]) -> None:
    reads = one.reads
    assert reads is not None
    where = f"{path}: service {one.name}: reads"
    if reads.database not in names:
        near = nearest(reads.database, names)
        raise InputError(f"{where}: no service {reads.database!r}{near}", cure="Name a service that it calls.")
    if not any(call.caller == one.name and call.callee == reads.database for call in application.spec.calls):
        raise InputError(f"{where} {reads.database}, which it does not call", cure="List the call under `calls`.")
    if reads.popularity is None:
        cure = (
            "Give `popularity: {counts: [reads of each item]}` as counted in a trace, or {items: N, zipf: S}; or leave"
            " `reads` out to plan without caches."
        )
        raise InputError(f"{where}: its popularity is missing, so that no hit ratio can be told", cure=cure)
    database = application.spec.services[names.index(reads.database)]
    for service in (one, database):
        if service.service_time is None:
            cure = "Caches change times that must be known: give it a `service_time`."
            raise InputError(f"{where}: service {service.name} has no service_time", cure=cure)


def node_names(pools: tuple[CpuPool, ...]) -> list[tuple[str, CpuPool]]:
    """Every node with its pool; numbered where the document does not name them."""
    return [
        (pool.hostnames[i] if pool.hostnames else f"{pool.name}-{i + 1}", pool)
        for pool in pools
        for i in range(pool.nodes)
    ]


def visits(question: Question) -> dict[str, float]:
    """Visits per second of each service at the planned load."""
    return dict(zip(question.graph.names, np.asarray(question.graph.load_per_s).tolist(), strict=True))
