"""How requests reach replicas: the routers, arrival with its admission limit, transfers, and what clients give up."""

from __future__ import annotations

import math

from predictors.serving.blocks import matching_prefix, release
from predictors.serving.compiled import inner
from predictors.serving.lists import heap_pop, heap_push, push_back, take_from_queue
from predictors.serving.state import (
    ABORTED,
    LEAST_LOADED,
    NONE,
    PENDING,
    PREFILLING,
    PREFIX_AWARE,
    REJECTED,
    ROUND_ROBIN,
    TIMED_OUT,
    TRANSFERRING,
    WAITING,
    World,
)
from predictors.serving.steps import finish, settle

IMBALANCE_REQUESTS = 32
IMBALANCE_RATIO = 1.5
"""A prefix-aware router prefers balance once the favourite holds so many requests, and so many times, more than the
least loaded replica (ours; the two thresholds are those that cache-aware routers expose)."""


@inner
def arrive(w: World, s: int, now: float) -> None:
    """Request s arrives at the router."""
    options = w.options[0]
    r = choose_replica(w, s, options.entry_first, options.entry_count)
    if w.queues[w.replicas[r].queue].length >= options.max_waiting:
        settle(w, s, now, REJECTED)
        return
    _enqueue(w, s, r, now)


@inner
def choose_replica(w: World, s: int, first: int, count: int) -> int:
    """The replica, among ``count`` from ``first`` on, that the router gives request s to."""
    options = w.options[0]
    turn = options.turn if first == options.entry_first else options.decode_turn
    if options.router == ROUND_ROBIN:
        chosen = first + turn % count
    elif options.router == LEAST_LOADED:
        chosen = _least_loaded(w, first, count, turn)
    elif options.router == PREFIX_AWARE:
        chosen = _longest_prefix(w, s, first, count, turn)
    else:
        chosen = first
    if first == options.entry_first:
        options.turn = (chosen - first + 1) % count
    else:
        options.decode_turn = (chosen - first + 1) % count
    return chosen


@inner
def _load(w: World, r: int) -> int:
    rep = w.replicas[r]
    return rep.running + w.queues[rep.queue].length


@inner
def _least_loaded(w: World, first: int, count: int, turn: int) -> int:
    """Fewest requests running and waiting; among equals the next in turn."""
    best = first + turn % count
    for step in range(1, count):
        r = first + (turn + step) % count
        if _load(w, r) < _load(w, best):
            best = r
    return best


@inner
def _longest_prefix(w: World, s: int, first: int, count: int, turn: int) -> int:
    """The replica that holds most of the prompt's prefix, unless it is far busier than the least loaded."""
    idle = _least_loaded(w, first, count, turn)
    if w.limits[w.replicas[first].role].hashed == 0:
        return idle
    best, longest = idle, matching_prefix(w, idle, s)
    for r in range(first, first + count):
        shared = matching_prefix(w, r, s)
        if shared > longest or (shared == longest and _load(w, r) < _load(w, best)):
            best, longest = r, shared
    least = _load(w, idle)
    if _load(w, best) > least + IMBALANCE_REQUESTS and _load(w, best) > IMBALANCE_RATIO * least:
        return idle
    return best


@inner
def _enqueue(w: World, s: int, r: int, now: float) -> None:
    seq = w.sequences[s]
    seq.replica, seq.place = r, WAITING
    push_back(w, w.replicas[r].queue, s)
    wake_idle(w, w.replicas[r].queue, now)


@inner
def wake_idle(w: World, q: int, now: float) -> None:
    """Let the idle lanes that serve queue q look for work now."""
    for r in range(q, len(w.replicas)):
        rep = w.replicas[r]
        if rep.queue != q:
            return
        for lane_id in range(rep.lane, rep.lane + rep.lanes):
            if math.isinf(w.lane_end_s[lane_id]):
                w.lane_end_s[lane_id] = now


@inner
def next_arrival_s(w: World) -> float:
    """When the next request of an open loop arrives."""
    options = w.options[0]
    if options.closed or options.cursor >= len(w.sequences):
        return math.inf
    return w.sequences[options.cursor].arrival_s


@inner
def admit_next(w: World, now: float) -> None:
    """The next request of the trace arrives."""
    options = w.options[0]
    s = options.cursor
    if s >= len(w.sequences):
        return
    options.cursor += 1
    w.sequences[s].arrival_s = now
    arrive(w, s, now)


@inner
def timed_event(w: World, now: float) -> None:
    """A client's next request, or the end of a transfer."""
    s = heap_pop(w)
    if s == NONE:
        admit_next(w, now)
        return
    options = w.options[0]
    seq = w.sequences[s]
    release(w, s, seq.target)
    wake_idle(w, w.replicas[seq.replica].queue, now)
    if seq.status == PENDING:
        seq.target = 0
        _enqueue(w, s, choose_replica(w, s, options.decode_first, options.decode_count), now)


@inner
def start_clients(w: World, concurrency: int, spread_s: float) -> None:
    """Closed loop: the clients' first requests, all at once or evenly over ``spread_s``."""
    for client in range(concurrency):
        heap_push(w, spread_s * client / concurrency, NONE)


@inner
def next_deadline_s(w: World) -> float:
    """When the next client gives up: queue time-out or end-to-end time-out, whichever is first."""
    options = w.options[0]
    at = math.inf
    if not math.isinf(options.queue_timeout_s):
        while options.queue_seen < options.cursor and not _is_queued(w, options.queue_seen):
            options.queue_seen += 1
        if options.queue_seen < options.cursor:
            at = w.sequences[options.queue_seen].arrival_s + options.queue_timeout_s
    if not math.isinf(options.abort_s):
        while options.abort_seen < options.cursor and w.sequences[options.abort_seen].status != PENDING:
            options.abort_seen += 1
        if options.abort_seen < options.cursor:
            at = min(at, w.sequences[options.abort_seen].arrival_s + options.abort_s)
    return at


@inner
def _is_queued(w: World, s: int) -> bool:
    seq = w.sequences[s]
    return seq.status == PENDING and seq.place == WAITING and math.isnan(seq.started_s)


@inner
def give_up(w: World, now: float) -> None:
    """The clients whose time is over leave."""
    options = w.options[0]
    s = options.queue_seen
    if not math.isinf(options.queue_timeout_s) and s < options.cursor and _is_queued(w, s):
        if w.sequences[s].arrival_s + options.queue_timeout_s <= now:
            take_from_queue(w, w.replicas[w.sequences[s].replica].queue, s)
            settle(w, s, now, TIMED_OUT)
    s = options.abort_seen
    if not math.isinf(options.abort_s) and s < options.cursor and w.sequences[s].status == PENDING:
        if w.sequences[s].arrival_s + options.abort_s <= now:
            _abort(w, s, now)


@inner
def _abort(w: World, s: int, now: float) -> None:
    seq = w.sequences[s]
    if seq.place == WAITING:
        take_from_queue(w, w.replicas[seq.replica].queue, s)
        settle(w, s, now, ABORTED)
    elif seq.place == TRANSFERRING or (seq.place == PREFILLING and _is_in_step(w, s)):
        settle(w, s, now, ABORTED)
    else:
        finish(w, s, now, ABORTED)


@inner
def _is_in_step(w: World, s: int) -> bool:
    """Whether a chunk of request s is being computed; it then leaves when the step ends."""
    lane = w.lanes[w.sequences[s].lane]
    if not lane.in_flight:
        return False
    other = lane.step_head
    while other != NONE:
        if other == s:
            return True
        other = w.sequences[other].step_next
    return False
