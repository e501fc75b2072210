"""An application of services that call each other: its queueing network, in closed form and simulated."""

from __future__ import annotations

from predictors.application.graph import Graph, read_graph
from predictors.application.network import Network, network_of
from predictors.application.simulation import Run, simulate
from predictors.application.stations import Delay, Queue, Station

__all__ = ["Delay", "Graph", "Network", "Queue", "Run", "Station", "network_of", "read_graph", "simulate"]
