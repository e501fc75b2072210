"""Application and profiles → estimate: the network simulated, its bounds in closed form, and what limits it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from predictors.application.closed_form import end_to_end_bounds, service_means
from predictors.application.graph import FloatArray
from predictors.application.measures import QUANTITIES, Figures
from predictors.application.network import Network, network_of
from predictors.application.simulation import BATCHES, MOST_VISITS, OnProgress, Run, simulate
from predictors.application.stations import Queue, Station
from specs.application import ApplicationSpec, Quantity, ServiceProfileSpec
from specs.application_estimate import ApplicationBound, ApplicationEstimate, EntryFound, ServiceFound, Simulated
from specs.base import Metadata
from specs.plan import Evidence

SURELY = 1.645  # standard errors: 95 %, one-sided
WANTED_ERROR = 0.02  # of the p99 end to end, relative: above it a note says how to reach it
FEW_ABOVE = 30  # requests beyond the 99th percentile, fewer than which a note says so
MOST_EVIDENCE = 20


def estimate_application(
    metadata: Metadata,
    spec: ApplicationSpec,
    profiles: Mapping[str, ServiceProfileSpec],
    *,
    replicas: Mapping[str, int] | None = None,
    scale: float = 1.0,
    arrival_cv: float = 1.0,
    requests: int | None = None,
    seed: int = 0,
    on_progress: OnProgress = lambda done, total, what: None,
) -> ApplicationEstimate:
    """Say what the application does with these ``replicas`` at its rates times ``scale``.

    Raises `InputError` and `InfeasibleError` as `network_of` and `simulate` do. Ours.
    """
    network = network_of(spec, profiles, replicas=replicas, scale=scale, arrival_cv=arrival_cv)
    run = simulate(network, requests=requests, seed=seed, on_progress=on_progress)
    means_s = service_means(network)
    chosen = [(replicas or {}).get(one.name, one.replicas or 1) for one in spec.services]
    services = tuple(_services(network, run, means_s, chosen))
    worst = max(services, key=lambda one: one.utilisation)
    rate = float(network.graph.rate_per_s.sum())
    entries = tuple(_entries(spec, network, run, means_s))
    return ApplicationEstimate(
        metadata=metadata,
        rate_per_s=rate,
        latency_s=_latencies(run.all_entries),
        entries=entries,
        bounds=tuple(_bounds(spec, entries)),
        bottleneck=worst.service,
        ceiling_per_s=rate / worst.utilisation,
        ceiling_reason=_ceiling_reason(worst),
        services=services,
        simulation=_how(run, seed),
        notes=tuple(_notes(network, run)),
        evidence=tuple(_evidence(network.stations)),
    )


def _latencies(figures: Figures, column: int = 0) -> dict[Quantity, Simulated]:
    found: dict[Quantity, Simulated] = {}
    for quantity in QUANTITIES:
        value, error = figures.of(quantity, column)
        if math.isfinite(value):
            found[quantity] = Simulated(value=value, standard_error=error if math.isfinite(error) else None)
    return found


def _services(network: Network, run: Run, means_s: FloatArray, replicas: list[int]) -> Iterator[ServiceFound]:
    graph = network.graph
    load = graph.load_per_s
    per_request = load / graph.rate_per_s.sum()
    for i, one in enumerate(network.stations):
        queue = isinstance(one, Queue)
        limit = one.capacity_per_s if isinstance(one, Queue) else one.limit_per_s
        yield ServiceFound(
            service=graph.names[i],
            replicas=replicas[i],
            visits_per_s=float(load[i]),
            visits_per_request=float(per_request[i]),
            utilisation=float(load[i]) / limit,
            limit_per_s=limit,
            limited_by="capacity" if isinstance(one, Queue) else one.limited_by,
            latency_s=_latencies(run.response, i),
            wait_mean_s=float(run.wait_s[i]) if queue and run.visits[i] else None,
            closed_form_mean_s=float(means_s[i]),
        )


def _entries(spec: ApplicationSpec, network: Network, run: Run, means_s: FloatArray) -> Iterator[EntryFound]:
    low, high = end_to_end_bounds(network.graph, means_s)
    for i, entry in enumerate(spec.entries):
        yield EntryFound(
            service=entry.service,
            operation=entry.operation,
            rate_per_s=float(network.graph.rate_per_s[i]),
            latency_s=_latencies(run.entries[i]),
            mean_at_least_s=float(low[i]),
            mean_at_most_s=float(high[i]),
        )


def _bounds(spec: ApplicationSpec, entries: tuple[EntryFound, ...]) -> Iterator[ApplicationBound]:
    for entry, found in zip(spec.entries, entries, strict=True):
        name = f"{entry.service}/{entry.operation}" if entry.operation else entry.service
        for quantity, bound in (entry.slo.latency_s if entry.slo else {}).items():
            figure = found.latency_s.get(quantity)
            if figure is not None:
                error = figure.standard_error or 0.0
                yield ApplicationBound(
                    name=f"{name}.{quantity}", bound_s=bound, value_s=figure.value, standard_error_s=error,
                    holds=figure.value <= bound, surely=figure.value + SURELY * error <= bound,
                )  # fmt: skip


def _ceiling_reason(worst: ServiceFound) -> str:
    with_replicas = f"{worst.service} with {worst.replicas} replica{'s' if worst.replicas > 1 else ''}"
    if worst.limited_by == "capacity":
        return f"{with_replicas} does at most {worst.limit_per_s:.4g} visits per second"
    return f"{with_replicas} was measured up to {worst.limit_per_s:.4g} visits per second; beyond that nothing is known"


def _how(run: Run, seed: int) -> dict[str, float | int]:
    return {
        "requests": run.requests,
        "warm_up_requests": run.warm_up_requests,
        "batches": BATCHES,
        "visits": int(run.visits.sum()),
        "most_in_flight": run.most_in_flight,
        "seed": seed,
    }


def _notes(network: Network, run: Run) -> Iterator[str]:
    delays = [n for n, s in zip(network.graph.names, network.stations, strict=True) if not isinstance(s, Queue)]
    if delays:
        yield (
            f"{len(delays)} service{'s' if len(delays) > 1 else ''} answer as their curves say at this load; a curve"
            " measured with the calls to others in it counts those twice"
        )
    yield from _precision(run)
    if run.requests * 0.01 < FEW_ABOVE:
        yield f"{run.requests:,} requests: fewer than {FEW_ABOVE} lie beyond the 99th percentile"
    few = int(np.count_nonzero(run.visits < 100 * FEW_ABOVE))
    if few:
        yield f"{few} services were visited fewer than {100 * FEW_ABOVE:,} times: their p99 rests on few visits"


def _precision(run: Run) -> Iterator[str]:
    """Say by how much the wanted precision is missed and what would reach it: errors fall with √requests."""
    value, error = run.all_entries.of("p99")
    reached = error / value if value > 0 and math.isfinite(error) else math.inf
    if reached > WANTED_ERROR:
        times = (reached / WANTED_ERROR) ** 2
        more = (
            f"; about --requests {int(float(f'{times * run.requests:.2g}'))} reach it" if math.isfinite(times) else ""
        )
        yield f"the p99 is known to ± {reached:.1%}, not to the ± {WANTED_ERROR:.0%} wanted{more}"
    if run.cut:
        yield f"the run was bounded at {MOST_VISITS:,} visits with its warm-up: --requests N simulates as many as asked"


def _evidence(stations: tuple[Station, ...]) -> Iterator[Evidence]:
    """One entry per source, the least sure first, not more than twenty; then how many more."""
    entries = _by_source([one.evidence for one in stations])
    entries.sort(key=lambda e: (e.basis == "measured", -(e.error or 0.0)))
    yield from entries[:MOST_EVIDENCE]
    if len(entries) > MOST_EVIDENCE:
        rest = len(entries) - MOST_EVIDENCE
        yield Evidence(quantity=f"{rest} more services", basis=entries[-1].basis, source="as those above")


def _by_source(entries: list[Evidence]) -> list[Evidence]:
    """Put the entries together that say the same of several services."""
    groups: dict[tuple[str, str, str | None], list[Evidence]] = {}
    for one in entries:
        groups.setdefault((one.basis, one.source, one.note), []).append(one)
    return [
        group[0]
        if len(group) == 1
        else group[0].model_copy(update={"quantity": f"service times of {len(group)} services"})
        for group in groups.values()
    ]
