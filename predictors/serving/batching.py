"""Which sequences share the next step: decodes, prefill chunks, admission, preemption by recompute (vLLM v1's rules)."""

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
from predictors.serving.compiled import inner
from predictors.serving.lists import (
    append_running,
    bucket_add,
    bucket_remove,
    push_front,
    remove_running,
    take_from_queue,
)
from predictors.serving.state import DECODING, NONE, PREFILLING, WAITING, World
from predictors.serving.surface import decode_attention, dense_time, prefill_attention, step_time


@inner
def start_step(w: World, lane_id: int, now: float) -> None:
    """Fill the next step of a lane and set when it ends; the lane idles when nothing can run."""
    lane = w.lanes[lane_id]
    rep = w.replicas[lane.replica]
    if now < rep.next_issue_s:
        w.lane_end_s[lane_id] = rep.next_issue_s
        return
    _clear_step(w, lane_id)
    if w.limits[rep.role].chunked:
        _fill_mixed(w, lane_id, now)
    else:
        _fill_prefill_first(w, lane_id, now)
    if lane.step_decodes == 0 and lane.step_prefills == 0:
        w.lane_end_s[lane_id] = math.inf
        return
    _launch(w, lane_id, now)


@inner
def _clear_step(w: World, lane_id: int) -> None:
    lane = w.lanes[lane_id]
    lane.step_head, lane.step_tail = NONE, NONE
    lane.step_decodes, lane.step_tokens, lane.step_prefills, lane.step_completing = 0, 0, 0, 0
    lane.prefill_s = 0.0


@inner
def _fill_mixed(w: World, lane_id: int, now: float) -> None:
    """Decodes first, then the chunk left over from the last step, then waiting requests in order of arrival."""
    lane = w.lanes[lane_id]
    limits = w.limits[w.replicas[lane.replica].role]
    preempted = _hold_decodes(w, lane_id)
    if limits.draft > 0:
        draw_accepted(w, lane_id)
    budget = limits.max_tokens - lane.decoding * (1 + limits.draft)
    if lane.partial != NONE and budget > 0:
        if not _continue_partial(w, lane_id, budget):
            preempted = True
        budget -= lane.step_tokens
    if not preempted:
        _admit_waiting(w, lane_id, now, budget, 1)
    lane.step_decodes = lane.decoding


@inner
def _fill_prefill_first(w: World, lane_id: int, now: float) -> None:
    """Whole prompts alone when any can start, else a step of decodes."""
    lane = w.lanes[lane_id]
    limits = w.limits[w.replicas[lane.replica].role]
    _admit_waiting(w, lane_id, now, limits.max_tokens, 0)
    if lane.step_prefills == 0:
        _hold_decodes(w, lane_id)
        if limits.draft > 0:
            draw_accepted(w, lane_id)
        lane.step_decodes = lane.decoding


@inner
def _hold_decodes(w: World, lane_id: int) -> bool:
    """Take the blocks that this step's decodes cross into, preempting the last running until they suffice."""
    lane = w.lanes[lane_id]
    rep = w.replicas[lane.replica]
    slot = lane.epoch % w.limits[rep.role].block
    preempted = False
    while w.crossing[lane_id, slot] > rep.free + rep.evictable:
        preempt(w, lane_id, lane.run_tail)
        preempted = True
    take_blocks(w, lane.replica, w.crossing[lane_id, slot])
    return preempted


@inner
def _continue_partial(w: World, lane_id: int, budget: int) -> bool:
    """Schedule the next chunk of the prompt in progress; without blocks it is itself the last running, and goes."""
    lane = w.lanes[lane_id]
    rep = w.replicas[lane.replica]
    s = lane.partial
    seq = w.sequences[s]
    chunk = min(seq.target - seq.computed, budget)
    more = blocks_for(w, rep.role, seq.computed + chunk) - blocks_for(w, rep.role, seq.computed)
    if more > rep.free + rep.evictable:
        preempt(w, lane_id, s)
        return False
    take_blocks(w, lane.replica, more)
    _schedule_chunk(w, lane_id, s, chunk)
    return True


@inner
def _admit_waiting(w: World, lane_id: int, now: float, budget: int, in_step: int) -> None:
    """Start waiting requests while tokens, sequences and blocks last; ``in_step``: decodes are part of this step."""
    lane = w.lanes[lane_id]
    rep = w.replicas[lane.replica]
    limits = w.limits[rep.role]
    queue = w.queues[rep.queue]
    while queue.head != NONE and budget > 0 and rep.running < limits.max_seqs:
        s = queue.head
        before = lane.step_tokens
        if w.sequences[s].target == 0:
            if not _admit_decode(w, lane_id, s, now, in_step):
                return
            budget -= in_step * (1 + limits.draft)
        elif not _admit_prompt(w, lane_id, s, now, budget):
            return
        budget -= lane.step_tokens - before


@inner
def _admit_prompt(w: World, lane_id: int, s: int, now: float, budget: int) -> bool:
    """Start (or restart) the prompt of request s if its first chunk finds blocks."""
    lane = w.lanes[lane_id]
    r = lane.replica
    rep = w.replicas[r]
    limits = w.limits[rep.role]
    seq = w.sequences[s]
    seq.replica = r
    shared = matching_prefix(w, r, s) if limits.hashed else 0
    hit = shared * limits.hash_tokens if limits.hashed else min(seq.hit, seq.target - 1)
    if not limits.chunked and seq.target - hit > budget:
        return False
    chunk = min(seq.target - hit, budget)
    more = blocks_for(w, rep.role, hit + chunk) - shared * limits.hash_blocks
    unused = unused_among(w, r, s, shared) if shared > 0 else 0
    if more > rep.free + rep.evictable - unused * limits.hash_blocks:
        return False
    share_prefix(w, r, s, shared)
    take_blocks(w, r, more)
    _start_running(w, lane_id, s, now)
    seq.place, seq.computed = PREFILLING, hit
    seq.cached += hit
    rep.hit_tokens += hit
    _schedule_chunk(w, lane_id, s, chunk)
    return True


@inner
def _admit_decode(w: World, lane_id: int, s: int, now: float, in_step: int) -> bool:
    """Start decoding request s, whose KV was computed elsewhere."""
    lane = w.lanes[lane_id]
    rep = w.replicas[lane.replica]
    seq = w.sequences[s]
    more = blocks_for(w, rep.role, seq.prompt + in_step)
    if more > rep.free + rep.evictable:
        return False
    seq.replica = lane.replica
    take_blocks(w, lane.replica, more)
    _start_running(w, lane_id, s, now)
    join_decode(w, lane_id, s, seq.prompt)
    return True


@inner
def _start_running(w: World, lane_id: int, s: int, now: float) -> None:
    lane = w.lanes[lane_id]
    rep = w.replicas[lane.replica]
    seq = w.sequences[s]
    take_from_queue(w, rep.queue, s)
    append_running(w, lane_id, s)
    seq.lane = lane_id
    rep.running += 1
    if math.isnan(seq.started_s):
        seq.started_s = now


@inner
def _schedule_chunk(w: World, lane_id: int, s: int, chunk: int) -> None:
    """Add a prefill chunk to the step."""
    lane = w.lanes[lane_id]
    rep = w.replicas[lane.replica]
    seq = w.sequences[s]
    seq.chunk, seq.step_next = chunk, NONE
    if lane.step_tail == NONE:
        lane.step_head = s
    else:
        w.sequences[lane.step_tail].step_next = s
    lane.step_tail = s
    seconds, outside = prefill_attention(w.tables, w.surfaces[rep.role], chunk, seq.computed)
    lane.prefill_s += seconds
    lane.outside += outside
    lane.step_tokens += chunk
    lane.step_prefills += 1
    whole = seq.computed + chunk == seq.target
    lane.step_completing += whole
    lane.partial = NONE if whole else s


@inner
def join_decode(w: World, lane_id: int, s: int, kv: int) -> None:
    """Request s, with ``kv`` tokens in its KV, decodes from the lane's next step on."""
    lane = w.lanes[lane_id]
    seq = w.sequences[s]
    seq.place, seq.kv, seq.epoch = DECODING, kv, lane.epoch
    lane.decoding += 1
    lane.context += kv
    w.crossing[lane_id, _crossing_slot(w, lane_id, s)] += 1
    bucket_add(w, lane_id, s, seq.epoch + seq.output - seq.emitted)
    seq.fresh_next = lane.fresh_head
    lane.fresh_head = s
    lane.fresh += 1


@inner
def leave_decode(w: World, lane_id: int, s: int) -> None:
    """Request s decodes no more: bring its counters up to date and take it out of the lane's sums."""
    lane = w.lanes[lane_id]
    seq = w.sequences[s]
    w.crossing[lane_id, _crossing_slot(w, lane_id, s)] -= 1
    bucket_remove(w, lane_id, s, seq.epoch + seq.output - seq.emitted)
    steps = lane.epoch - seq.epoch
    if steps == 0:
        _unfresh(w, lane_id, s)
    else:
        seq.last_s = lane.last_s
    seq.emitted += steps
    seq.kv += steps
    lane.decoding -= 1
    lane.context -= seq.kv


@inner
def _crossing_slot(w: World, lane_id: int, s: int) -> int:
    """Remainder of the step numbers at which request s needs a new block."""
    seq = w.sequences[s]
    limits = w.limits[w.replicas[w.lanes[lane_id].replica].role]
    return (seq.epoch - seq.kv - limits.draft) % limits.block


@inner
def _unfresh(w: World, lane_id: int, s: int) -> None:
    """Take request s out of the chain of those that have not yet decoded on this lane."""
    lane = w.lanes[lane_id]
    seq = w.sequences[s]
    lane.fresh -= 1
    if lane.fresh_head == s:
        lane.fresh_head = seq.fresh_next
        return
    before = lane.fresh_head
    while w.sequences[before].fresh_next != s:
        before = w.sequences[before].fresh_next
    w.sequences[before].fresh_next = seq.fresh_next


@inner
def preempt(w: World, lane_id: int, s: int) -> None:
    """Give up the KV of running request s; it goes to the head of the queue and will recompute all its tokens."""
    rep = w.replicas[w.lanes[lane_id].replica]
    seq = w.sequences[s]
    stop_running(w, s)
    seq.target, seq.computed = seq.prompt + seq.emitted, 0
    seq.place = WAITING
    seq.preemptions += 1
    rep.preemptions += 1
    push_front(w, rep.queue, s)


@inner
def stop_running(w: World, s: int) -> None:
    """Take request s out of its lane and give back its blocks."""
    seq = w.sequences[s]
    lane = w.lanes[seq.lane]
    rep = w.replicas[seq.replica]
    if seq.place == DECODING:
        leave_decode(w, seq.lane, s)
        release(w, s, seq.kv)
    else:
        if lane.partial == s:
            lane.partial = NONE
        release(w, s, seq.computed)
    remove_running(w, seq.lane, s)
    rep.running -= 1


@inner
def draw_accepted(w: World, lane_id: int) -> None:
    """Speculative decoding: add the accepted draft tokens of this step to every decoding sequence.

    A sequence takes no more than its blocks and its remaining output allow; the step itself adds one token more.
    """
    lane = w.lanes[lane_id]
    rep = w.replicas[lane.replica]
    limits = w.limits[rep.role]
    s = lane.run_head
    while s != NONE:
        seq = w.sequences[s]
        if seq.place == DECODING:
            steps = lane.epoch - seq.epoch
            done = seq.emitted + steps
            extra = min(w.accepted[(s * 7919 + done) % len(w.accepted)], seq.output - done - 1)
            kv = seq.kv + steps
            more = blocks_for(w, rep.role, kv + 1 + extra) - blocks_for(w, rep.role, kv + 1)
            if extra > 0 and more <= rep.free + rep.evictable:
                take_blocks(w, lane.replica, more)
                _advance(w, lane_id, s, extra)
        s = seq.next


@inner
def _advance(w: World, lane_id: int, s: int, extra: int) -> None:
    """Move a decoding sequence so many tokens ahead of its lane."""
    seq = w.sequences[s]
    w.crossing[lane_id, _crossing_slot(w, lane_id, s)] -= 1
    bucket_remove(w, lane_id, s, seq.epoch + seq.output - seq.emitted)
    seq.emitted += extra
    seq.kv += extra
    w.crossing[lane_id, _crossing_slot(w, lane_id, s)] += 1
    bucket_add(w, lane_id, s, seq.epoch + seq.output - seq.emitted)
    w.lanes[lane_id].context += extra
    w.replicas[w.lanes[lane_id].replica].decode_tokens += extra


@inner
def _launch(w: World, lane_id: int, now: float) -> None:
    """Set when the step ends, and account for it."""
    lane = w.lanes[lane_id]
    rep = w.replicas[lane.replica]
    surface = w.surfaces[rep.role]
    gpu_s = lane.prefill_s
    decodes = lane.step_decodes
    if decodes > 0:
        mixed = lane.step_prefills > 0
        seconds, outside = decode_attention(w.tables, surface, decodes, lane.context / decodes + 1.0, mixed)
        gpu_s += seconds
        lane.outside += outside
    tokens = decodes * (1 + w.limits[rep.role].draft) + lane.step_tokens
    gpu_s += dense_time(w.tables, surface, tokens, decodes + lane.step_completing, lane.step_prefills == 0)
    lane.step_s = step_time(w.tables, surface, gpu_s, decodes + lane.step_prefills)
    lane.in_flight = 1
    w.lane_end_s[lane_id] = now + lane.step_s
    issue_s = lane.step_s
    if rep.lanes > 1:
        issue_s = max(surface.stage_share * gpu_s, lane.step_s - gpu_s)
        rep.next_issue_s = now + issue_s
    account(w, lane.replica, 1, issue_s, lane.step_s)
    rep.prefill_tokens += lane.step_tokens
    rep.decode_tokens += decodes


@inner
def account(w: World, r: int, steps: int, busy_s: float, step_s: float) -> None:
    """Add steps to a replica's totals."""
    rep = w.replicas[r]
    rep.steps += steps
    rep.busy_s += busy_s
    rep.kv_block_s += (rep.total - rep.free - rep.evictable) * step_s / rep.lanes
