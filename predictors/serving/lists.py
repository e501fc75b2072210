"""Linked lists over request numbers: waiting queues, running order, finish buckets; and the heap of timed events."""

from __future__ import annotations

from predictors.serving.compiled import inner
from predictors.serving.state import NONE, IntArray, Record, Records


@inner
def push_back(sequences: Records, queue: Record, s: int) -> None:
    """Append request s to the waiting queue of a replica."""
    seq = sequences[s]
    seq.prev, seq.next = queue.wait_tail, NONE
    if queue.wait_tail == NONE:
        queue.wait_head = s
    else:
        sequences[queue.wait_tail].next = s
    queue.wait_tail = s
    queue.waiting += 1
    queue.longest_queue = max(queue.longest_queue, queue.waiting)


@inner
def push_front(sequences: Records, queue: Record, s: int) -> None:
    """Put request s at the head of the waiting queue of a replica."""
    seq = sequences[s]
    seq.prev, seq.next = NONE, queue.wait_head
    if queue.wait_head == NONE:
        queue.wait_tail = s
    else:
        sequences[queue.wait_head].prev = s
    queue.wait_head = s
    queue.waiting += 1
    queue.longest_queue = max(queue.longest_queue, queue.waiting)


@inner
def take_from_queue(sequences: Records, queue: Record, s: int) -> None:
    """Remove request s from the waiting queue of a replica."""
    seq = sequences[s]
    if seq.prev == NONE:
        queue.wait_head = seq.next
    else:
        sequences[seq.prev].next = seq.next
    if seq.next == NONE:
        queue.wait_tail = seq.prev
    else:
        sequences[seq.next].prev = seq.prev
    queue.waiting -= 1


@inner
def append_running(sequences: Records, lane: Record, s: int) -> None:
    """Append request s to the running order of a lane."""
    seq = sequences[s]
    seq.prev, seq.next = lane.run_tail, NONE
    if lane.run_tail == NONE:
        lane.run_head = s
    else:
        sequences[lane.run_tail].next = s
    lane.run_tail = s


@inner
def remove_running(sequences: Records, lane: Record, s: int) -> None:
    """Remove request s from the running order of a lane."""
    seq = sequences[s]
    if seq.prev == NONE:
        lane.run_head = seq.next
    else:
        sequences[seq.prev].next = seq.next
    if seq.next == NONE:
        lane.run_tail = seq.prev
    else:
        sequences[seq.next].prev = seq.prev


@inner
def finish_slot(lane: Record, epoch: int) -> int:
    """Column of ``slots`` for the requests that emit their last token at this step of the lane."""
    return int(lane.ring_at + (epoch & lane.ring_mask))


@inner
def bucket_add(sequences: Records, slots: IntArray, lane: Record, s: int) -> None:
    """File decoding request s under the step of its lane at which it will emit its last token."""
    seq = sequences[s]
    slot = finish_slot(lane, seq.epoch + seq.output - seq.emitted)
    head = slots[lane.number, slot]
    seq.bucket_prev, seq.bucket_next = NONE, head
    if head != NONE:
        sequences[head].bucket_prev = s
    slots[lane.number, slot] = s


@inner
def bucket_remove(sequences: Records, slots: IntArray, lane: Record, s: int) -> None:
    """Take decoding request s out of its bucket."""
    seq = sequences[s]
    if seq.bucket_prev == NONE:
        slots[lane.number, finish_slot(lane, seq.epoch + seq.output - seq.emitted)] = seq.bucket_next
    else:
        sequences[seq.bucket_prev].bucket_next = seq.bucket_next
    if seq.bucket_next != NONE:
        sequences[seq.bucket_next].bucket_prev = seq.bucket_prev


@inner
def heap_push(events: Records, options: Record, time_s: float, s: int) -> None:
    """Add a timed event of request s."""
    child = options.heap
    options.heap += 1
    while child > 0:
        parent = (child - 1) >> 1
        if events[parent].time_s <= time_s:
            break
        events[child].time_s, events[child].sequence = events[parent].time_s, events[parent].sequence
        child = parent
    events[child].time_s, events[child].sequence = time_s, s


@inner
def heap_pop(events: Records, options: Record) -> int:
    """Remove the earliest timed event and return its request."""
    top = events[0].sequence
    options.heap -= 1
    last = options.heap
    time_s, s = events[last].time_s, events[last].sequence
    parent = 0
    while 2 * parent + 1 < last:
        child = 2 * parent + 1
        if child + 1 < last and events[child + 1].time_s < events[child].time_s:
            child += 1
        if events[child].time_s >= time_s:
            break
        events[parent].time_s, events[parent].sequence = events[child].time_s, events[child].sequence
        parent = child
    events[parent].time_s, events[parent].sequence = time_s, s
    return int(top)
