"""The network in closed form: mean response of each service, and bounds on the mean end to end."""

from __future__ import annotations

import numpy as np

from predictors.application.graph import FloatArray, Graph
from predictors.application.network import Network
from predictors.application.stations import Delay, Queue, Station
from solvers.queues import gigc_wait_mean

_SCORES = np.linspace(-8.0, 8.0, 2001)
_WEIGHTS = np.exp(-(_SCORES**2) / 2.0) / np.exp(-(_SCORES**2) / 2.0).sum()


def service_means(network: Network) -> FloatArray:
    """Mean wait and work of one visit, seconds; [services].

    Queues as M/G/c by Allen and Cunneen (std; exact for M/M/c, and for the whole network where every service is
    exponential and arrivals are Poisson: Jackson 1957); delays by the mean of their distribution.
    """
    load = network.graph.load_per_s.tolist()
    return np.asarray([_mean(one, rate) for one, rate in zip(network.stations, load, strict=True)])


def _mean(one: Station, rate_per_s: float) -> float:
    if isinstance(one, Queue):
        return one.mean_s + gigc_wait_mean(rate_per_s, one.mean_s, one.servers, 1.0, one.cv)
    return delay_mean(one)


def delay_mean(one: Delay) -> float:
    """The mean of the distribution that a delay draws from, seconds: its quantile function over normal scores."""
    scores, logs = np.asarray(one.scores), np.asarray(one.log_s)
    slopes = np.diff(logs) / np.diff(scores)
    at = np.clip(np.searchsorted(scores, _SCORES, side="left") - 1, 0, len(slopes) - 1)
    return float(_WEIGHTS @ np.exp(logs[at] + slopes[at] * (_SCORES - scores[at])))


def end_to_end_bounds(graph: Graph, means_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The least and the most that the mean response from each entry can be, given the means of the services; [entries].

    Stages add. A stage of calls side by side lasts at least as long as the longest mean and at most as long as their
    sum (E max Tᵢ lies between max E Tᵢ and Σ E Tᵢ, std), whatever the dependence between them.
    """
    low, high = means_s.copy(), means_s.copy()
    for service in graph.order[::-1].tolist():
        calls = range(int(graph.first[service]), int(graph.first[service + 1]))
        stages: dict[int, tuple[float, float]] = {}
        for call in calls:
            if graph.waited[call]:
                callee, each = graph.callee[call], float(graph.calls[call])
                least = min(each, 1.0) if graph.side_by_side[call] else each
                longest, total = stages.get(int(graph.stage[call]), (0.0, 0.0))
                stages[int(graph.stage[call])] = (max(longest, least * low[callee]), total + each * high[callee])
        low[service] += sum(longest for longest, _ in stages.values())
        high[service] += sum(total for _, total in stages.values())
    return low[graph.entry], high[graph.entry]
