"""`profile services`: history, traces and load tests brought together into one profile per service and their graph."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from profilers.importers.load_tests import read_load_test
from profilers.importers.spans import read_spans
from profilers.services.curves import fit_curves
from profilers.services.graph import Graph, call_graph
from profilers.services.observed import GIB, by_workload, load_points, usage
from profilers.services.visits import cut_visits
from specs.application import (
    Application,
    ApplicationSpec,
    Entry,
    LoadPoint,
    Service,
    ServiceProfile,
    ServiceProfileSpec,
)
from specs.base import Metadata
from specs.errors import InputError
from specs.history import Recorded, Samples

OnProgress = Callable[[float, float, str], None]
PROFILES = "-services"  # the folder of the profiles is named after the application's file
_UNSAFE = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, kw_only=True)
class Services:
    """The application, whose services refer to ``profiles`` by the paths that are their keys."""

    application: Application
    profiles: dict[str, ServiceProfile] = field(default_factory=dict)


def profile_services(
    *,
    name: str,
    recorded: Recorded | None = None,
    traces: Sequence[Path] = (),
    load_tests: Sequence[str] = (),
    folder: str = f"application{PROFILES}",
    on_progress: OnProgress = lambda done, total, what: None,
) -> Services:
    """Return the application ``name`` from what is given of it: a history, trace files, load tests `[SERVICE=]FILE`.

    A load test without a service is of the entry, where traces or history show one. Services of traces and of history
    are one where their names agree. Raises `InputError` where nothing is given, a file breaks its form, or a load test
    cannot be given to a service.
    """
    if recorded is None and not traces and not load_tests:
        cure = "Give --prometheus URL or --export FILE, --traces FILE, --load-test FILE, or several of them."
        raise InputError("nothing to profile services from", cure=cure)
    graph, notes = _graph(traces)
    watched = by_workload(recorded) if recorded else {}
    tests = _tests(load_tests, graph, [named[1] for named in watched], notes)
    names = _names(watched, graph, tests)
    profiles: dict[str, ServiceProfile] = {}
    services = []
    for done, (service, (namespace, workload)) in enumerate(names.items()):
        on_progress(done, len(names), f"fitting {service}")
        series = watched.get((namespace, workload), [])
        one = _profile(service, namespace, recorded, series, graph, tests.get(service, []))
        path = f"{folder}/{_UNSAFE.sub('_', service)}.yaml"
        profiles[path] = one
        replicas = one.spec.replicas
        services.append(
            Service(
                name=service,
                namespace=namespace,
                profile=path,
                replicas=max(round(replicas.p50), 1) if replicas else None,
            )
        )
    spec = ApplicationSpec(
        services=tuple(services), calls=graph.calls if graph else (), entries=_entries(graph, tests, profiles),
        notes=(*notes, *(graph.notes if graph else ()), *_history_notes(recorded)),
    )  # fmt: skip
    return Services(application=Application(metadata=Metadata(name=name), spec=spec), profiles=profiles)


def _graph(traces: Sequence[Path]) -> tuple[Graph | None, list[str]]:
    if not traces:
        return None, []
    found = read_spans(list(traces))
    graph = call_graph(cut_visits(found.spans))
    if not graph.services:
        raise InputError(f"{traces[0]}: no trace in it is whole", cure="Export traces with their first span.")
    return graph, list(found.notes)


def _tests(
    given: Sequence[str], graph: Graph | None, watched: Sequence[str], notes: list[str]
) -> dict[str, list[LoadPoint]]:
    found: dict[str, list[LoadPoint]] = {}
    for text in given:
        service, equals, file = text.partition("=")
        if not equals or os.path.exists(text):
            service, file = _entry_of(text, graph, watched), text
        points, left_out = read_load_test(Path(file))
        notes += left_out
        found.setdefault(service, []).extend(points)
    return found


def _entry_of(text: str, graph: Graph | None, watched: Sequence[str]) -> str:
    entries = sorted({entry.service for entry in graph.entries}) if graph else list(dict.fromkeys(watched))
    if len(entries) == 1:
        return entries[0]
    if not entries:
        return "entry"
    cure = f"Give it as SERVICE={text}; entries: {', '.join(entries[:8])}."
    raise InputError(f"--load-test {text}: which service it was of cannot be told", cure=cure)


def _names(
    watched: dict[tuple[str | None, str], list[Samples]], graph: Graph | None, tests: dict[str, list[LoadPoint]]
) -> dict[str, tuple[str | None, str]]:
    """Name of each service → namespace and workload; a workload's name in two namespaces has the namespace before."""
    names: dict[str, tuple[str | None, str]] = {}
    workloads = [workload for _, workload in watched]
    for namespace, workload in watched:
        twice = workloads.count(workload) > 1 and namespace
        names[f"{namespace}/{workload}" if twice else workload] = (namespace, workload)
    called = {name for call in graph.calls for name in (call.caller, call.callee)} if graph else set()
    for name in sorted({*called, *(graph.services if graph else ()), *tests} - set(names)):
        names[name] = (None, name)
    return dict(sorted(names.items()))


def _profile(
    service: str, namespace: str | None, recorded: Recorded | None, series: list[Samples], graph: Graph | None,
    tested: list[LoadPoint],
) -> ServiceProfile:  # fmt: skip
    seen = graph.services.get(service) if graph else None
    points, latency, notes = load_points(series, recorded.step_s, recorded.window_s) if recorded else ([], {}, [])
    chosen = sorted(tested or points, key=lambda point: point.rate_per_s)
    curves, unfitted = fit_curves(chosen)
    sources = [recorded.source] if recorded and series else []
    sources += [f"{seen.visits} visits in traces"] if seen else []
    sources += sorted({one.source for one in tested if one.source})
    spec = ServiceProfileSpec(
        service=service, namespace=namespace, latency_s=latency or (seen.latency_s if seen else {}),
        self_time_s=seen.self_s if seen else {}, visits_per_request=seen.per_request if seen else None,
        cpu_cores=usage(series, "cpu_cores"), memory_gib=usage(series, "memory_bytes", GIB),
        replicas=usage(series, "replicas"), requests_per_s=usage(series, "requests_per_s"),
        points=tuple(chosen), curves=curves, sources=tuple(sources), notes=tuple(notes),
        missing=(*unfitted, *_missing(service, recorded)), **_when(recorded if series else None),
    )  # fmt: skip
    return ServiceProfile(metadata=Metadata(name=service), spec=spec)


def _missing(service: str, recorded: Recorded | None) -> list[str]:
    parts = recorded.missing if recorded else ()
    return [f"{part.quantity}: {part.why}" for part in parts if service in part.workloads]


def _when(recorded: Recorded | None) -> dict[str, object]:
    if recorded is None:
        return {}
    first, last = (float(recorded.time_s[at]) for at in (0, -1))
    return {"started": _utc(first), "ended": _utc(last), "step_s": recorded.step_s}


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _entries(
    graph: Graph | None, tests: dict[str, list[LoadPoint]], profiles: dict[str, ServiceProfile]
) -> tuple[Entry, ...]:
    """Entries of the traces with the rate that their service was seen to get; else those that were load-tested."""
    rates: dict[str, float] = {}
    for one in profiles.values():
        if one.spec.requests_per_s:
            rates[one.spec.service] = one.spec.requests_per_s.mean
    if graph is None:
        return tuple(Entry(service=name, rate_per_s=rates.get(name)) for name in sorted(tests))
    shares: dict[str, float] = {}
    for entry in graph.entries:
        shares[entry.service] = shares.get(entry.service, 0.0) + (entry.share or 0.0)
    return tuple(
        entry.model_copy(update={"rate_per_s": rates[entry.service] * (entry.share or 0.0) / shares[entry.service]})
        if entry.service in rates
        else entry
        for entry in graph.entries
    )


def _history_notes(recorded: Recorded | None) -> list[str]:
    if recorded is None:
        return []
    told = []
    for part in recorded.missing:
        whom = f" of {', '.join(part.workloads[:3])}{'…' if len(part.workloads) > 3 else ''}" if part.workloads else ""
        told.append(f"missing: {part.quantity}{whom}: {part.why}")
    return [*recorded.notes, *dict.fromkeys(told)]
