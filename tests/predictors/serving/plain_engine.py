"""A second engine, slow and plain, to hold the kernel against: vLLM v1's scheduler on lists, token by token."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from predictors.serving import EngineLimits, Pool, Requests, StepSurface
from specs.trace import FloatArray


@dataclass
class _Sequence:
    number: int
    prompt: int
    output: int
    arrival_s: float
    computed: int = 0
    emitted: int = 0
    recomputing: bool = False
    preemptions: int = 0
    times: list[float] = field(default_factory=list)
    started_s: float | None = None

    @property
    def tokens(self) -> int:
        return self.prompt + self.emitted

    @property
    def decoding(self) -> bool:
        return self.emitted > 0 and not self.recomputing


def serve_plainly(requests: Requests, pool: Pool) -> list[_Sequence]:
    """Serve on one replica with chunked prefill; every sequence with the times of its tokens."""
    limits, now = pool.limits, 0.0
    sequences = [
        _Sequence(i, int(p), int(o), float(a))
        for i, (a, p, o) in enumerate(
            zip(requests.arrival_s, requests.prompt_tokens, requests.output_tokens, strict=True)
        )
    ]
    coming, waiting, running = deque(sequences), deque[_Sequence](), list[_Sequence]()
    known_s, freed = np.inf, 0
    while coming or waiting or running:
        if not waiting and not running:
            now, known_s, freed = max(now, coming[0].arrival_s), np.inf, 0
        while coming and coming[0].arrival_s <= now:
            waiting.append(coming.popleft())
        late = (known_s, freed) if pool.surface.ahead else (np.inf, 0)
        scheduled = _schedule(waiting, running, limits, now, late)
        known_s, before = now, len(running)
        now += _cost(scheduled, pool.surface)
        for sequence, new in scheduled:
            sequence.computed += new
            if sequence.computed == sequence.tokens:
                sequence.emitted += 1
                sequence.recomputing = False
                sequence.times.append(now)
                if sequence.emitted == sequence.output:
                    running.remove(sequence)
        freed = before - len(running)
    return sequences


def _blocks(tokens: int, limits: EngineLimits) -> int:
    return -(-tokens // limits.block_size_tokens)


def _schedule(
    waiting: deque[_Sequence],
    running: list[_Sequence],
    limits: EngineLimits,
    now: float,
    late: tuple[float, int],
) -> list[tuple[_Sequence, int]]:
    """``late``: with scheduling one step ahead, the last arrival known and how many places are not yet known free."""
    scheduled: dict[int, tuple[_Sequence, int]] = {}
    budget, preempted = limits.max_num_batched_tokens, False
    held = {s.number: _blocks(s.computed, limits) for s in running}
    for sequence in list(running):
        if sequence not in running:
            continue
        new = min(sequence.tokens - sequence.computed, budget)
        needed = _blocks(sequence.computed + new, limits)
        while sequence in running and sum(held.values()) - held[sequence.number] + needed > limits.kv_blocks:
            victim = running.pop()
            del held[victim.number]
            budget += scheduled.pop(victim.number, (victim, 0))[1]
            victim.computed, victim.recomputing, preempted = 0, victim.emitted > 0, True
            victim.preemptions += 1
            waiting.appendleft(victim)
        if sequence in running and new > 0:
            held[sequence.number] = needed
            scheduled[sequence.number] = (sequence, new)
            budget -= new
    known_s, freed = late if scheduled else (np.inf, 0)
    while waiting and budget > 0 and not preempted and len(running) + freed < limits.max_num_seqs:
        if waiting[0].arrival_s > known_s:
            break
        new = min(waiting[0].tokens, budget)
        if sum(held.values()) + _blocks(new, limits) > limits.kv_blocks:
            break
        sequence = waiting.popleft()
        sequence.started_s = now if sequence.started_s is None else sequence.started_s
        running.append(sequence)
        held[sequence.number] = _blocks(new, limits)
        scheduled[sequence.number] = (sequence, new)
        budget -= new
    return list(scheduled.values())


def _cost(scheduled: list[tuple[_Sequence, int]], surface: StepSurface) -> float:
    decodes = [s for s, _ in scheduled if s.decoding]
    prefills = [(s, new) for s, new in scheduled if not s.decoding]
    emitting = len(decodes) + sum(s.computed + new == s.tokens for s, new in prefills)
    gpu = surface.tokens_s[sum(new for _, new in scheduled)] + surface.sequences_s[emitting]
    if decodes:
        context = float(np.mean([s.computed + 1 for s in decodes]))
        gpu += _bilinear(surface.decode_batch_grid, surface.decode_context_grid, surface.decode_attention_s,
                         len(decodes), context)  # fmt: skip
    for s, new in prefills:
        gpu += _bilinear(surface.prefill_chunk_grid, surface.prefill_context_grid, surface.prefill_attention_s,
                         new, s.computed)  # fmt: skip
    if prefills or len(decodes) > surface.graph_max_sequences:
        gpu += surface.eager_s
    host = surface.host_s[len(scheduled)]
    return float(max(gpu, host) if surface.overlap else gpu + host)


def _bilinear(rows: FloatArray, columns: FloatArray, table: FloatArray, x: float, y: float) -> float:
    along = [np.interp(x, rows, table[:, j]) for j in range(len(columns))]
    return float(np.interp(y, columns, along))
