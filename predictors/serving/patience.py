"""Clients that give up: the queue time-out and the end-to-end time-out."""

from __future__ import annotations

import math

from predictors.serving.compiled import inlined, inner
from predictors.serving.lists import take_from_queue
from predictors.serving.state import (
    ABORTED,
    NONE,
    PENDING,
    PREFILLING,
    TIMED_OUT,
    TRANSFERRING,
    WAITING,
    Record,
    Records,
    World,
)
from predictors.serving.steps import finish, settle


@inner
def next_deadline_s(sequences: Records, options: Record) -> float:
    """When the next client gives up.

    Requests arrive in the order of their numbers, so one cursor per time-out passes those that are out of danger.
    """
    at = math.inf
    if not math.isinf(options.queue_timeout_s):
        while options.queue_seen < options.cursor and not _is_queued(sequences[options.queue_seen]):
            options.queue_seen += 1
        if options.queue_seen < options.cursor:
            at = sequences[options.queue_seen].arrival_s + options.queue_timeout_s
    if not math.isinf(options.abort_s):
        while options.abort_seen < options.cursor and sequences[options.abort_seen].status != PENDING:
            options.abort_seen += 1
        if options.abort_seen < options.cursor:
            at = min(at, sequences[options.abort_seen].arrival_s + options.abort_s)
    return at


@inner
def _is_queued(seq: Record) -> bool:
    """Whether a request waits for its first start."""
    return seq.status == PENDING and seq.place == WAITING and math.isnan(seq.started_s)


@inlined
def give_up(w: World, now: float) -> None:
    """The clients whose time is over leave."""
    options = w.options
    s = options.queue_seen
    if s < options.cursor and _is_queued(w.sequences[s]) and w.sequences[s].arrival_s + options.queue_timeout_s <= now:
        w.sequences[s].status = TIMED_OUT
        _leave_queue(w, s, now)
    s = options.abort_seen
    if s < options.cursor and w.sequences[s].status == PENDING and w.sequences[s].arrival_s + options.abort_s <= now:
        _abort(w, s, now)


@inner
def _leave_queue(w: World, s: int, now: float) -> None:
    take_from_queue(w.sequences, w.replicas[w.replicas[w.sequences[s].replica].queue], s)
    settle(w.sequences, w.events, w.tables, w.options, s, now)


@inlined
def _abort(w: World, s: int, now: float) -> None:
    """The client of request s leaves; a chunk being computed is computed to its end."""
    seq = w.sequences[s]
    seq.status = ABORTED
    if seq.place == WAITING:
        _leave_queue(w, s, now)
    elif seq.place == TRANSFERRING or (seq.place == PREFILLING and _is_in_step(w.sequences, w.lanes[seq.lane], s)):
        settle(w.sequences, w.events, w.tables, w.options, s, now)
    else:
        finish(w, s, now)


@inner
def _is_in_step(sequences: Records, lane: Record, s: int) -> bool:
    """Whether a chunk of request s is being computed."""
    if not lane.in_flight:
        return False
    other = lane.step_head
    while other != NONE:
        if other == s:
            return True
        other = sequences[other].step_next
    return False
