"""An Application document and the profiles of its services, read as a queueing network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from predictors.application.graph import Graph, read_graph
from predictors.application.stations import Station, station
from specs.application import ApplicationSpec, ServiceProfileSpec
from specs.errors import InputError
from specs.explaining import nearest


@dataclass(frozen=True, kw_only=True)
class Network:
    """A call graph with a station per service; ``arrival_cv``: of the gaps between requests, 1 is Poisson."""

    graph: Graph
    stations: tuple[Station, ...]
    arrival_cv: float = 1.0


def network_of(
    spec: ApplicationSpec,
    profiles: Mapping[str, ServiceProfileSpec],
    *,
    replicas: Mapping[str, int] | None = None,
    scale: float = 1.0,
    arrival_cv: float = 1.0,
) -> Network:
    """Return the network of ``spec`` with its rates times ``scale``; ``profiles`` by the services' names.

    ``replicas`` go before those of the document, of which a service without any has one. InputError and
    InfeasibleError as `read_graph` and `station`; InputError for replicas of a service that is not listed.
    """
    chosen = replicas or {}
    known = [service.name for service in spec.services]
    for name in set(chosen) - set(known):
        raise InputError(f"replicas of {name}: no such service{nearest(name, known)}", cure="Name a listed service.")
    graph = read_graph(spec, scale)
    load = graph.load_per_s
    stations = tuple(
        station(one, profiles.get(one.name), float(load[i]), chosen.get(one.name, one.replicas or 1))
        for i, one in enumerate(spec.services)
    )
    return Network(graph=graph, stations=stations, arrival_cv=arrival_cv)
