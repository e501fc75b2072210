"""Continuous batching over pods that come and go: requests, a router, and pods with a step time and a KV cache.

A small engine for a question that `predictors.serving` does not take: replicas that start and end while requests are
under way. As in vLLM 0.6 [code], prefill goes first and alone, decode steps give every running request one token, and
where the cache is full the youngest goes back to the head of the queue and is computed anew. A pod that is taken away
loses what it was doing; one whose client has given up goes on, since nothing tells the engine. Ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from predictors.serving.compiled import entry, inner

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
WAITING, RUNNING, DONE, FAILED, UNSEEN = 0, 1, 2, 3, 4
NONE = -1


@dataclass(frozen=True, kw_only=True)
class PodModel:
    """One pod. A decode step of n requests over c tokens of context lasts ``base_s + per_request_s·n + per_token_s·c``,
    a prefill ``prefill_base_s + prefill_token_s · tokens``. ``watermark``: share of the cache that admissions leave.
    """

    base_s: float
    per_request_s: float
    per_token_s: float
    prefill_base_s: float
    prefill_token_s: float
    kv_tokens: int
    max_num_seqs: int = 256
    prefill_tokens: int = 4096
    watermark: float = 0.01


class Fleet(NamedTuple):
    """All arrays of one run: requests [n], pods [p] and the requests that each runs [p, max_num_seqs]."""

    arrival_s: FloatArray
    prompt: IntArray
    output: IntArray
    status: IntArray
    emitted: IntArray
    finish_s: FloatArray
    next_of: IntArray
    draws: FloatArray
    ready_s: FloatArray  # when the pod serves; infinite: it is not there
    stop_s: FloatArray  # when it is taken away
    step_end_s: FloatArray
    prefilling: IntArray  # whether the step under way is a prefill: how many of the last running requests it is of
    running: IntArray
    busy: IntArray
    head: IntArray
    tail: IntArray
    queued: IntArray
    held: IntArray  # tokens in the KV cache
    cursor: IntArray  # the next arrival
    rates: FloatArray  # the model's figures


def fleet(model: PodModel, arrival_s: FloatArray, prompt: IntArray, output: IntArray, pods: int, seed: int) -> Fleet:
    """A fleet of ``pods`` places, none of them occupied yet."""
    n = len(arrival_s)
    rates = np.array(
        [model.base_s, model.per_request_s, model.per_token_s, model.prefill_base_s, model.prefill_token_s,
         model.kv_tokens, model.max_num_seqs, model.prefill_tokens, model.watermark], dtype=np.float64,
    )  # fmt: skip
    return Fleet(
        arrival_s=arrival_s, prompt=prompt, output=output, status=np.full(n, UNSEEN), emitted=_none(n) + 1,
        finish_s=np.full(n, np.nan), next_of=_none(n), draws=np.random.default_rng(seed).random(n),
        ready_s=np.full(pods, np.inf), stop_s=np.full(pods, np.inf), step_end_s=np.full(pods, np.inf),
        prefilling=np.zeros(pods, dtype=np.int64), running=np.zeros((pods, model.max_num_seqs), dtype=np.int64),
        busy=np.zeros(pods, dtype=np.int64), head=_none(pods), tail=_none(pods),
        queued=np.zeros(pods, dtype=np.int64), held=np.zeros(pods, dtype=np.int64),
        cursor=np.zeros(1, dtype=np.int64), rates=rates,
    )  # fmt: skip


def _none(size: int) -> IntArray:
    return np.full(size, NONE, dtype=np.int64)


@entry
def advance(world: Fleet, until_s: float) -> None:
    """Run the fleet until that time: arrivals, ends of steps and pods that are taken away, in order."""
    while True:
        pod, at = 0, math.inf
        for p in range(len(world.step_end_s)):
            if world.step_end_s[p] < at:
                pod, at = p, world.step_end_s[p]
        gone, stop = NONE, math.inf
        for p in range(len(world.stop_s)):
            if world.stop_s[p] < stop and world.ready_s[p] < math.inf:
                gone, stop = p, world.stop_s[p]
        i = world.cursor[0]
        arrival = world.arrival_s[i] if i < len(world.arrival_s) else math.inf
        now = min(at, stop, arrival)
        if now > until_s or now == math.inf:
            return
        if now == stop:
            take_away(world, gone)
        elif now == arrival:
            world.cursor[0] += 1
            arrive(world, i, now)
        else:
            end_step(world, pod, now)


@inner
def arrive(world: Fleet, i: int, now: float) -> None:
    """Send one request to the serving pod with the fewest, by chance among equals; where none serves it fails."""
    least, ties = 1 << 60, 0
    for p in range(len(world.ready_s)):
        load = world.queued[p] + world.busy[p]
        if world.ready_s[p] <= now and load <= least:
            ties = ties + 1 if load == least else 1
            least = load
    if ties == 0:
        world.status[i] = FAILED
        return
    pick = int(world.draws[i] * ties)
    for p in range(len(world.ready_s)):
        if world.ready_s[p] <= now and world.queued[p] + world.busy[p] == least:
            if pick == 0:
                accept(world, p, i, now)
                return
            pick -= 1


@inner
def accept(world: Fleet, p: int, i: int, now: float) -> None:
    """Queue a request on a pod; a pod that was idle begins at once."""
    world.status[i] = WAITING
    push(world, p, i)
    if world.step_end_s[p] == math.inf:
        begin_step(world, p, now)


@inner
def push(world: Fleet, p: int, i: int) -> None:
    """Append to a pod's queue."""
    world.next_of[i] = NONE
    if world.tail[p] == NONE:
        world.head[p] = i
    else:
        world.next_of[world.tail[p]] = i
    world.tail[p] = i
    world.queued[p] += 1


@inner
def push_front(world: Fleet, p: int, i: int) -> None:
    """Put before a pod's queue."""
    world.next_of[i] = world.head[p]
    world.head[p] = i
    if world.tail[p] == NONE:
        world.tail[p] = i
    world.queued[p] += 1


@inner
def pop(world: Fleet, p: int) -> int:
    """Take the first of a pod's queue."""
    i = world.head[p]
    world.head[p] = world.next_of[i]
    if world.head[p] == NONE:
        world.tail[p] = NONE
    world.queued[p] -= 1
    return int(i)


@inner
def take_away(world: Fleet, p: int) -> None:
    """A pod ends: whatever it was doing fails."""
    for k in range(world.busy[p]):
        world.status[world.running[p, k]] = FAILED
    while world.head[p] != NONE:
        world.status[pop(world, p)] = FAILED
    world.busy[p], world.held[p], world.prefilling[p] = 0, 0, 0
    world.ready_s[p], world.stop_s[p], world.step_end_s[p] = math.inf, math.inf, math.inf


@inner
def leave(world: Fleet, p: int, k: int) -> None:
    """Take the k-th running request off the pod."""
    i = world.running[p, k]
    world.held[p] -= world.prompt[i] + world.emitted[i]
    world.busy[p] -= 1
    world.running[p, k] = world.running[p, world.busy[p]]


@inner
def end_step(world: Fleet, p: int, now: float) -> None:
    """Each request of the step has one token more; those that are complete leave."""
    new = world.prefilling[p]
    first = world.busy[p] - new if new > 0 else 0
    for k in range(world.busy[p] - 1, first - 1, -1):
        i = world.running[p, k]
        world.emitted[i] += 1
        world.held[p] += 1
        if world.emitted[i] >= world.output[i]:
            world.status[i], world.finish_s[i] = DONE, now
            leave(world, p, k)
    world.prefilling[p] = 0
    begin_step(world, p, now)


@inner
def begin_step(world: Fleet, p: int, now: float) -> None:
    """Prefill what fits, else decode everything that runs; idle where there is nothing."""
    tokens, admitted = 0, 0
    while world.head[p] != NONE and world.busy[p] < world.rates[6]:
        i = world.head[p]
        size = world.prompt[i] + world.emitted[i]
        fits = world.held[p] + size <= (1.0 - world.rates[8]) * world.rates[5]
        if not fits or (admitted > 0 and tokens + size > world.rates[7]):
            break
        pop(world, p)
        world.status[i] = RUNNING
        world.running[p, world.busy[p]] = i
        world.busy[p] += 1
        world.held[p] += size
        tokens, admitted = tokens + size, admitted + 1
    world.prefilling[p] = admitted
    if admitted > 0:
        world.step_end_s[p] = now + world.rates[3] + world.rates[4] * tokens
    elif world.busy[p] > 0:
        while world.held[p] + world.busy[p] > world.rates[5] and world.busy[p] > 1:
            preempt(world, p)
        n, held = world.busy[p], world.held[p]
        world.step_end_s[p] = now + world.rates[0] + world.rates[1] * n + world.rates[2] * held
    else:
        world.step_end_s[p] = math.inf


@inner
def preempt(world: Fleet, p: int) -> None:
    """Take the running request that arrived last off the pod; it waits as the first."""
    last = 0
    for k in range(1, world.busy[p]):
        if world.running[p, k] > world.running[p, last]:
            last = k
    i = world.running[p, last]
    leave(world, p, last)
    world.status[i] = WAITING
    push_front(world, p, i)


def occupy(world: Fleet, place: int, ready_s: float) -> None:
    """Put a pod in a free place; it serves from ``ready_s``."""
    world.ready_s[place] = ready_s
    world.stop_s[place] = math.inf
    world.busy[place] = world.queued[place] = world.held[place] = world.prefilling[place] = 0
    world.head[place] = world.tail[place] = NONE
    world.step_end_s[place] = math.inf


def kv_use(world: Fleet, now: float) -> FloatArray:
    """Share of the KV cache in use of each pod that serves."""
    serving = world.ready_s <= now
    return np.asarray(world.held[serving] / world.rates[5])


def run_given(
    model: PodModel, arrival_s: FloatArray, prompt: IntArray, output: IntArray, at_s: FloatArray, pods: IntArray,
    *, warm_up_s: float, seed: int = 0,
) -> Fleet:  # fmt: skip
    """Run with the numbers of pods that were observed: ``pods`` from each time of ``at_s`` on.

    A pod serves ``warm_up_s`` after it counts, those of the first time at once. The youngest are taken away first.
    """
    world = fleet(model, arrival_s, prompt, output, int(pods.max()) + 1, seed)
    order: list[int] = []
    for at, wanted in zip(at_s, pods, strict=True):
        advance(world, float(at))
        follow(world, order, int(wanted), float(at), 0.0 if at == at_s[0] else warm_up_s)
    advance(world, math.inf)
    return world


def follow(world: Fleet, order: list[int], wanted: int, now: float, warm_up_s: float) -> None:
    """Bring the fleet to ``wanted`` pods; ``order`` lists the places in the order in which they were filled."""
    while len(order) < wanted:
        place = next(p for p in range(len(world.ready_s)) if p not in order)
        occupy(world, place, now + warm_up_s)
        order.append(place)
    while len(order) > wanted:
        place = order.pop()
        world.stop_s[place] = now
    advance(world, now)


def latencies(world: Fleet, timeout_s: float) -> FloatArray:
    """Seconds from arrival to the last token [n]; NaN where it failed or came after the client had given up."""
    latency = np.where(world.status == DONE, world.finish_s - world.arrival_s, np.nan)
    return np.where(latency <= timeout_s, latency, np.nan)
