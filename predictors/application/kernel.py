"""The compiled event loop of an application: visits, their queues, the calls they make, and what is measured of them.

Every random draw is a hash of the request's number and the path of calls that leads to the visit, never of the order of
events. So two runs that differ in replicas alone draw the same times: their difference is the replicas' (ours; common
random numbers, std).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from predictors.serving.compiled import entry, inner

NONE = -1
BUCKETS = 1024
BUCKETS_PER_E = BUCKETS / math.log(1e6)  # buckets per factor e: six decades, 1.4 % wide
LOWEST_SHARE = 1e-3  # of a service's scale, where its histogram begins
DETERMINISTIC, EXPONENTIAL, LOGNORMAL, TABLE = range(4)
FREE, HEAP, LIVE, NEXT_ARRIVAL, ANSWERED, PEAK = range(6)
COUNTS = 6
CONSUMED, FULL = range(2)

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_UNIT = 1.0 / 9007199254740992.0  # 2**-53
_TWO_PI = 2.0 * math.pi


class World(NamedTuple):
    """All arrays of one simulation; per station [services], per call, per visit in flight [capacity], and measures."""

    servers: Any  # 0: no queue, every visit starts at once
    kind: Any
    first_parameter: Any  # mean of exponential and deterministic, mu of lognormal, row start in the tables
    second_parameter: Any  # sigma of lognormal, knots of a table
    table_z: Any
    table_log_s: Any
    busy: Any
    head: Any
    tail: Any
    first_call: Any
    callee: Any
    whole_calls: Any
    part_call: Any
    stage: Any
    side_by_side: Any
    waited: Any
    service: Any
    parent: Any
    call: Any
    repeats_left: Any
    pending: Any
    next_call: Any
    request: Any
    link: Any
    key: Any
    arrived_s: Any
    heap_s: Any
    heap_visit: Any
    counts: Any
    histogram: Any  # of responses, since it was last emptied [services, BUCKETS]
    scale_s: Any
    response_s: Any  # sums
    wait_s: Any
    busy_s: Any
    visits: Any
    answer_s: Any  # response time of each request, NaN until it is answered
    most_launched: int


@inner
def _mixed(key: Any, salt: Any) -> Any:
    """The next hash of ``key`` for ``salt`` (splitmix64, std: Steele et al. 2014)."""
    z = key + _GOLDEN * (np.uint64(salt) + np.uint64(1))
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


@inner
def _uniform(bits: Any) -> Any:
    """In the open interval (0, 1)."""
    return (float(bits >> np.uint64(11)) + 0.5) * _UNIT


@inner
def _drawn(w: World, visit: int) -> Any:
    """The time of this visit at its station, seconds."""
    service, key = w.service[visit], w.key[visit]
    kind, first = w.kind[service], w.first_parameter[service]
    if kind == DETERMINISTIC:
        return first
    one = _uniform(_mixed(key, 1))
    if kind == EXPONENTIAL:
        return -math.log(one) * first
    z = math.sqrt(-2.0 * math.log(one)) * math.cos(_TWO_PI * _uniform(_mixed(key, 2)))
    if kind == LOGNORMAL:
        return math.exp(first + w.second_parameter[service] * z)
    at, last = int(first), int(first) + int(w.second_parameter[service]) - 1
    while at < last - 1 and w.table_z[at + 1] < z:
        at += 1
    slope = (w.table_log_s[at + 1] - w.table_log_s[at]) / (w.table_z[at + 1] - w.table_z[at])
    return math.exp(w.table_log_s[at] + slope * (z - w.table_z[at]))


@inner
def _push(w: World, when_s: float, visit: int) -> None:
    at = w.counts[HEAP]
    w.counts[HEAP] = at + 1
    while at > 0:
        above = (at - 1) >> 2
        if w.heap_s[above] <= when_s:
            break
        w.heap_s[at], w.heap_visit[at] = w.heap_s[above], w.heap_visit[above]
        at = above
    w.heap_s[at], w.heap_visit[at] = when_s, visit


@inner
def _pop(w: World) -> Any:
    """Take the earliest event off the heap of four children each."""
    found = w.heap_visit[0]
    size = w.counts[HEAP] - 1
    w.counts[HEAP] = size
    when_s, visit = w.heap_s[size], w.heap_visit[size]
    at = 0
    while True:
        child = 4 * at + 1
        if child >= size:
            break
        least = child
        for other in range(child + 1, min(child + 4, size)):
            if w.heap_s[other] < w.heap_s[least]:
                least = other
        if w.heap_s[least] >= when_s:
            break
        w.heap_s[at], w.heap_visit[at] = w.heap_s[least], w.heap_visit[least]
        at = least
    w.heap_s[at], w.heap_visit[at] = when_s, visit
    return found


@inner
def _serve(w: World, visit: int, now_s: float) -> None:
    service, time_s = w.service[visit], _drawn(w, visit)
    w.wait_s[service] += now_s - w.arrived_s[visit]
    w.busy_s[service] += time_s
    _push(w, now_s + time_s, visit)


@inner
def _start(w: World, service: int, parent: int, call: int, left: int, request: int, key: Any, now_s: float) -> None:
    """A visit arrives at its station: it is served or waits."""
    visit = w.counts[FREE]
    w.counts[FREE] = w.link[visit]
    w.counts[LIVE] += 1
    w.counts[PEAK] = max(w.counts[PEAK], w.counts[LIVE])
    w.service[visit], w.parent[visit], w.call[visit], w.repeats_left[visit] = service, parent, call, left
    w.pending[visit], w.next_call[visit], w.request[visit], w.link[visit] = 0, w.first_call[service], request, NONE
    w.key[visit], w.arrived_s[visit] = key, now_s
    if w.servers[service] == 0 or w.busy[service] < w.servers[service]:
        w.busy[service] += 1
        _serve(w, visit, now_s)
    elif w.head[service] == NONE:
        w.head[service] = w.tail[service] = visit
    else:
        w.link[w.tail[service]] = visit
        w.tail[service] = visit


@inner
def _leave(w: World, visit: int, now_s: float) -> None:
    """The station is done with a visit: note its response, serve the next in the queue."""
    service = w.service[visit]
    response_s = now_s - w.arrived_s[visit]
    share = response_s / (w.scale_s[service] * LOWEST_SHARE)
    bucket = int(math.log(share) * BUCKETS_PER_E) if share > 1.0 else 0
    w.histogram[service, min(bucket, BUCKETS - 1)] += 1
    w.response_s[service] += response_s
    w.visits[service] += 1
    waiting = w.head[service]
    if waiting == NONE:
        w.busy[service] -= 1
    else:
        w.head[service] = w.link[waiting]
        w.link[waiting] = NONE
        _serve(w, waiting, now_s)


@inner
def _launch(w: World, visit: int, now_s: float) -> None:
    """Make the calls of the visit's next stage; asynchronous ones are not counted as pending."""
    at, end = w.next_call[visit], w.first_call[w.service[visit] + 1]
    stage = w.stage[at]
    while at < end and w.stage[at] == stage:
        key = _mixed(w.key[visit], 16 + at)
        repeats = w.whole_calls[at]
        if w.part_call[at] > 0.0 and _uniform(_mixed(key, 3)) < w.part_call[at]:
            repeats += 1
        if not w.waited[at]:
            for repeat in range(repeats):
                _start(w, w.callee[at], NONE, at, 0, NONE, _mixed(key, 16 + repeat), now_s)
        elif w.side_by_side[at]:
            w.pending[visit] += repeats
            for repeat in range(repeats):
                _start(w, w.callee[at], visit, at, 0, NONE, _mixed(key, 16 + repeat), now_s)
        elif repeats > 0:
            w.pending[visit] += 1
            _start(w, w.callee[at], visit, at, repeats - 1, NONE, _mixed(key, 15 + repeats), now_s)
        at += 1
    w.next_call[visit] = at


@inner
def _end(w: World, visit: int, now_s: float) -> Any:
    """A visit has its answer: free it, and return the caller that now goes on, or none."""
    parent, request = w.parent[visit], w.request[visit]
    call, left = w.call[visit], w.repeats_left[visit]
    w.link[visit] = w.counts[FREE]
    w.counts[FREE] = visit
    w.counts[LIVE] -= 1
    if request != NONE and request < len(w.answer_s):
        w.answer_s[request] += now_s
        w.counts[ANSWERED] += 1
    if parent == NONE:
        return NONE
    if left > 0:
        key = _mixed(_mixed(w.key[parent], 16 + call), 15 + left)
        _start(w, w.callee[call], parent, call, left - 1, NONE, key, now_s)
        return NONE
    w.pending[parent] -= 1
    return parent if w.pending[parent] == 0 else NONE


@inner
def _advance(w: World, visit: int, now_s: float) -> None:
    """Go on with a visit whose work or calls have ended, and with the callers that this frees."""
    while visit != NONE:
        while w.pending[visit] == 0 and w.next_call[visit] < w.first_call[w.service[visit] + 1]:
            _launch(w, visit, now_s)
        if w.pending[visit] > 0:
            return
        visit = _end(w, visit, now_s)


@entry
def run_kernel(w: World, arrival_s: Any, services: Any, first_request: int, seed: int, drain: bool) -> int:
    """Take the arrivals from the one counted in ``counts`` on; with ``drain`` go on until every visit has ended.

    Returns CONSUMED, or FULL where the next event may need more room than there is: grow the arrays and call again.
    """
    root = _mixed(np.uint64(seed), 0)
    while True:
        if w.counts[LIVE] + w.most_launched >= len(w.service):
            return FULL
        at = w.counts[NEXT_ARRIVAL]
        if at >= len(arrival_s) and not (drain and w.counts[HEAP] > 0):
            return CONSUMED
        if w.counts[HEAP] == 0 or (at < len(arrival_s) and arrival_s[at] <= w.heap_s[0]):
            request = first_request + at
            w.counts[NEXT_ARRIVAL] = at + 1
            if request < len(w.answer_s):
                w.answer_s[request] = -arrival_s[at]
            _start(w, services[at], NONE, NONE, 0, request, _mixed(root, request), arrival_s[at])
        else:
            now_s = w.heap_s[0]
            visit = _pop(w)
            _leave(w, visit, now_s)
            _advance(w, visit, now_s)
