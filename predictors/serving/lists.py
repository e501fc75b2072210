"""Linked lists over request numbers: waiting queues, running order, finish buckets; and the heap of timed events."""

from __future__ import annotations

from predictors.serving.compiled import inner
from predictors.serving.state import NONE, World


@inner
def push_back(w: World, q: int, s: int) -> None:
    """Append request s to waiting queue q."""
    queue, seq = w.queues[q], w.sequences[s]
    seq.prev, seq.next = queue.tail, NONE
    if queue.tail == NONE:
        queue.head = s
    else:
        w.sequences[queue.tail].next = s
    queue.tail = s
    _lengthen(w, q)


@inner
def push_front(w: World, q: int, s: int) -> None:
    """Put request s at the head of waiting queue q."""
    queue, seq = w.queues[q], w.sequences[s]
    seq.prev, seq.next = NONE, queue.head
    if queue.head == NONE:
        queue.tail = s
    else:
        w.sequences[queue.head].prev = s
    queue.head = s
    _lengthen(w, q)


@inner
def _lengthen(w: World, q: int) -> None:
    queue = w.queues[q]
    queue.length += 1
    if queue.length > queue.longest:
        queue.longest = queue.length


@inner
def take_from_queue(w: World, q: int, s: int) -> None:
    """Remove request s from waiting queue q."""
    queue, seq = w.queues[q], w.sequences[s]
    if seq.prev == NONE:
        queue.head = seq.next
    else:
        w.sequences[seq.prev].next = seq.next
    if seq.next == NONE:
        queue.tail = seq.prev
    else:
        w.sequences[seq.next].prev = seq.prev
    queue.length -= 1


@inner
def append_running(w: World, lane_id: int, s: int) -> None:
    """Append request s to the running order of a lane."""
    lane, seq = w.lanes[lane_id], w.sequences[s]
    seq.prev, seq.next = lane.run_tail, NONE
    if lane.run_tail == NONE:
        lane.run_head = s
    else:
        w.sequences[lane.run_tail].next = s
    lane.run_tail = s


@inner
def remove_running(w: World, lane_id: int, s: int) -> None:
    """Remove request s from the running order of a lane."""
    lane, seq = w.lanes[lane_id], w.sequences[s]
    if seq.prev == NONE:
        lane.run_head = seq.next
    else:
        w.sequences[seq.prev].next = seq.next
    if seq.next == NONE:
        lane.run_tail = seq.prev
    else:
        w.sequences[seq.next].prev = seq.prev


@inner
def bucket_add(w: World, lane_id: int, s: int, epoch: int) -> None:
    """File request s under the step of its lane at which it will emit its last token."""
    slot = epoch & (w.finishing.shape[1] - 1)
    head = w.finishing[lane_id, slot]
    seq = w.sequences[s]
    seq.bucket_prev, seq.bucket_next = NONE, head
    if head != NONE:
        w.sequences[head].bucket_prev = s
    w.finishing[lane_id, slot] = s


@inner
def bucket_remove(w: World, lane_id: int, s: int, epoch: int) -> None:
    """Take request s out of the bucket of that step."""
    seq = w.sequences[s]
    if seq.bucket_prev == NONE:
        w.finishing[lane_id, epoch & (w.finishing.shape[1] - 1)] = seq.bucket_next
    else:
        w.sequences[seq.bucket_prev].bucket_next = seq.bucket_next
    if seq.bucket_next != NONE:
        w.sequences[seq.bucket_next].bucket_prev = seq.bucket_prev


@inner
def heap_push(w: World, time_s: float, s: int) -> None:
    """Add a timed event: a transfer's end (s ≥ 0) or a client's next request (s = NONE)."""
    options = w.options[0]
    child = options.heap
    options.heap += 1
    while child > 0:
        parent = (child - 1) >> 1
        if w.heap_s[parent] <= time_s:
            break
        w.heap_s[child], w.heap_sequence[child] = w.heap_s[parent], w.heap_sequence[parent]
        child = parent
    w.heap_s[child], w.heap_sequence[child] = time_s, s


@inner
def heap_pop(w: World) -> int:
    """Remove the earliest timed event and return its request."""
    options = w.options[0]
    top = w.heap_sequence[0]
    options.heap -= 1
    last = options.heap
    time_s, s = w.heap_s[last], w.heap_sequence[last]
    parent = 0
    while 2 * parent + 1 < last:
        child = 2 * parent + 1
        if child + 1 < last and w.heap_s[child + 1] < w.heap_s[child]:
            child += 1
        if w.heap_s[child] >= time_s:
            break
        w.heap_s[parent], w.heap_sequence[parent] = w.heap_s[child], w.heap_sequence[child]
        parent = child
    w.heap_s[parent], w.heap_sequence[parent] = time_s, s
    return top
