"""The decoding set of a lane: joining and leaving it, its inter-token gaps, accepted draft tokens."""

from __future__ import annotations

import math

from predictors.serving.blocks import blocks_for, take_blocks
from predictors.serving.compiled import inner
from predictors.serving.lists import bucket_add, bucket_remove
from predictors.serving.state import (
    DECODING,
    GAP_BUCKETS,
    GAP_BUCKETS_PER_E,
    GAP_FLOOR_S,
    NONE,
    PEAKS,
    FloatArray,
    IntArray,
    Record,
    Records,
    World,
)


@inner
def join_decode(sequences: Records, slots: IntArray, lane: Record, s: int, kv: int) -> None:
    """Request s, with ``kv`` tokens in its KV, decodes from the lane's next step on."""
    seq = sequences[s]
    seq.place, seq.kv, seq.epoch = DECODING, kv, lane.epoch
    lane.decoding += 1
    lane.context += kv
    slots[lane.number, _crossing_slot(lane, seq)] += 1
    bucket_add(sequences, slots, lane, s)
    seq.fresh_next = lane.fresh_head
    lane.fresh_head = s
    lane.fresh += 1


@inner
def leave_decode(sequences: Records, slots: IntArray, peaks: Records, lane: Record, s: int) -> None:
    """Request s decodes no more: bring its counters up to date and take it out of the lane's sums."""
    seq = sequences[s]
    slots[lane.number, _crossing_slot(lane, seq)] -= 1
    bucket_remove(sequences, slots, lane, s)
    steps = lane.epoch - seq.epoch
    if steps == 0:
        _unfresh(sequences, lane, s)
    else:
        seq.last_s = lane.last_s
        seq.longest_gap_s = max(seq.longest_gap_s, _longest_since(peaks, lane, seq.epoch + 2))
    seq.emitted += steps
    seq.kv += steps
    lane.decoding -= 1
    lane.context -= seq.kv


@inner
def _crossing_slot(lane: Record, seq: Record) -> int:
    """Remainder of the step numbers at which a decoding request needs a new block."""
    return int((seq.epoch - seq.kv - lane.draft) % lane.block)


@inner
def _unfresh(sequences: Records, lane: Record, s: int) -> None:
    """Take request s out of the chain of those that have not yet decoded on this lane."""
    seq = sequences[s]
    lane.fresh -= 1
    if lane.fresh_head == s:
        lane.fresh_head = seq.fresh_next
        return
    before = lane.fresh_head
    while sequences[before].fresh_next != s:
        before = sequences[before].fresh_next
    sequences[before].fresh_next = seq.fresh_next


@inner
def record_gaps(w: World, lane: Record, now: float) -> None:
    """Count the gap before each token that the lane's decodes emit now, at step ``epoch`` + 1."""
    gap_s = now - lane.last_s
    gaps = w.mixed_gaps if lane.step_prefills > 0 else w.gaps
    if lane.decoding > lane.fresh:
        add_gap(gaps, gap_s, float(lane.decoding - lane.fresh))
        add_peak(w.peaks, lane, lane.epoch + 1, gap_s)
    s = lane.fresh_head
    while s != NONE:
        seq = w.sequences[s]
        add_gap(gaps, now - seq.last_s, 1.0)
        seq.longest_gap_s = max(seq.longest_gap_s, now - seq.last_s)
        s = seq.fresh_next
    lane.fresh_head, lane.fresh = NONE, 0


@inner
def add_gap(gaps: FloatArray, gap_s: float, count: float) -> tuple[int, float, float]:
    """Count so many gaps in the histogram; the bucket, and between which gaps it lies."""
    bucket = int(math.log(max(gap_s, GAP_FLOOR_S) / GAP_FLOOR_S) * GAP_BUCKETS_PER_E)
    bucket = min(bucket, GAP_BUCKETS - 1)
    gaps[bucket] += count
    low_s = GAP_FLOOR_S * math.exp(bucket / GAP_BUCKETS_PER_E)
    return bucket, low_s, low_s * math.exp(1.0 / GAP_BUCKETS_PER_E)


@inner
def add_peak(peaks: Records, lane: Record, epoch: int, gap_s: float) -> None:
    """Note the gap at this step, and forget the earlier ones that it exceeds."""
    base = lane.number * PEAKS
    while lane.peak_tail > lane.peak_head and peaks[base + (lane.peak_tail - 1) % PEAKS].gap_s <= gap_s:
        lane.peak_tail -= 1
    if lane.peak_tail - lane.peak_head == PEAKS:
        peaks[base + (lane.peak_head + 1) % PEAKS].gap_s = peaks[base + lane.peak_head % PEAKS].gap_s
        lane.peak_head += 1
    peak = peaks[base + lane.peak_tail % PEAKS]
    peak.epoch, peak.gap_s = epoch, gap_s
    lane.peak_tail += 1


@inner
def _longest_since(peaks: Records, lane: Record, epoch: int) -> float:
    """The longest gap of the lane at this step or later; 0 if there was none."""
    base = lane.number * PEAKS
    low, high = lane.peak_head, lane.peak_tail
    while low < high:
        middle = (low + high) >> 1
        if peaks[base + middle % PEAKS].epoch < epoch:
            low = middle + 1
        else:
            high = middle
    return peaks[base + low % PEAKS].gap_s if low < lane.peak_tail else 0.0


@inner
def draw_accepted(w: World, lane: Record) -> None:
    """Speculative decoding: add the accepted draft tokens of this step to every decoding sequence.

    A sequence takes no more than its blocks and its remaining output allow; the step itself adds one token more.
    Draws are indexed by request and token, so they do not depend on the schedule.
    """
    rep, options = w.replicas[lane.replica], w.options
    s = lane.run_head
    while s != NONE:
        seq = w.sequences[s]
        if seq.place == DECODING:
            done, kv = seq.emitted + lane.epoch - seq.epoch, seq.kv + lane.epoch - seq.epoch
            extra = w.numbers[options.accepted_at + (s * 7919 + done) % options.accepted_count]
            extra = min(extra, seq.output - done - 1)
            more = blocks_for(rep, kv + 1 + extra) - blocks_for(rep, kv + 1)
            if extra > 0 and more <= rep.free + rep.evictable:
                take_blocks(w.cached, rep, more)
                _advance(w.sequences, w.slots, lane, s, extra)
                rep.decode_tokens += extra
        s = seq.next


@inner
def _advance(sequences: Records, slots: IntArray, lane: Record, s: int, extra: int) -> None:
    """Move a decoding sequence so many tokens ahead of its lane."""
    seq = sequences[s]
    slots[lane.number, _crossing_slot(lane, seq)] -= 1
    bucket_remove(sequences, slots, lane, s)
    seq.emitted += extra
    seq.kv += extra
    slots[lane.number, _crossing_slot(lane, seq)] += 1
    bucket_add(sequences, slots, lane, s)
    lane.context += extra
