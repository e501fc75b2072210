"""The whole simulated: services with their caches, neighbours and the network between nodes, and what fails first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from planners.application.nodes import Placed, crossing
from planners.application.question import OnProgress, Question
from predictors.application.estimate import estimate_application
from predictors.application.graph import read_graph
from specs.application import ApplicationSpec, Call, Service, ServiceTime
from specs.application_estimate import ApplicationBound, ApplicationEstimate
from specs.application_plan import FailsFirst
from specs.base import Metadata
from specs.errors import InfeasibleError

NETWORK = "network "
ROOM = 100.0  # a network holds so many times the calls that are on it
SEARCHES = 6
SEARCH_REQUESTS = 60_000
MOST_FACTOR = 100.0


@dataclass(frozen=True)
class Whole:
    """The application as it will run, its replicas and profiles, and its simulation."""

    spec: ApplicationSpec
    replicas: Mapping[str, int]
    estimate: ApplicationEstimate

    @property
    def holds(self) -> bool:
        """Whether every bound holds."""
        return all(one.holds for one in self.estimate.bounds)

    @property
    def over(self) -> float:
        """The tightest bound's latency over it."""
        return max((one.value_s / one.bound_s for one in self.estimate.bounds), default=0.0)


def simulate_whole(
    question: Question, spec: ApplicationSpec, replicas: Mapping[str, int], where: Placed, on_progress: OnProgress,
    requests: int | None = None,
) -> Whole:  # fmt: skip
    """Simulate ``spec`` with its replicas where they were placed. Raises as `estimate_application` does."""
    real = with_network(question, slowed(spec, where.slowdown), where)
    return Whole(real, replicas, _simulated(question, real, replicas, question.load.scale, requests, on_progress))


def _simulated(
    question: Question, spec: ApplicationSpec, replicas: Mapping[str, int], scale: float, requests: int | None,
    on_progress: OnProgress = lambda *_: None,
) -> ApplicationEstimate:  # fmt: skip
    return estimate_application(
        Metadata(name=question.application.metadata.name), spec, question.profiles, replicas=replicas, scale=scale,
        requests=requests, seed=question.seed, on_progress=on_progress,
    )  # fmt: skip


def slowed(spec: ApplicationSpec, slowdown: Mapping[str, float]) -> ApplicationSpec:
    """The application with service times longer by what neighbours do to them."""
    services = []
    for one in spec.services:
        factor = slowdown.get(one.name, 1.0)
        if one.service_time is not None and factor > 1.0:
            time = one.service_time.model_copy(update={"mean_s": one.service_time.mean_s * factor})
            one = one.model_copy(update={"service_time": time})
        services.append(one)
    return spec.model_copy(update={"services": tuple(services)})


def with_network(question: Question, spec: ApplicationSpec, where: Placed) -> ApplicationSpec:
    """The application with a station of ample room on each call that may leave its node.

    A call takes the network's time with the probability that its replicas stand on two nodes, else none: mean p·t and
    variance p(1 − p)t², drawn as a lognormal of these (ours).
    """
    graph = read_graph(spec, question.load.scale)
    load = dict(zip(graph.names, graph.load_per_s.tolist(), strict=True))
    calls: list[Call] = []
    stations: list[Service] = []
    for number, call in enumerate(spec.calls):
        part = crossing(where, call.caller, call.callee)
        mean = part * question.call.value
        if mean <= 0.0:
            calls.append(call)
            continue
        name = f"{NETWORK}{call.caller} → {call.callee} ({number})"
        cv = math.sqrt(max(1.0 / part - 1.0, 0.0))
        at_once = load[call.caller] * call.calls_per_request * mean
        time = ServiceTime(mean_s=mean, cv=cv, distribution="lognormal" if cv > 0.0 else "deterministic")
        stations.append(Service(name=name, concurrency=math.ceil(ROOM * at_once) + 100, service_time=time))
        calls += [call.model_copy(update={"callee": name}), Call(caller=name, callee=call.callee)]
    return spec.model_copy(update={"services": (*spec.services, *stations), "calls": tuple(calls)})


def longest_network(question: Question, spec: ApplicationSpec, call_s: Mapping[tuple[str, str], float]) -> list[float]:
    """Network time on the longest way that each entry waits for, seconds; calls in a row count each. [entries]"""
    graph = read_graph(spec, question.load.scale)
    below = [0.0] * len(graph.names)
    for i in graph.order[::-1].tolist():
        stages: dict[int, float] = {}
        for call in range(int(graph.first[i]), int(graph.first[i + 1])):
            if graph.waited[call]:
                j = int(graph.callee[call])
                times = 1.0 if graph.side_by_side[call] else math.ceil(float(graph.calls[call]) - 1e-9)
                value = times * (call_s.get((graph.names[i], graph.names[j]), 0.0) + below[j])
                stages[int(graph.stage[call])] = max(stages.get(int(graph.stage[call]), 0.0), value)
        below[i] = sum(stages.values())
    return [below[i] for i in graph.entry.tolist()]


def fails_first(question: Question, whole: Whole) -> tuple[float, FailsFirst]:
    """Return the highest rate found that keeps every bound, and what gives way above it, by bisection on the load."""
    rate = question.load.rate_per_s
    ceiling = whole.estimate.ceiling_per_s / rate
    low, high = 1.0, min(ceiling, MOST_FACTOR)
    broken: ApplicationBound | None = None
    for _ in range(SEARCHES):
        middle = 0.5 * (low + high)
        bound = _broken(question, whole, middle)
        if bound is None:
            low = middle
        else:
            high, broken = middle, bound if isinstance(bound, ApplicationBound) else broken
    if broken is not None and high < 0.999 * ceiling:
        text = f"{broken.name} ≤ {1e3 * broken.bound_s:.4g} ms: {1e3 * broken.value_s:.4g} ms at that load"
        return rate * low, FailsFirst(what=text, rate_per_s=rate * high, factor=high, kind="bound")
    text = f"{whole.estimate.bottleneck}: {whole.estimate.ceiling_reason}"
    return rate * low, FailsFirst(what=text, rate_per_s=rate * ceiling, factor=ceiling, kind="capacity")


def _broken(question: Question, whole: Whole, factor: float) -> ApplicationBound | str | None:
    try:
        found = _simulated(question, whole.spec, whole.replicas, question.load.scale * factor, SEARCH_REQUESTS)
    except InfeasibleError:
        return "capacity"
    return max((one for one in found.bounds if not one.holds), key=lambda one: one.value_s / one.bound_s, default=None)
