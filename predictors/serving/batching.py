"""Which sequences share the next step: decodes, prefill chunks, admission, preemption by recompute (as vLLM v1)."""

from __future__ import annotations

import math

from predictors.serving.blocks import (
    blocks_for,
    matching_prefix,
    release,
    share_prefix,
    take_blocks,
    unused_among,
)
from predictors.serving.compiled import inlined, inner
from predictors.serving.decoding import draw_accepted, join_decode, leave_decode
from predictors.serving.lists import append_running, push_front, remove_running, take_from_queue
from predictors.serving.state import DECODING, NONE, PREFILLING, WAITING, FloatArray, Record, Records, World
from predictors.serving.surface import decode_attention, dense_time, prefill_attention, step_time


@inlined
def start_step(w: World, lane: Record, now: float) -> None:
    """Fill the next step of a lane and set when it ends; the lane idles when nothing can run."""
    rep = w.replicas[lane.replica]
    if now < rep.next_issue_s:
        w.lanes[lane.number].end_s = rep.next_issue_s
        return
    lane.step_head, lane.step_tail, lane.prefill_s = NONE, NONE, 0.0
    lane.step_decodes, lane.step_tokens, lane.step_prefills, lane.step_completing = 0, 0, 0, 0
    lane.step_preempted, lane.gated = 0, 0
    if rep.chunked:
        _fill_mixed(w, rep, lane, now)
    else:
        _fill_prefill_first(w, rep, lane, now)
    if lane.step_decodes == 0 and lane.step_prefills == 0:
        w.lanes[lane.number].end_s = math.inf
        lane.launched_s = math.inf
        return
    w.lanes[lane.number].end_s = now + _launch(w.tables, rep, lane, now)


@inner
def _fill_mixed(w: World, rep: Record, lane: Record, now: float) -> None:
    """Decodes first, then the chunk left over from the last step, then waiting requests in order of arrival."""
    _hold_decodes(w, rep, lane)
    if rep.draft > 0:
        draw_accepted(w, lane)
    budget = rep.max_tokens - lane.decoding * (1 + rep.draft)
    if lane.partial != NONE and budget > 0:
        _continue_partial(w, rep, lane, budget)
        budget -= lane.step_tokens
    if not lane.step_preempted:
        _admit_waiting(w, rep, lane, now, budget)
    lane.step_decodes = lane.decoding


@inner
def _fill_prefill_first(w: World, rep: Record, lane: Record, now: float) -> None:
    """Whole prompts alone when any can start, else a step of decodes."""
    _admit_waiting(w, rep, lane, now, rep.max_tokens)
    if lane.step_prefills == 0:
        _hold_decodes(w, rep, lane)
        if rep.draft > 0:
            draw_accepted(w, lane)
        lane.step_decodes = lane.decoding


@inner
def _hold_decodes(w: World, rep: Record, lane: Record) -> None:
    """Take the blocks that this step's decodes cross into, preempting the last running until they suffice."""
    slot = lane.epoch % rep.block
    while w.slots[lane.number, slot] > rep.free + rep.evictable:
        preempt(w, rep, lane, lane.run_tail)
    take_blocks(w.cached, rep, w.slots[lane.number, slot])


@inner
def _continue_partial(w: World, rep: Record, lane: Record, budget: int) -> None:
    """Schedule the next chunk of the prompt in progress; without blocks it is itself the last running, and goes."""
    seq = w.sequences[lane.partial]
    chunk = min(seq.target - seq.computed, budget)
    more = blocks_for(rep, seq.computed + chunk) - blocks_for(rep, seq.computed)
    if more > rep.free + rep.evictable:
        preempt(w, rep, lane, lane.partial)
        return
    take_blocks(w.cached, rep, more)
    _schedule_chunk(w.sequences, w.tables, rep, lane, lane.partial, chunk)


@inner
def _admit_waiting(w: World, rep: Record, lane: Record, now: float, budget: int) -> None:
    """Start waiting requests while tokens, sequences and blocks last.

    A step that was scheduled when its predecessor started (``ahead``) knows neither what arrived nor which places came
    free since then; an engine with nothing else to run schedules at once.
    """
    queue = w.replicas[rep.queue]
    ahead = rep.ahead and (lane.decoding > 0 or lane.step_prefills > 0)
    places = rep.max_seqs - ahead * lane.freed
    while queue.wait_head != NONE and budget > 0 and rep.running < rep.max_seqs:
        s = queue.wait_head
        if rep.running >= places or (ahead and w.sequences[s].arrival_s > lane.launched_s):
            lane.gated = 1
            return
        computed_elsewhere = w.sequences[s].target == 0
        used = _admit_decode(w, rep, lane, s) if computed_elsewhere else _admit_prompt(w, rep, lane, s, budget)
        if used < 0:
            return
        budget -= used
        take_from_queue(w.sequences, queue, s)
        append_running(w.sequences, lane, s)
        rep.running += 1
        if math.isnan(w.sequences[s].started_s):
            w.sequences[s].started_s = now


@inner
def _admit_prompt(w: World, rep: Record, lane: Record, s: int, budget: int) -> int:
    """Start (or restart) the prompt of request s; the tokens scheduled, negative if its first chunk finds no room."""
    seq = w.sequences[s]
    shared = matching_prefix(w.cached, w.numbers, rep, seq) if rep.hashed else 0
    hit = shared * rep.hash_tokens if rep.hashed else min(seq.hit, seq.target - 1)
    if not rep.chunked and seq.target - hit > budget:
        return -1
    chunk = min(seq.target - hit, budget)
    more = blocks_for(rep, hit + chunk) - shared * rep.hash_blocks
    unused = unused_among(w.cached, w.numbers, rep, seq, shared)
    if more > rep.free + rep.evictable - unused * rep.hash_blocks:
        return -1
    share_prefix(w.cached, w.numbers, rep, seq, shared)
    take_blocks(w.cached, rep, more)
    seq.place, seq.computed, seq.replica, seq.lane = PREFILLING, hit, rep.number, lane.number
    seq.cached += hit
    rep.hit_tokens += hit
    _schedule_chunk(w.sequences, w.tables, rep, lane, s, chunk)
    return int(chunk)


@inner
def _admit_decode(w: World, rep: Record, lane: Record, s: int) -> int:
    """Start decoding request s, whose KV was computed elsewhere; the tokens scheduled, negative if there is no room.

    With chunked prefill it takes part in the step being filled, else in the lane's next step of decodes.
    """
    seq = w.sequences[s]
    more = blocks_for(rep, seq.prompt + rep.chunked)
    if more > rep.free + rep.evictable:
        return -1
    take_blocks(w.cached, rep, more)
    seq.replica, seq.lane = rep.number, lane.number
    join_decode(w.sequences, w.slots, lane, s, seq.prompt)
    return int(rep.chunked * (1 + rep.draft))


@inner
def _schedule_chunk(sequences: Records, tables: FloatArray, rep: Record, lane: Record, s: int, chunk: int) -> None:
    """Add a prefill chunk to the step."""
    seq = sequences[s]
    seq.chunk, seq.step_next = chunk, NONE
    if lane.step_tail == NONE:
        lane.step_head = s
    else:
        sequences[lane.step_tail].step_next = s
    lane.step_tail = s
    seconds, outside = prefill_attention(tables, rep, float(chunk), float(seq.computed))
    lane.prefill_s += seconds
    lane.outside += outside
    lane.step_tokens += chunk
    lane.step_prefills += 1
    if seq.computed + chunk == seq.target:
        lane.step_completing += 1
        lane.partial = NONE
    else:
        lane.partial = s


@inner
def preempt(w: World, rep: Record, lane: Record, s: int) -> None:
    """Give up the KV of running request s; it goes to the head of the queue and will recompute all its tokens."""
    seq = w.sequences[s]
    stop_running(w, s)
    seq.target, seq.computed = seq.prompt + seq.emitted, 0
    seq.place = WAITING
    seq.preemptions += 1
    rep.preemptions += 1
    lane.step_preempted = 1
    push_front(w.sequences, w.replicas[rep.queue], s)


@inner
def stop_running(w: World, s: int) -> None:
    """Take request s out of its lane and give back its blocks."""
    seq = w.sequences[s]
    lane, rep = w.lanes[seq.lane], w.replicas[seq.replica]
    tokens = seq.computed
    if seq.place == DECODING:
        leave_decode(w.sequences, w.slots, w.peaks, lane, s)
        tokens = seq.kv
    elif lane.partial == s:
        lane.partial = NONE
    release(w.cached, w.numbers, rep, seq, tokens)
    remove_running(w.sequences, lane, s)
    rep.running -= 1


@inner
def _launch(tables: FloatArray, rep: Record, lane: Record, now: float) -> float:
    """Start the filled step and account for it; its length in seconds."""
    decodes, gpu_s = lane.step_decodes, lane.prefill_s
    if decodes > 0:
        mean = lane.context / decodes + 1.0
        seconds, outside = decode_attention(tables, rep, float(decodes), mean, lane.step_prefills > 0)
        gpu_s += seconds
        lane.outside += outside
    tokens = decodes * (1 + rep.draft) + lane.step_tokens
    gpu_s += dense_time(tables, rep, tokens, decodes + lane.step_completing, lane.step_prefills == 0)
    step_s = step_time(tables, rep, gpu_s, decodes + lane.step_prefills)
    issue_s = step_s
    if rep.lanes > 1:
        issue_s = max(rep.stage_share * gpu_s, step_s - gpu_s)
        rep.next_issue_s = now + issue_s
    lane.in_flight, lane.launched_s = 1, now
    rep.steps += 1
    rep.busy_s += issue_s
    rep.kv_block_s += (rep.total - rep.free - rep.evictable) * step_s / rep.lanes
    rep.prefill_tokens += lane.step_tokens
    rep.decode_tokens += decodes
    return step_s
