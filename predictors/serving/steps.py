"""What happens when a step ends: tokens are emitted, prompts complete, requests finish; and runs of plain decodes."""

from __future__ import annotations

import math
from typing import Any

from predictors.serving.batching import join_decode, start_step, stop_running
from predictors.serving.blocks import publish_prefix
from predictors.serving.compiled import inner
from predictors.serving.lists import heap_push, remove_running
from predictors.serving.state import (
    ABORTED,
    DONE,
    GAP_BUCKETS,
    GAP_BUCKETS_PER_E,
    GAP_FLOOR_S,
    NONE,
    NOWHERE,
    PREFILL,
    TRANSFERRING,
    World,
)
from predictors.serving.surface import blend, cell, dense_time, step_time

Line = tuple[float, float, float, float]


@inner
def run_lane(w: World, lane_id: int, horizon: float) -> None:
    """Run a lane's steps that end before the horizon; where lanes depend on each other, one step or one start."""
    lane = w.lanes[lane_id]
    coupled = w.options[0].coupled
    while True:
        now = w.lane_end_s[lane_id]
        if lane.in_flight:
            lane.in_flight = 0
            complete_step(w, lane_id, now)
            if coupled:
                _wake_siblings(w, lane_id, now)
                return
        start_step(w, lane_id, now)
        if not lane.in_flight:
            return
        coast(w, lane_id, horizon)
        if w.lane_end_s[lane_id] >= horizon or w.options[0].stopped:
            return


@inner
def _wake_siblings(w: World, lane_id: int, now: float) -> None:
    """Let idle lanes of the same replica look for work: blocks or places may have come free."""
    rep = w.replicas[w.lanes[lane_id].replica]
    if rep.lanes == 1 or w.queues[rep.queue].head == NONE:
        return
    for other in range(rep.lane, rep.lane + rep.lanes):
        if math.isinf(w.lane_end_s[other]):
            w.lane_end_s[other] = now


@inner
def complete_step(w: World, lane_id: int, now: float) -> None:
    """Emit the tokens of the step that ends now."""
    lane = w.lanes[lane_id]
    if lane.step_decodes > 0:
        _emit_decodes(w, lane_id, now)
    s = lane.step_head
    lane.step_head = NONE
    while s != NONE:
        following = w.sequences[s].step_next
        _complete_chunk(w, lane_id, s, now)
        s = following


@inner
def _emit_decodes(w: World, lane_id: int, now: float) -> None:
    lane = w.lanes[lane_id]
    record_gaps(w, lane_id, now)
    lane.epoch += 1
    lane.context += lane.decoding
    lane.last_s = now
    s = w.finishing[lane_id, lane.epoch & (w.finishing.shape[1] - 1)]
    while s != NONE:
        following = w.sequences[s].bucket_next
        finish(w, s, now, DONE)
        s = following


@inner
def record_gaps(w: World, lane_id: int, now: float) -> None:
    """Count the gap before each token that the lane's decodes emit now."""
    lane = w.lanes[lane_id]
    if lane.decoding > lane.fresh:
        add_gap(w, now - lane.last_s, lane.decoding - lane.fresh)
    s = lane.fresh_head
    while s != NONE:
        add_gap(w, now - w.sequences[s].last_s, 1)
        s = w.sequences[s].fresh_next
    lane.fresh_head, lane.fresh = NONE, 0


@inner
def add_gap(w: World, gap_s: float, count: int) -> tuple[int, float, float]:
    """Count so many gaps in the histogram; the bucket, and between which gaps it lies."""
    bucket = int(math.log(max(gap_s, GAP_FLOOR_S) / GAP_FLOOR_S) * GAP_BUCKETS_PER_E)
    bucket = min(bucket, GAP_BUCKETS - 1)
    w.gaps[bucket] += count
    low_s = GAP_FLOOR_S * math.exp(bucket / GAP_BUCKETS_PER_E)
    return bucket, low_s, low_s * math.exp(1.0 / GAP_BUCKETS_PER_E)


@inner
def _complete_chunk(w: World, lane_id: int, s: int, now: float) -> None:
    seq = w.sequences[s]
    seq.computed += seq.chunk
    if seq.status == ABORTED:
        stop_running(w, s)
        seq.place = NOWHERE
        return
    if w.limits[w.replicas[seq.replica].role].hashed:
        publish_prefix(w, s)
    if seq.computed == seq.target:
        _emit_from_prompt(w, lane_id, s, now)


@inner
def _emit_from_prompt(w: World, lane_id: int, s: int, now: float) -> None:
    """The prompt is computed: its last position gives a token, the first one unless it was a recompute."""
    seq = w.sequences[s]
    seq.emitted += 1
    if math.isnan(seq.first_s):
        seq.first_s = now
        _judge_first(w, s)
    else:
        add_gap(w, now - seq.last_s, 1)
    seq.last_s = now
    if seq.emitted >= seq.output:
        finish(w, s, now, DONE)
    elif w.replicas[seq.replica].role == PREFILL:
        _hand_over(w, lane_id, s, now)
    else:
        join_decode(w, lane_id, s, seq.target)


@inner
def _hand_over(w: World, lane_id: int, s: int, now: float) -> None:
    """Send the KV to the decode pool; its blocks here are held until it has arrived."""
    options = w.options[0]
    seq = w.sequences[s]
    remove_running(w, lane_id, s)
    w.replicas[seq.replica].running -= 1
    seq.place = TRANSFERRING
    heap_push(w, now + options.transfer_s + seq.prompt * options.transfer_token_s, s)


@inner
def finish(w: World, s: int, now: float, status: int) -> None:
    """A running request ends."""
    seq = w.sequences[s]
    stop_running(w, s)
    settle(w, s, now, status)


@inner
def settle(w: World, s: int, now: float, status: int) -> None:
    """Note how and when request s ended; in a closed loop its client sends the next."""
    options = w.options[0]
    seq = w.sequences[s]
    seq.place, seq.status, seq.finish_s = NOWHERE, status, now
    if options.closed:
        heap_push(w, now + options.client_delay_s, NONE)
    _judge(w, s)


@inner
def _judge_first(w: World, s: int) -> None:
    """Early stop: count a first token that is later than its bounds."""
    options = w.options[0]
    seq = w.sequences[s]
    ttft_s = seq.first_s - seq.arrival_s
    options.over_ttft += ttft_s > options.ttft_s
    if ttft_s > w.bounds[seq.kind, 0]:
        seq.missed = 1
        options.misses += 1
    _stop_when_lost(w)


@inner
def _judge(w: World, s: int) -> None:
    """Early stop: count an ended request that missed its bounds."""
    options = w.options[0]
    seq = w.sequences[s]
    e2e_s = seq.finish_s - seq.arrival_s
    missed = seq.status != DONE or e2e_s > w.bounds[seq.kind, 2]
    options.over_e2e += e2e_s > options.e2e_s
    if seq.status == DONE and seq.output > 1:
        tpot_s = (seq.finish_s - seq.first_s) / (seq.output - 1)
        missed = missed or tpot_s > w.bounds[seq.kind, 1]
        options.over_tpot += tpot_s > options.tpot_s
    if missed and seq.missed == 0:
        seq.missed = 1
        options.misses += 1
    _stop_when_lost(w)


@inner
def _stop_when_lost(w: World) -> None:
    options = w.options[0]
    if (
        options.misses > options.allowed_misses
        or options.over_ttft > options.allowed_ttft
        or options.over_tpot > options.allowed_tpot
        or options.over_e2e > options.allowed_e2e
    ):
        options.stopped = 1


@inner
def coast(w: World, lane_id: int, horizon: float) -> None:
    """Run through decode-only steps in which no request starts, finishes or is preempted.

    Exact, not an approximation: what the scheduler would decide cannot change before the horizon, a finish or a
    shortage of blocks. Within one cell of the attention table the step time is linear in the mean context.
    """
    lane = w.lanes[lane_id]
    rep = w.replicas[lane.replica]
    limits = w.limits[rep.role]
    if lane.step_prefills > 0 or limits.draft > 0 or rep.lanes > 1:
        return
    surface, decoding = w.surfaces[rep.role], lane.decoding
    mask, block = w.finishing.shape[1] - 1, limits.block
    rows = cell(w.tables, surface.batch_at, surface.batch_n, decoding)
    fixed_s = dense_time(w.tables, surface, decoding, decoding, True)
    first, end, epoch, free = lane.epoch, w.lane_end_s[lane_id], lane.epoch, rep.free
    last_s, busy_s, held_s, top = lane.last_s, 0.0, 0.0, -1.0
    low_s, high_s, bucket, line = 0.0, 0.0, 0, (0.0, 0.0, 0.0, 0.0)
    mean = lane.context / decoding + 1.0
    while end < horizon and w.finishing[lane_id, (epoch + 1) & mask] == NONE:
        need = w.crossing[lane_id, (epoch + 1) % block]
        if need > free:
            break
        gap_s = end - last_s
        if epoch == first:
            record_gaps(w, lane_id, end)
        elif low_s <= gap_s < high_s:
            w.gaps[bucket] += decoding
        else:
            bucket, low_s, high_s = add_gap(w, gap_s, decoding)
        last_s, epoch, free, mean = end, epoch + 1, free - need, mean + 1.0
        if mean > top:
            line, top = context_line(w, surface, rows, mean)
        lane.outside += line[3] > 0.0
        step_s = step_time(w.tables, surface, line[0] + line[1] * (mean - line[2]) + fixed_s, decoding)
        end += step_s
        busy_s += step_s
        held_s += step_s * (rep.total - free - rep.evictable)
    if epoch > first:
        _note_coasted(w, lane_id, epoch - first, end, last_s, free, busy_s, held_s)


@inner
def context_line(w: World, surface: Any, rows: tuple[int, float], mean: float) -> tuple[Line, float]:
    """Decode attention as a line in the mean context, and up to which context it holds.

    The line is (seconds at its left end, seconds per token, left end, 1.0 when outside the grids else 0.0).
    """
    column, weight = cell(w.tables, surface.context_at, surface.context_n, mean)
    outside = 1.0 if weight > 1.0 or rows[1] > 1.0 else 0.0
    left = w.tables[surface.context_at + column]
    low_s = blend(w.tables, surface.decode_at, surface.context_n, rows, (column, 0.0))
    if weight == 0.0:
        return (low_s, 0.0, mean, outside), mean if surface.context_n > 1 else math.inf
    right = w.tables[surface.context_at + column + 1]
    high_s = blend(w.tables, surface.decode_at, surface.context_n, rows, (column + 1, 0.0))
    top = right if column + 2 < surface.context_n and weight < 1.0 else math.inf
    if column + 2 == surface.context_n and weight <= 1.0:
        top = right
    return (low_s, (high_s - low_s) / (right - left), left, outside), top


@inner
def _note_coasted(
    w: World, lane_id: int, steps: int, end: float, last_s: float, free: int, busy_s: float, held_s: float
) -> None:
    """Write back what a run of decode-only steps changed."""
    lane = w.lanes[lane_id]
    rep = w.replicas[lane.replica]
    lane.epoch += steps
    lane.context += steps * lane.decoding
    lane.last_s = last_s
    w.lane_end_s[lane_id] = end
    rep.free = free
    rep.kv_max = max(rep.kv_max, rep.total - free - rep.evictable)
    rep.steps += steps
    rep.decode_tokens += steps * lane.decoding
    rep.busy_s += busy_s
    rep.kv_block_s += held_s
