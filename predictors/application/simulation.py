"""One simulation from a network to what was measured: the kernel's arrays, arrivals fed in batches, and measures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from predictors.application import kernel
from predictors.application.closed_form import end_to_end_bounds, service_means
from predictors.application.graph import FloatArray, Graph, IntArray
from predictors.application.kernel import World, run_kernel
from predictors.application.measures import Figures, batch_figures, exact_figures, histogram_figures
from predictors.application.network import Network
from predictors.application.stations import Queue, Station
from specs.errors import InfeasibleError, InputError

BATCHES = 20
FEWEST_WARM_UP_BATCHES = 2
WARM_UP_RESPONSES = 3.0  # at least so many mean response times pass before anything is measured
VISITS = 4_000_000  # simulated, unless the number of requests is given
FEWEST_REQUESTS, MOST_REQUESTS = 2_000, 400_000
MOST_VISITS = 20_000_000  # with those of the warm-up and behind the last request, unless the number is given
BEHIND_RESPONSES = 1.5  # mean responses until the last request is answered
MOST_VISITS_PER_REQUEST = 1_000_000
MOST_VISITS_AT_ONCE = 20_000_000  # 1.8 GB of arrays
OnProgress = Callable[[float, float, str], None]


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one simulation measured; seconds.

    ``response``: at each service, wait and own work of one visit, calls to others left out; ``wait``: the mean wait.
    ``entries``: end to end, from each entry; ``all_entries``: of all requests. ``busy``: mean servers at work.
    """

    response: Figures  # [services]
    wait_s: FloatArray  # [services]
    busy: FloatArray  # [services]
    visits: IntArray  # [services]
    entries: tuple[Figures, ...]  # each of shape [1]
    all_entries: Figures  # [1]
    answer_s: FloatArray  # [requests] in order of arrival
    entry_of: IntArray  # [requests]
    requests: int
    warm_up_requests: int
    most_in_flight: int
    cut: bool  # the bound on the visits of a run left fewer requests than wanted, or a shorter warm-up


@dataclass(frozen=True)
class Course:
    """Twenty batches of ``size`` requests are measured after ``warm_up`` batches; at most ``behind`` requests follow.

    ``cut``: fewer than wanted, or a shorter warm-up, because the visits of a run are bounded.
    """

    size: int
    warm_up: int
    behind: int | None
    cut: bool


def default_requests(graph: Graph) -> int:
    """Return as many requests as make about four million visits, at least 2,000 and at most 400,000."""
    return int(np.clip(VISITS / _visits_per_request(graph), FEWEST_REQUESTS, MOST_REQUESTS))


def _visits_per_request(graph: Graph) -> float:
    return float(graph.load_per_s.sum() / graph.rate_per_s.sum())


def course_of(network: Network, requests: int | None = None) -> Course:
    """Return how long to simulate: ``requests``, or `default_requests`.

    The warm-up is a tenth as many, or three mean responses where that is longer. Where the number is not given, all
    together make at most twenty million visits: first fewer requests are measured, then the warm-up is cut. Ours.
    """
    graph = network.graph
    low, _ = end_to_end_bounds(graph, service_means(network))
    in_flight = float(low.max() * graph.rate_per_s.sum())
    wanted = requests or default_requests(graph)
    full = _course(max(wanted, BATCHES), WARM_UP_RESPONSES * in_flight)
    most = int(MOST_VISITS / _visits_per_request(graph))
    if requests is not None or (full.size * (BATCHES + full.warm_up) + BEHIND_RESPONSES * in_flight) <= most:
        return full
    share = BATCHES / (BATCHES + FEWEST_WARM_UP_BATCHES)
    spare = min(most - (WARM_UP_RESPONSES + BEHIND_RESPONSES) * in_flight, share * most)
    size = max(int(min(spare, wanted)) // BATCHES, 1)
    fewer = _course(size * BATCHES, WARM_UP_RESPONSES * in_flight)
    left = max(most - fewer.size * BATCHES, 0)
    warm_up = min(fewer.warm_up, max(left // (2 * fewer.size), FEWEST_WARM_UP_BATCHES))
    behind = max(left - fewer.size * warm_up, 0)
    return Course(fewer.size, warm_up, behind, cut=True)


def _course(requests: int, warm_up_requests: float) -> Course:
    size = -(-requests // BATCHES)
    return Course(size, max(FEWEST_WARM_UP_BATCHES, math.ceil(warm_up_requests / size)), None, cut=False)


def simulate(
    network: Network,
    *,
    requests: int | None = None,
    seed: int = 0,
    on_progress: OnProgress = lambda done, total, what: None,
) -> Run:
    """Run ``requests`` requests after some to warm up, and others behind them until all are answered (`course_of`).

    Twenty batches give the standard errors (batch means, std). Events are streamed: memory grows with the visits in
    flight, not with the length of the run. InfeasibleError where a queue does not keep up; InputError for a graph in
    which one request makes more than a million visits. Ours.
    """
    refuse_overload(network)
    _refuse_explosion(network.graph)
    course = course_of(network, requests)
    size, unmeasured = course.size, course.warm_up
    arrivals = _Arrivals(network, seed)
    feed = _Feed(_world(network, size * (BATCHES + unmeasured)), seed)
    sums = _Sums(feed.world)
    for batch in range(unmeasured + BATCHES):
        feed.take(*arrivals.next(size))
        feed.batch(sums if batch >= unmeasured else None)
        on_progress(batch + 1, unmeasured + BATCHES, "simulating requests")
    entry_of = np.concatenate(arrivals.entries)[unmeasured * size :]
    _answer_all(feed, arrivals, course)
    return _collected(network, feed.world, sums, entry_of, course)


def _answer_all(feed: _Feed, arrivals: _Arrivals, course: Course) -> None:
    """Feed requests behind the measured ones until those are answered; without more where the course is bounded."""
    left = math.inf if course.behind is None else course.behind
    while feed.world.counts[kernel.ANSWERED] < len(feed.world.answer_s):
        count = int(min(-(-course.size // 4), left))
        feed.take(*arrivals.next(count), drain=count == 0)
        left -= count


def refuse_overload(network: Network) -> None:
    """Raise `InfeasibleError` where a service is asked more than its servers can do, naming the worst and its cure."""
    load = network.graph.load_per_s
    shares = [
        (float(rate) / one.capacity_per_s, i)
        for i, (rate, one) in enumerate(zip(load, network.stations, strict=True))
        if isinstance(one, Queue)
    ]
    worst, i = max(shares, default=(0.0, 0))
    if worst < 1.0:
        return
    one = network.stations[i]
    assert isinstance(one, Queue)
    others = sum(share >= 1.0 for share, _ in shares) - 1
    more = f"; {others} more services do not keep up either" if others else ""
    text = (
        f"service {network.graph.names[i]}: it is asked {load[i]:.4g} visits per second and {one.servers} at a time"
        f" of {one.mean_s:.4g} s each do {one.capacity_per_s:.4g}{more}"
    )
    raise InfeasibleError(text, cure=f"Run {worst:.3g} times as many replicas or more, or send {1 / worst:.0%} of it.")


class _Arrivals:
    """Gaps drawn at the total rate, each request's entry in proportion to the entries' rates."""

    def __init__(self, network: Network, seed: int) -> None:
        graph = network.graph
        self.rng = np.random.default_rng([seed, 1])
        self.rate = float(graph.rate_per_s.sum())
        self.shape = 1.0 / network.arrival_cv**2 if network.arrival_cv > 0.0 else np.inf
        self.upto = np.cumsum(graph.rate_per_s) / self.rate
        self.service = graph.entry
        self.now_s = 0.0
        self.entries: list[IntArray] = []

    def next(self, count: int) -> tuple[FloatArray, IntArray]:
        mean = 1.0 / self.rate
        regular = np.isinf(self.shape)
        gaps = np.full(count, mean) if regular else self.rng.gamma(self.shape, mean / self.shape, count)
        times = self.now_s + np.cumsum(gaps)
        self.now_s = float(times[-1]) if count else self.now_s
        entry = np.minimum(np.searchsorted(self.upto, self.rng.random(count), side="right"), len(self.upto) - 1)
        self.entries.append(entry.astype(np.int64))
        return times, self.service[entry]


class _Sums:
    """What the batches measured at the services, [services], added up; the figures of each batch."""

    def __init__(self, world: World) -> None:
        n = len(world.visits)
        self.histogram = np.zeros(world.histogram.shape, dtype=np.int64)
        self.response_s, self.wait_s, self.busy_s = (np.zeros(n) for _ in range(3))
        self.visits = np.zeros(n, dtype=np.int64)
        self.span_s = 0.0
        self.batches: list[FloatArray] = []

    def add(self, w: World, span_s: float) -> None:
        for name in ("histogram", "response_s", "wait_s", "busy_s", "visits"):
            total = getattr(self, name)
            total += getattr(w, name)
        self.span_s += span_s
        self.batches.append(histogram_figures(w.histogram, w.response_s, w.visits, w.scale_s))

    def figures(self, scale_s: FloatArray) -> Figures:
        whole = histogram_figures(self.histogram, self.response_s, self.visits, scale_s)
        return batch_figures(whole, self.batches)


class _Feed:
    """A world, the requests it has been fed so far, and room that grows."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.seed, self.fed = world, seed, 0
        self.began_s = self.now_s = 0.0

    def take(self, times: FloatArray, services: IntArray, *, drain: bool = False) -> None:
        self.world.counts[kernel.NEXT_ARRIVAL] = 0
        while run_kernel(self.world, times, services, self.fed, self.seed, drain) == kernel.FULL:
            self.world = _grown(self.world)
        self.fed += len(times)
        self.now_s = float(times[-1]) if len(times) else self.now_s

    def batch(self, sums: _Sums | None) -> None:
        """Add what the services measured since the last batch to ``sums``, or drop it, and begin a new one."""
        w = self.world
        if sums is not None:
            sums.add(w, self.now_s - self.began_s)
        for array in (w.histogram, w.response_s, w.wait_s, w.busy_s, w.visits):
            array[:] = 0
        self.began_s = self.now_s


def _refuse_explosion(graph: Graph) -> None:
    most = float(graph.visits.sum(axis=1).max())
    if most > MOST_VISITS_PER_REQUEST:
        text = (
            f"spec.calls: one request makes {most:.3g} visits, more than the {MOST_VISITS_PER_REQUEST:,} simulated:"
            " services called over several paths are visited once per path"
        )
        raise InputError(text, cure="Lower calls_per_request to what is measured (`tonnage profile services`).")


def _world(network: Network, requests: int) -> World:
    graph, n = network.graph, len(network.stations)
    kinds, first, second, z, logs = _drawing(network.stations)
    whole = np.floor(graph.calls + 1e-12)
    most = int(np.ceil(graph.calls).sum()) + 1
    per_visit = _room(max(1024, 2 * most))
    capacity = len(per_visit["link"])
    zeros = np.zeros
    return World(
        servers=np.asarray([s.servers if isinstance(s, Queue) else 0 for s in network.stations], dtype=np.int64),
        kind=kinds, first_parameter=first, second_parameter=second, table_z=z, table_log_s=logs,
        busy=zeros(n, np.int64), head=np.full(n, -1), tail=np.full(n, -1),
        first_call=graph.first, callee=graph.callee, whole_calls=whole.astype(np.int64),
        part_call=np.maximum(graph.calls - whole, 0.0), stage=graph.stage, side_by_side=graph.side_by_side,
        waited=graph.waited, **per_visit, heap_s=zeros(capacity), heap_visit=zeros(capacity, np.int64),
        counts=zeros(kernel.COUNTS, np.int64), histogram=zeros((n, kernel.BUCKETS), np.int32),
        scale_s=np.asarray([_scale_s(s) for s in network.stations]), response_s=zeros(n), wait_s=zeros(n),
        busy_s=zeros(n), visits=zeros(n, np.int64), answer_s=np.full(requests, np.nan), most_launched=most,
    )  # fmt: skip


def _scale_s(one: Station) -> float:
    return one.mean_s if isinstance(one, Queue) else float(np.exp(np.median(one.log_s)))


def _room(capacity: int) -> dict[str, Any]:
    """Arrays per visit in flight, every place free and linked to the next."""
    names = ("service", "parent", "call", "repeats_left", "pending", "next_call", "request")
    found: dict[str, Any] = {name: np.zeros(capacity, dtype=np.int64) for name in names}
    found["link"] = np.arange(1, capacity + 1)
    found["key"], found["arrived_s"] = np.zeros(capacity, dtype=np.uint64), np.zeros(capacity)
    return found


def _grown(w: World) -> World:
    """The same world with twice the room."""
    old = len(w.link)
    if 2 * old > max(MOST_VISITS_AT_ONCE, 4 * w.most_launched):
        text = f"more than {MOST_VISITS_AT_ONCE:,} visits are in flight at once, which is what a simulation holds"
        raise InfeasibleError(text, cure="Lower the load, or add replicas where visits wait.")
    room = _room(2 * old)
    for name, array in room.items():
        array[:old] = getattr(w, name)
    # Places are handed out from the front of the free list, whose last link pointed just past the old end.
    heap_s, heap_visit = np.zeros(2 * old), np.zeros(2 * old, dtype=np.int64)
    heap_s[:old], heap_visit[:old] = w.heap_s, w.heap_visit
    return w._replace(heap_s=heap_s, heap_visit=heap_visit, **room)


def _drawing(stations: tuple[Station, ...]) -> tuple[IntArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Kind and two parameters of each station's times, and the tables of those that are read at the load."""
    kinds, first, second = (np.zeros(len(stations)) for _ in range(3))
    z: list[float] = []
    logs: list[float] = []
    for i, one in enumerate(stations):
        if not isinstance(one, Queue):
            kinds[i], first[i], second[i] = kernel.TABLE, len(z), len(one.scores)
            z += one.scores
            logs += one.log_s
        elif one.distribution == "lognormal":
            variance = np.log1p(one.cv**2)
            kinds[i], first[i], second[i] = kernel.LOGNORMAL, np.log(one.mean_s) - variance / 2.0, np.sqrt(variance)
        else:
            kinds[i] = kernel.EXPONENTIAL if one.distribution == "exponential" else kernel.DETERMINISTIC
            first[i] = one.mean_s
    return kinds.astype(np.int64), first, second, np.asarray(z or [0.0]), np.asarray(logs or [0.0])


def _collected(network: Network, w: World, sums: _Sums, entry_of: IntArray, course: Course) -> Run:
    answers = w.answer_s[-BATCHES * course.size :]
    batch_of = np.arange(len(answers)) // course.size
    entries = range(len(network.graph.entry))
    seen = sums.visits > 0
    return Run(
        response=sums.figures(w.scale_s),
        wait_s=np.divide(sums.wait_s, sums.visits, out=np.full(len(seen), np.nan), where=seen),
        busy=sums.busy_s / sums.span_s,
        visits=sums.visits,
        entries=tuple(exact_figures(answers[entry_of == e], batch_of[entry_of == e], BATCHES) for e in entries),
        all_entries=exact_figures(answers, batch_of, BATCHES),
        answer_s=answers,
        entry_of=entry_of,
        requests=len(answers),
        warm_up_requests=len(w.answer_s) - len(answers),
        most_in_flight=int(w.counts[kernel.PEAK]),
        cut=course.cut,
    )
