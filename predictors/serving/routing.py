"""How requests reach replicas: the routers, arrival with its admission limit, the end of a transfer."""

from __future__ import annotations

import math

from predictors.serving.blocks import matching_prefix, release
from predictors.serving.compiled import inlined, inner
from predictors.serving.lists import heap_pop, heap_push, push_back
from predictors.serving.state import (
    LEAST_LOADED,
    PENDING,
    PREFIX_AWARE,
    REJECTED,
    ROUND_ROBIN,
    WAITING,
    Record,
    Records,
    World,
)
from predictors.serving.steps import settle

IMBALANCE_REQUESTS = 32
IMBALANCE_RATIO = 1.5
"""A prefix-aware router prefers balance once its favourite holds so many requests, and so many times, more than the
least loaded replica (ours; cache-aware routers expose two thresholds of this kind)."""


@inner
def arrive(w: World, s: int, now: float) -> None:
    """Request s arrives at the router."""
    options = w.options
    r = _choose(w, w.sequences[s], options.entry_first, options.entry_count, options.turn)
    options.turn = (r + 1) % options.entry_count
    if w.replicas[w.replicas[r].queue].waiting >= options.max_waiting:
        w.sequences[s].status = REJECTED
        settle(w.sequences, w.events, w.tables, options, s, now)
        return
    _enqueue(w, s, r, now)


@inner
def _choose(w: World, seq: Record, first: int, count: int, turn: int) -> int:
    """The replica, among ``count`` from ``first`` on, that the router gives a request to."""
    router = w.options.router
    if router == ROUND_ROBIN:
        return first + turn % count
    if router == LEAST_LOADED:
        return _least_loaded(w.replicas, first, count, turn)
    if router == PREFIX_AWARE:
        return _longest_prefix(w, seq, first, count, turn)
    return first


@inner
def _load(rep: Record) -> int:
    return int(rep.running + rep.waiting)


@inner
def _least_loaded(replicas: Records, first: int, count: int, turn: int) -> int:
    """Fewest requests running and waiting; among equals the next in turn."""
    best = first + turn % count
    for step in range(1, count):
        r = first + (turn + step) % count
        if _load(replicas[r]) < _load(replicas[best]):
            best = r
    return best


@inner
def _longest_prefix(w: World, seq: Record, first: int, count: int, turn: int) -> int:
    """The replica that holds most of the prompt's prefix, unless it is far busier than the least loaded."""
    idle = _least_loaded(w.replicas, first, count, turn)
    if not w.replicas[first].hashed:
        return idle
    best, longest = idle, matching_prefix(w.cached, w.numbers, w.replicas[idle], seq)
    for r in range(first, first + count):
        shared = matching_prefix(w.cached, w.numbers, w.replicas[r], seq)
        if shared > longest or (shared == longest and _load(w.replicas[r]) < _load(w.replicas[best])):
            best, longest = r, shared
    most, least = _load(w.replicas[best]), _load(w.replicas[idle])
    return idle if most > least + IMBALANCE_REQUESTS and most > IMBALANCE_RATIO * least else best


@inner
def _enqueue(w: World, s: int, r: int, now: float) -> None:
    seq, queue = w.sequences[s], w.replicas[r].queue
    seq.replica, seq.place = r, WAITING
    push_back(w.sequences, w.replicas[queue], s)
    _wake_idle(w, queue, now)


@inner
def _wake_idle(w: World, queue: int, now: float) -> None:
    """Let the idle lanes that serve this queue look for work now."""
    for lane in range(w.replicas[queue].lane, len(w.lanes)):
        if w.replicas[w.lanes[lane].replica].queue != queue:
            return
        if math.isinf(w.lanes[lane].end_s):
            w.lanes[lane].end_s = now


@inlined
def next_arrival_s(w: World) -> float:
    """When the next request of an open loop arrives."""
    options = w.options
    if options.closed or options.cursor >= len(w.sequences):
        return math.inf
    return float(w.sequences[options.cursor].arrival_s)


@inner
def admit_next(w: World, now: float) -> None:
    """The next request of the trace arrives."""
    options = w.options
    s = options.cursor
    if s < len(w.sequences):
        options.cursor += 1
        w.sequences[s].arrival_s = now
        arrive(w, s, now)


@inlined
def timed_event(w: World, now: float) -> None:
    """A client's next request, or the end of a transfer."""
    options = w.options
    s = heap_pop(w.events, options)
    if s == len(w.sequences):
        admit_next(w, now)
        return
    seq = w.sequences[s]
    rep = w.replicas[seq.replica]
    release(w.cached, w.numbers, rep, seq, seq.target)
    _wake_idle(w, rep.queue, now)
    if seq.status == PENDING:
        seq.target = 0
        r = _choose(w, seq, options.decode_first, options.decode_count, options.decode_turn)
        options.decode_turn = (r - options.decode_first + 1) % options.decode_count
        _enqueue(w, s, r, now)


@inlined
def start_clients(w: World) -> None:
    """Closed loop: the clients' first requests, all at once or evenly over the start spread."""
    options = w.options
    for client in range(options.clients):
        heap_push(w.events, options, options.start_spread_s * client / options.clients, len(w.sequences))
