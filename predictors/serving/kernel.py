"""The compiled loop: events in order of time, over all lanes, arrivals, transfers and deadlines."""

from __future__ import annotations

import math

from predictors.serving.batching import start_step
from predictors.serving.coasting import coast
from predictors.serving.compiled import entry, inlined
from predictors.serving.patience import give_up, next_deadline_s
from predictors.serving.routing import admit_next, next_arrival_s, start_clients, timed_event
from predictors.serving.state import NONE, World
from predictors.serving.steps import complete_step


@entry
def run_kernel(w: World) -> None:
    """Serve all requests of ``w`` to the end, to the early stop or to the pause, from where the last call left them."""
    options = w.options
    if options.started == 0:
        options.started = 1
        start_clients(w)
    while options.stopped == 0:
        arrival_s = next_arrival_s(w)
        event_s = w.events[0].time_s if options.heap > 0 else math.inf
        horizon = min(arrival_s, event_s, next_deadline_s(w.sequences, options), options.pause_s)
        if _run_lanes(w, horizon):
            continue
        if horizon >= options.pause_s or math.isinf(horizon):
            return
        if arrival_s <= horizon:
            admit_next(w, horizon)
        elif event_s <= horizon:
            timed_event(w, horizon)
        else:
            give_up(w, horizon)


@inlined
def _run_lanes(w: World, horizon: float) -> bool:
    """Run lanes up to the horizon; True when others may now be due before it.

    Lanes that do not depend on each other run on their own; else only the earliest does, up to the next one's event.
    """
    options = w.options
    earliest, earliest_s, second_s = options.entry_first, math.inf, horizon
    for lane_id in range(len(w.lanes)):
        end_s = w.lanes[lane_id].end_s
        if not options.coupled and end_s < horizon:
            _run_lane(w, lane_id, horizon)
        elif end_s < earliest_s:
            second_s = min(second_s, earliest_s)
            earliest, earliest_s = lane_id, end_s
        else:
            second_s = min(second_s, end_s)
    if options.coupled and earliest_s < horizon:
        _run_lane(w, earliest, second_s)
        return True
    return bool(options.stopped == 1)


@inlined
def _run_lane(w: World, lane_id: int, horizon: float) -> None:
    """Run a lane's steps that end before the horizon; where lanes depend on each other, one step or one start."""
    lane = w.lanes[lane_id]
    options = w.options
    if lane.in_flight and lane.end_s < horizon and w.replicas[w.replicas[lane.replica].queue].wait_head == NONE:
        coast(w, lane, horizon)
        if lane.end_s >= horizon:
            return
    while options.stopped == 0:
        now = lane.end_s
        if lane.in_flight:
            lane.in_flight = 0
            complete_step(w, lane, now)
            if options.coupled:
                _wake_siblings(w, lane_id, now)
                return
        start_step(w, lane, now)
        if not lane.in_flight:
            return
        coast(w, lane, horizon)
        if lane.end_s >= horizon:
            return


@inlined
def _wake_siblings(w: World, lane_id: int, now: float) -> None:
    """Let idle lanes of the same replica look for work: blocks or places may have come free."""
    rep = w.replicas[w.lanes[lane_id].replica]
    if rep.lanes == 1 or w.replicas[rep.queue].wait_head == NONE:
        return
    for other in range(rep.lane, rep.lane + rep.lanes):
        if math.isinf(w.lanes[other].end_s):
            w.lanes[other].end_s = now
