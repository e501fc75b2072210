"""The compiled loop of padded back-ends: batches formed from bucket queues, each served whole before the next."""

from __future__ import annotations

import math
from typing import NamedTuple

from predictors.serving.compiled import entry, inner
from predictors.serving.state import FloatArray, IntArray, Record, Records, layout
from predictors.serving.surface import decode_attention, dense_time, prefill_attention, step_time

UNPADDED, TO_LONGEST, TO_BOUND = 0, 1, 2
MOST_BUCKETS = 64
OVERHEAD = 1.2
"""L_2 of UELLM's composite (code)."""

ITEM = layout("prompt output reserve batch server", "arrival_s key expected start_s first_s finish_s")
"""One request; ``reserve``: output tokens whose KV is set aside; ``expected``: predicted output tokens."""

POLICY = layout(
    "pad whole paged kv_tokens block most_queued buckets most_buckets splits merges batches waiting longest_queue "
    "held_max outside",
    "clock_s top hold_s threshold total prompt_padded prompt_tokens decode_slots decode_tokens",
)
"""The rules of a run, and its totals. ``most_queued``: the queue length that splits buckets, -1 for fixed buckets."""


class BatchWorld(NamedTuple):
    """Everything the loop reads and writes."""

    items: Records
    policy: Records
    """[1]."""
    replica: Records
    """[1] the surface's places in the tables, and the limits."""
    tables: FloatArray
    uppers: FloatArray
    """[MOST_BUCKETS] inclusive upper bounds of the buckets."""
    limits: IntArray
    """[MOST_BUCKETS] requests that a batch of each bucket may hold."""
    queue: IntArray
    """[n] waiting requests by ascending key."""
    chosen: IntArray
    """[most requests of a batch]."""
    oldest: FloatArray
    """[MOST_BUCKETS] arrival of each bucket's oldest waiting request, infinite where there is none."""
    counts: IntArray
    """[MOST_BUCKETS] waiting requests of each bucket."""
    free_s: FloatArray
    """[servers] when each server is next free."""
    busy_s: FloatArray
    """[servers]."""
    kv_s: FloatArray
    """[servers] KV tokens held, integrated over seconds."""


@entry
def run_batches(w: BatchWorld) -> None:
    """Serve all requests: the server that is free first takes the next batch of the bucket whose turn it is."""
    policy, cursor, left = w.policy[0], 0, len(w.items)
    while left > 0:
        server = 0
        for other in range(1, len(w.free_s)):
            if w.free_s[other] < w.free_s[server]:
                server = other
        now = max(w.free_s[server], policy.clock_s)
        if policy.waiting == 0:
            now = max(now, w.items[cursor].arrival_s)
        policy.clock_s = now
        while cursor < len(w.items) and w.items[cursor].arrival_s <= now:
            _enqueue(w, policy, cursor)
            cursor += 1
        _rebucket(w, policy)
        following = w.items[cursor].arrival_s if cursor < len(w.items) else math.inf
        bucket, wake = _next_bucket(w, policy, now, following)
        if bucket < 0:
            w.free_s[server] = wake
            continue
        size = _choose(w, policy, bucket)
        _serve(w, policy, bucket, size, server, now)
        left -= size


@inner
def _enqueue(w: BatchWorld, policy: Record, item: int) -> None:
    """Put an arrival into the queue, which stays in order of its key; equal keys keep their order of arrival."""
    low, high, key = 0, policy.waiting, w.items[item].key
    while low < high:
        middle = (low + high) >> 1
        if w.items[w.queue[middle]].key <= key:
            low = middle + 1
        else:
            high = middle
    for at in range(policy.waiting, low, -1):
        w.queue[at] = w.queue[at - 1]
    w.queue[low] = item
    policy.waiting += 1
    policy.longest_queue = max(policy.longest_queue, policy.waiting)


@inner
def _bucket(w: BatchWorld, policy: Record, prompt: float) -> int:
    """The first bucket whose bound reaches the prompt."""
    low, high = 0, policy.buckets - 1
    while low < high:
        middle = (low + high) >> 1
        if w.uppers[middle] >= prompt:
            high = middle
        else:
            low = middle + 1
    return int(low)


@inner
def _count(w: BatchWorld, policy: Record) -> None:
    """Count each bucket's waiting requests and find its oldest."""
    for b in range(policy.buckets):
        w.counts[b], w.oldest[b] = 0, math.inf
    for at in range(policy.waiting):
        item = w.items[w.queue[at]]
        b = _bucket(w, policy, float(item.prompt))
        w.counts[b] += 1
        w.oldest[b] = min(w.oldest[b], item.arrival_s)


@inner
def _rebucket(w: BatchWorld, policy: Record) -> None:
    """BucketServe's algorithm 1: split full buckets at their midpoint, merge all when the queue is short (2nd)."""
    if policy.most_queued >= 0:
        if policy.waiting > policy.most_queued:
            _count(w, policy)
            _split(w, policy)
        elif policy.waiting < policy.most_queued and policy.buckets > 1:
            policy.buckets = 1
            w.uppers[0] = policy.top
            policy.merges += 1
    _count(w, policy)


@inner
def _split(w: BatchWorld, policy: Record) -> None:
    """One pass over the buckets: more than the limit in it, and more than half of them below its midpoint."""
    for b in range(policy.buckets - 1, -1, -1):
        lower = w.uppers[b - 1] if b > 0 else 0.0
        middle = math.floor((lower + w.uppers[b]) / 2.0)
        if w.counts[b] <= policy.most_queued or middle <= lower or policy.buckets == MOST_BUCKETS:
            continue
        below = 0
        for at in range(policy.waiting):
            prompt = w.items[w.queue[at]].prompt
            if lower < prompt <= middle:
                below += 1
        if 2 * below > w.counts[b]:
            for other in range(policy.buckets, b, -1):
                w.uppers[other] = w.uppers[other - 1]
            w.uppers[b] = middle
            policy.buckets += 1
            policy.splits += 1
    policy.most_buckets = max(policy.most_buckets, policy.buckets)


@inner
def _next_bucket(w: BatchWorld, policy: Record, now: float, following: float) -> tuple[int, float]:
    """The bucket with the oldest request among those that are full or have waited long enough; else when to look."""
    best, wake = -1, following
    for b in range(policy.buckets):
        if w.counts[b] == 0:
            continue
        due = w.oldest[b] + policy.hold_s
        if w.counts[b] >= w.limits[b] or now >= due or math.isinf(following):
            if best < 0 or w.oldest[b] < w.oldest[best]:
                best = b
        else:
            wake = min(wake, due)
    return best, wake


@inner
def _choose(w: BatchWorld, policy: Record, bucket: int) -> int:
    """Take requests of the bucket in order of their key while the batch may grow; its size."""
    size, kept, closed = 0, 0, False
    prompt, reserve, held, longest, total = 0, 0, 0, 0.0, 0.0
    for at in range(policy.waiting):
        number = w.queue[at]
        item = w.items[number]
        if not closed and _bucket(w, policy, float(item.prompt)) == bucket:
            bound = w.uppers[bucket] if policy.pad == TO_BOUND else float(item.prompt)
            wider, more = max(prompt, int(bound)), max(reserve, item.reserve)
            own = -(-(item.prompt + item.reserve) // policy.block) * policy.block
            tokens = held + own if policy.paged else (size + 1) * (wider + more)
            grows = (item.expected - longest) * (size + 1) * OVERHEAD <= policy.threshold
            fits = tokens <= policy.kv_tokens and total + item.expected <= policy.total
            if size == 0 or (size < w.limits[bucket] and grows and fits):
                w.chosen[size] = number
                size += 1
                prompt, reserve, held = wider, more, held + own
                longest, total = max(longest, item.expected), total + item.expected
                continue
            closed = True
        w.queue[kept] = number
        kept += 1
    policy.waiting = kept
    return size


@inner
def _serve(w: BatchWorld, policy: Record, bucket: int, size: int, server: int, now: float) -> None:
    """Prefill the chosen requests, and decode them to the longest output where batches are served whole."""
    rep = w.replica[0]
    longest, output, tokens = 0, 0, 0
    for at in range(size):
        item = w.items[w.chosen[at]]
        longest, output, tokens = max(longest, item.prompt), max(output, item.output), tokens + item.prompt
    width = w.uppers[bucket] if policy.pad == TO_BOUND else float(longest)
    first = now + _prefill_time(w, policy, rep, size, width)
    rows = float(tokens) if policy.pad == UNPADDED else size * width
    context = rows / size
    end = first + (_decode_time(w, policy, rep, size, context, output) if policy.whole else 0.0)
    held = rows + size * (output if policy.whole else 0)
    for at in range(size):
        item = w.items[w.chosen[at]]
        item.start_s, item.first_s, item.finish_s = now, first, end
        item.batch, item.server = policy.batches, server
        policy.decode_tokens += item.output
    policy.batches += 1
    policy.prompt_padded += rows
    policy.prompt_tokens += tokens
    policy.decode_slots += size * output
    policy.held_max = max(policy.held_max, int(held))
    w.free_s[server] = end
    w.busy_s[server] += end - now
    w.kv_s[server] += held * (end - now)


@entry
def time_batches(w: BatchWorld, size: IntArray, prompt: IntArray, output: IntArray, seconds: FloatArray) -> None:
    """Fill ``seconds`` [2, batches] with prefill and decode time of padded batches of so many equal requests."""
    policy, rep = w.policy[0], w.replica[0]
    for at in range(len(size)):
        seconds[0, at] = _prefill_time(w, policy, rep, size[at], float(prompt[at]))
        seconds[1, at] = _decode_time(w, policy, rep, size[at], float(prompt[at]), output[at])


@inner
def _prefill_time(w: BatchWorld, policy: Record, rep: Record, size: int, width: float) -> float:
    """Seconds of prefilling the batch in steps of at most the engine's token budget."""
    rows, attention, alone = 0, 0.0, 0.0
    for at in range(size):
        prompt = int(width) if policy.pad != UNPADDED else w.items[w.chosen[at]].prompt
        rows += prompt
        if at > 0 and policy.pad != UNPADDED:
            attention += alone
            continue
        past, before = 0, attention
        while past < prompt:
            chunk = min(prompt - past, rep.max_tokens)
            seconds, outside = prefill_attention(w.tables, rep, float(chunk), float(past))
            attention += seconds
            policy.outside += outside
            past += chunk
        alone = attention - before
    total = attention
    while rows > 0:
        now = min(rows, rep.max_tokens)
        rows -= now
        total += step_time(w.tables, rep, dense_time(w.tables, rep, now, size if rows == 0 else 0, False), size)
    return total


@inner
def _decode_time(w: BatchWorld, policy: Record, rep: Record, size: int, context: float, output: int) -> float:
    """Seconds of all decode steps after the first token; every row runs until the longest output ends."""
    total = 0.0
    dense = dense_time(w.tables, rep, size, size, True)
    for step in range(1, output):
        seconds, outside = decode_attention(w.tables, rep, float(size), context + step, False)
        policy.outside += outside
        total += step_time(w.tables, rep, dense + seconds, size)
    return total
