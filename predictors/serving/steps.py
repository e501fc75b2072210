"""What happens when a step ends: tokens are emitted, prompts complete, requests finish and are judged."""

from __future__ import annotations

import math

from predictors.serving.batching import stop_running
from predictors.serving.blocks import publish_prefix
from predictors.serving.compiled import inlined, inner
from predictors.serving.decoding import add_gap, join_decode, record_gaps
from predictors.serving.lists import finish_slot, heap_push, remove_running
from predictors.serving.state import (
    ABORTED,
    DONE,
    NONE,
    NOWHERE,
    PREFILL,
    TRANSFERRING,
    FloatArray,
    Record,
    Records,
    World,
)


@inlined
def complete_step(w: World, lane: Record, now: float) -> None:
    """Emit the tokens of the step that ends now."""
    running = w.replicas[lane.replica].running
    if lane.step_decodes > 0:
        _emit_decodes(w, lane, now)
    s = lane.step_head
    lane.step_head = NONE
    while s != NONE:
        following = w.sequences[s].step_next
        _complete_chunk(w, lane, s, now)
        s = following
    lane.freed = running - w.replicas[lane.replica].running


@inner
def _emit_decodes(w: World, lane: Record, now: float) -> None:
    record_gaps(w, lane, now)
    lane.epoch += 1
    lane.context += lane.decoding
    lane.last_s = now
    s = w.slots[lane.number, finish_slot(lane, lane.epoch)]
    while s != NONE:
        following = w.sequences[s].bucket_next
        w.sequences[s].status = DONE
        finish(w, s, now)
        s = following


@inner
def _complete_chunk(w: World, lane: Record, s: int, now: float) -> None:
    """A chunk is computed: publish its prefix blocks; when the prompt is complete its last position gives a token."""
    seq, rep = w.sequences[s], w.replicas[lane.replica]
    seq.computed += seq.chunk
    if seq.status == ABORTED:
        stop_running(w, s)
        seq.place = NOWHERE
        return
    if rep.hashed:
        publish_prefix(w.cached, w.numbers, rep, seq)
    if seq.computed < seq.target:
        return
    _emit_from_prompt(w, seq, now)
    if seq.emitted >= seq.output:
        seq.status = DONE
        finish(w, s, now)
    elif rep.role == PREFILL:
        _hand_over(w, lane, s, now)
    else:
        join_decode(w.sequences, w.slots, lane, s, seq.target)


@inner
def _emit_from_prompt(w: World, seq: Record, now: float) -> None:
    """The token that ends a prefill: the first one, unless it was a recompute."""
    seq.emitted += 1
    if math.isnan(seq.first_s):
        seq.first_s = now
        _judge_first(w.tables, w.options, seq)
    else:
        add_gap(w.mixed_gaps, now - seq.last_s, 1.0)
        seq.longest_gap_s = max(seq.longest_gap_s, now - seq.last_s)
    seq.last_s = now


@inner
def _hand_over(w: World, lane: Record, s: int, now: float) -> None:
    """Send the KV to the decode pool; its blocks here are held until it has arrived."""
    options, seq = w.options, w.sequences[s]
    remove_running(w.sequences, lane, s)
    w.replicas[lane.replica].running -= 1
    seq.place = TRANSFERRING
    heap_push(w.events, options, now + options.transfer_s + seq.prompt * options.transfer_token_s, s)


@inner
def finish(w: World, s: int, now: float) -> None:
    """A running request ends; its status is set."""
    stop_running(w, s)
    settle(w.sequences, w.events, w.tables, w.options, s, now)


@inner
def settle(sequences: Records, events: Records, tables: FloatArray, options: Record, s: int, now: float) -> None:
    """Note when request s, whose status is set, ended; in a closed loop its client sends the next."""
    seq = sequences[s]
    seq.place, seq.finish_s = NOWHERE, now
    if options.closed:
        heap_push(events, options, now + options.client_delay_s, len(sequences))
    _judge(tables, options, seq)


@inner
def _judge_first(tables: FloatArray, options: Record, seq: Record) -> None:
    """Early stop: count a first token that is later than its bounds."""
    ttft_s = seq.first_s - seq.arrival_s
    if ttft_s > options.ttft_s:
        options.over_ttft += 1
    if ttft_s > tables[options.bounds_at + 3 * seq.kind]:
        seq.missed = 1
        options.misses += 1
    _stop_when_lost(options)


@inner
def _judge(tables: FloatArray, options: Record, seq: Record) -> None:
    """Early stop: count an ended request that missed its bounds."""
    bounds = options.bounds_at + 3 * seq.kind
    e2e_s = seq.finish_s - seq.arrival_s
    missed = seq.status != DONE or e2e_s > tables[bounds + 2]
    if e2e_s > options.e2e_s:
        options.over_e2e += 1
    if seq.status == DONE and seq.output > 1:
        tpot_s = (seq.finish_s - seq.first_s) / (seq.output - 1)
        missed = missed or tpot_s > tables[bounds + 1]
        if tpot_s > options.tpot_s:
            options.over_tpot += 1
    if missed and seq.missed == 0:
        seq.missed = 1
        options.misses += 1
    _stop_when_lost(options)


@inner
def _stop_when_lost(options: Record) -> None:
    if (
        options.misses > options.allowed_misses
        or options.over_ttft > options.allowed_ttft
        or options.over_tpot > options.allowed_tpot
        or options.over_e2e > options.allowed_e2e
    ):
        options.stopped = 1
