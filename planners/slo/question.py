"""The question of `plan slo` in one object: the application, its curves, what bounds it and what a replica costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from planners.slo.correction import corrections
from planners.slo.curves import Curve, curve_of
from planners.slo.graph import Entrance, Waited, waited
from predictors.application.graph import Graph, read_graph
from predictors.application.stations import SHARES
from profilers.applications import read_application
from solvers.budgets.problem import FloatArray
from specs.application import Application, Quantity, ServiceProfileSpec
from specs.errors import InputError
from specs.explaining import nearest
from specs.kinds import read_plan
from specs.reading import read_document, read_documents, sha256
from specs.slo_plan import SloPlan

Compose = Literal["sum", "union-bound", "convolve"]
OnProgress = Callable[[float, float, str], None]
MILLISECOND = 1e-3


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked. ``price`` and ``cpu``, ``memory`` are of one replica; ``unit`` names what is kept least.

    ``correction``: end-to-end tail over composed partial tails, per entrance, as measured (1 where not asked for).
    """

    application: Application
    profiles: Mapping[str, ServiceProfileSpec]
    graph: Graph
    entrances: tuple[Entrance, ...]
    among: Waited
    curves: tuple[Curve | None, ...]  # per service
    price: FloatArray
    unit: str
    cpu: tuple[float | None, ...]
    memory: tuple[float | None, ...]
    compose: Compose
    correction: tuple[float, ...]
    notes: tuple[str, ...]
    current: Mapping[str, int]
    earlier: SloPlan | None
    inputs: dict[str, str]
    seed: int


def read_question(
    path: Path,
    *,
    slo: Sequence[str],
    scale: float,
    compose: Compose,
    traces: Sequence[Path],
    current: Path | None,
    store: str | None,
    seed: int,
    documents: tuple[Application, Mapping[str, ServiceProfileSpec]] | None = None,
) -> Question:
    """Read the application and all it refers to; raises `InputError` for whatever in it cannot be planned.

    ``documents``: the application and profiles to take instead of those in ``path``.
    """
    application, profiles = documents or read_application(path, store)
    spec = application.spec
    graph = read_graph(spec, scale)
    entrances = _entrances(application, graph, slo, path)
    among = waited(graph, entrances)
    waits = np.zeros(len(graph.names), dtype=bool)
    waits[np.repeat(np.arange(len(graph.names)), np.diff(graph.first))[graph.waited]] = True
    load = graph.load_per_s
    curves = tuple(
        curve_of(service, profiles.get(service.name), float(load[i]), bool(waits[i]))
        for i, service in enumerate(spec.services)
    )
    cpu, memory = zip(*(_resources(application, profiles, i) for i in range(len(graph.names))), strict=True)
    price, unit = _prices(application, cpu)
    inputs = {one.name: sha256(one) for one in (path, *traces, *((current,) if current else ()))}
    correction, notes = corrections(traces, graph, among, entrances) if traces else ((1.0,) * len(entrances), [])
    replicas, earlier = _running(current, application)
    return Question(
        application=application, profiles=profiles, graph=graph, entrances=entrances, among=among, curves=curves,
        price=price, unit=unit, cpu=cpu, memory=memory, compose=compose,
        correction=correction, notes=tuple(notes), current=replicas, earlier=earlier, inputs=inputs, seed=seed,
    )  # fmt: skip


def _entrances(application: Application, graph: Graph, slo: Sequence[str], path: Path) -> tuple[Entrance, ...]:
    asked = _asked(slo, application)
    found = []
    for row, entry in enumerate(application.spec.entries):
        name = f"{entry.service}/{entry.operation}" if entry.operation else entry.service
        given = {q: v for q, v in (entry.slo.latency_s if entry.slo else {}).items() if q in SHARES}
        given = asked.get(name) or asked.get(entry.service) or given
        for level, bound in given.items():
            found.append(Entrance(row, int(graph.entry[row]), name, level, bound, entry.priority))
    if not found:
        cure = "Give an entry `slo: {latency_s: {p99: 0.2}}`, or --slo ENTRY=200ms."
        raise InputError(f"{path}: spec.entries: no entry has an SLO on a latency percentile", cure=cure)
    return tuple(found)


def rank(priority: int | None) -> float:
    """Order of service at shared services: 0 first, entries without a priority last."""
    return np.inf if priority is None else float(priority)


def _asked(slo: Sequence[str], application: Application) -> dict[str, dict[Quantity, float]]:
    """`ENTRY=200ms` or `ENTRY=p95:0.2s` as seconds by entry and percentile; p99 where none is named."""
    found: dict[str, dict[Quantity, float]] = {}
    names = [entry.service for entry in application.spec.entries]
    names += [f"{entry.service}/{entry.operation}" for entry in application.spec.entries if entry.operation]
    for text in slo:
        name, _, bound = text.partition("=")
        level, colon, value = bound.partition(":")
        level, value = (level, value) if colon else ("p99", bound)
        seconds = _seconds(value)
        if name not in names:
            raise InputError(f"--slo {text}: no entry {name!r}{nearest(name, names)}", cure="Name an entry's service.")
        known = next((one for one in SHARES if one == level), None)
        if known is None or seconds is None:
            cure = "Write ENTRY=200ms, ENTRY=0.2s or ENTRY=p95:200ms."
            raise InputError(f"--slo {text}: not a latency above 0 at p50, p90, p95 or p99", cure=cure)
        found.setdefault(name, {})[known] = seconds
    return found


def _seconds(text: str) -> float | None:
    for suffix, unit in (("ms", MILLISECOND), ("s", 1.0)):
        if text.endswith(suffix):
            try:
                value = float(text[: -len(suffix)]) * unit
            except ValueError:
                return None
            return value if 0.0 < value < math.inf else None
    return None


def _resources(
    application: Application, profiles: Mapping[str, ServiceProfileSpec], i: int
) -> tuple[float | None, float | None]:
    """CPU cores and GiB of one replica: what it requests, else what it was seen to use at its 95th percentile."""
    service = application.spec.services[i]
    profile, asked = profiles.get(service.name), service.requests
    cpu = asked.cpu_cores if asked and asked.cpu_cores else None
    memory = asked.memory_gib if asked and asked.memory_gib else None
    if profile is not None:
        replicas = profile.replicas.mean if profile.replicas and profile.replicas.mean > 0.0 else 1.0
        cpu = cpu or (profile.cpu_cores.p95 / replicas if profile.cpu_cores else None)
        memory = memory or (profile.memory_gib.p95 / replicas if profile.memory_gib else None)
    return cpu, memory


def _prices(application: Application, cpu: Sequence[float | None]) -> tuple[FloatArray, str]:
    paid = [service.usd_per_replica_hour for service in application.spec.services]
    if all(one is not None and one.value > 0.0 for one in paid):
        return np.array([one.value for one in paid if one is not None]), "USD/h"
    if all(cpu):
        return np.array(cpu, dtype=np.float64), "cores"
    return np.ones(len(paid)), "replicas"


def _running(current: Path | None, application: Application) -> tuple[dict[str, int], SloPlan | None]:
    """Replicas that run now: of ``current``, an Application or an earlier plan; else what the application says."""
    if current is None:
        return {one.name: one.replicas for one in application.spec.services if one.replicas}, None
    kinds = [data.get("kind") for data, _ in read_documents(current)]
    if "SloPlan" in kinds:
        earlier = read_plan(current, ("SloPlan",))
        assert isinstance(earlier, SloPlan)
        if earlier.decision is None:
            raise InputError(f"{current}: the plan has no decision", cure="Give a plan that found one.")
        return {one.service: one.replicas for one in earlier.decision.services}, earlier
    running = read_document(current, Application)
    return {one.name: one.replicas for one in running.spec.services if one.replicas}, None
