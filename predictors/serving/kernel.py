"""The compiled loop: events in order of time, over all lanes, arrivals, transfers and deadlines."""

from __future__ import annotations

import math

from predictors.serving.compiled import entry, inner
from predictors.serving.routing import (
    admit_next,
    give_up,
    next_arrival_s,
    next_deadline_s,
    start_clients,
    timed_event,
)
from predictors.serving.state import World
from predictors.serving.steps import run_lane


@entry
def run_kernel(w: World, concurrency: int, spread_s: float) -> None:
    """Serve all requests of ``w`` to the end, or until the early stop; closed loop if ``concurrency`` > 0."""
    options = w.options[0]
    start_clients(w, concurrency, spread_s)
    while options.stopped == 0:
        arrival_s = next_arrival_s(w)
        event_s = w.heap_s[0] if options.heap > 0 else math.inf
        horizon = min(arrival_s, event_s, next_deadline_s(w))
        if options.coupled:
            if _run_earliest(w, horizon):
                continue
        else:
            _run_all(w, horizon)
        if math.isinf(horizon):
            return
        if options.stopped == 0:
            _handle(w, horizon, arrival_s, event_s)


@inner
def _handle(w: World, now: float, arrival_s: float, event_s: float) -> None:
    """What comes from outside the lanes at this time; arrivals before deadlines."""
    if arrival_s <= now:
        admit_next(w, now)
    elif event_s <= now:
        timed_event(w, now)
    else:
        give_up(w, now)


@inner
def _run_all(w: World, horizon: float) -> None:
    """Lanes that do not depend on each other: each runs to the horizon on its own."""
    for lane_id in range(len(w.lane_end_s)):
        if w.lane_end_s[lane_id] < horizon:
            run_lane(w, lane_id, horizon)


@inner
def _run_earliest(w: World, horizon: float) -> bool:
    """Run the lane whose event is next, up to the next event elsewhere; False when nothing is due before the horizon."""
    first, first_s, second_s = -1, horizon, math.inf
    for lane_id in range(len(w.lane_end_s)):
        end_s = w.lane_end_s[lane_id]
        if end_s < first_s:
            if first >= 0:
                second_s = first_s
            first, first_s = lane_id, end_s
        elif end_s < second_s:
            second_s = end_s
    if first < 0:
        return False
    run_lane(w, first, min(horizon, second_s))
    return True
