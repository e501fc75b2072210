"""Runs of decode-only steps in which the batch cannot change, advanced at once and exactly."""

from __future__ import annotations

import math

from predictors.serving.compiled import inner
from predictors.serving.decoding import add_gap, add_peak, record_gaps
from predictors.serving.lists import finish_slot
from predictors.serving.state import NONE, FloatArray, Record, World
from predictors.serving.surface import blend, cell, dense_time, step_time

Line = tuple[float, float, float, float]
"""Decode attention along the mean context: seconds at the left end, seconds per token, left end, 1.0 if outside."""


@inner
def coast(w: World, lane: Record, horizon: float) -> None:
    """Run through decode-only steps in which no request starts, finishes or is preempted.

    Called with a step in flight, when nothing waits or what waits has just been refused. Exact, not an approximation:
    what the scheduler would decide cannot change before the horizon, a finish or a shortage of blocks (a step that
    preempted has tried no admission, so it is not coasted from). Within one cell of the attention table the step
    time is linear in the mean context.
    """
    rep = w.replicas[lane.replica]
    if (
        lane.step_prefills > 0
        or lane.step_preempted
        or lane.gated
        or lane.decoding == 0
        or rep.draft > 0
        or rep.lanes > 1
    ):
        return
    decoding, first, last_s = lane.decoding, lane.epoch, lane.last_s
    rows = cell(w.tables, rep.batch_at, rep.batch_n, float(decoding))
    fixed_s = dense_time(w.tables, rep, decoding, decoding, True)
    end, epoch, free = w.lanes[lane.number].end_s, first, rep.free
    mean, top, line = lane.context / decoding + 1.0, -1.0, (0.0, 0.0, 0.0, 0.0)
    busy_s, held_s, outside = 0.0, 0.0, 0.0
    low_s, high_s, bucket = 0.0, 0.0, 0
    while end < horizon and w.slots[lane.number, finish_slot(lane, epoch + 1)] == NONE:
        need = w.slots[lane.number, (epoch + 1) % rep.block]
        if need > free:
            break
        gap_s = end - last_s
        if epoch == first:
            record_gaps(w, lane, end)
        elif low_s <= gap_s < high_s:
            w.gaps[bucket] += decoding
            add_peak(w.peaks, lane, epoch + 1, gap_s)
        else:
            bucket, low_s, high_s = add_gap(w.gaps, gap_s, float(decoding))
            add_peak(w.peaks, lane, epoch + 1, gap_s)
        last_s, epoch, free, mean = end, epoch + 1, free - need, mean + 1.0
        if mean > top:
            line, top = _context_line(w.tables, rep, rows, mean)
        step_s = step_time(w.tables, rep, line[0] + line[1] * (mean - line[2]) + fixed_s, decoding)
        end, busy_s, outside = end + step_s, busy_s + step_s, outside + line[3]
        held_s += step_s * (rep.total - free - rep.evictable)
    if epoch > first:
        w.lanes[lane.number].end_s, lane.last_s, lane.launched_s = end, last_s, last_s
        lane.outside += int(outside)
        _note_coasted(rep, lane, epoch - first, free, busy_s, held_s)


@inner
def _context_line(tables: FloatArray, rep: Record, rows: tuple[int, float], mean: float) -> tuple[Line, float]:
    """Decode attention near this mean context as a line, and up to which context it holds."""
    column, weight = cell(tables, rep.context_at, rep.context_n, mean)
    outside = 1.0 if weight > 1.0 or rows[1] > 1.0 else 0.0
    low_s = blend(tables, rep.decode_at, rep.context_n, rows, (column, 0.0))
    if weight == 0.0:
        return (low_s, 0.0, mean, outside), mean
    left, right = tables[rep.context_at + column], tables[rep.context_at + column + 1]
    high_s = blend(tables, rep.decode_at, rep.context_n, rows, (column + 1, 0.0))
    top = math.inf if weight > 1.0 else right
    return (low_s, (high_s - low_s) / (right - left), left, outside), top


@inner
def _note_coasted(rep: Record, lane: Record, steps: int, free: int, busy_s: float, held_s: float) -> None:
    """Write back what a run of decode-only steps changed."""
    lane.epoch += steps
    lane.context += steps * lane.decoding
    rep.free = free
    rep.kv_max = max(rep.kv_max, rep.total - free - rep.evictable)
    rep.steps += steps
    rep.decode_tokens += steps * lane.decoding
    rep.busy_s += busy_s
    rep.kv_block_s += held_s
