"""Adds an engine step up from its operators: one surface per deployment and role."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from predictors.serving.surface import StepSurface
from predictors.step_time.host import HostTime
from predictors.step_time.operators import Experts, StepOperators, unabsorbed
from predictors.step_time.sources import Source, TokenOperator
from specs.deployment import Engine
from specs.model import ModelSpec

FloatArray = npt.NDArray[np.float64]

# vLLM's default capture sizes: 1, 2, 4, multiples of 8 to 256, of 16 to 512; batches are padded to the next one.
# [vLLM 0.11 config/compilation.py, read 2026-11-23]
CAPTURE_SIZES = np.array([1, 2, 4, *range(8, 257, 8), *range(272, 513, 16)], dtype=np.float64)
EAGER_LAUNCH_S = 4.5e-6  # Python and launch of one kernel without a graph; vLLM eager decode of 7B models [assumed]
BATCH_GRID = np.array([1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024], dtype=np.float64)
CHUNK_GRID = np.array([1, 16, 64, 128, 256, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 32768],
                      dtype=np.float64)  # fmt: skip


@dataclass
class Tally:
    """Seconds that each source contributed to a reference step, for evidence and error."""

    seconds: dict[tuple[int, str], float] = field(default_factory=dict)

    def add(self, source: int, operator: str, seconds: float) -> None:
        """Count ``seconds`` of ``operator`` for the source with that index."""
        self.seconds[(source, operator)] = self.seconds.get((source, operator), 0.0) + seconds

    def share(self, source: int) -> float:
        """Share of the reference step that rests on that source."""
        total = sum(self.seconds.values())
        return sum(s for (index, _), s in self.seconds.items() if index == source) / total if total else 0.0


def compile_surface(
    model: ModelSpec,
    operators: StepOperators,
    sources: Sequence[Source],
    engine: Engine,
    host: HostTime,
    *,
    saved_s: float = 0.0,
    draft_tokens: int = 0,
    max_context: int | None = None,
) -> tuple[StepSurface, Tally]:
    """Tabulate the step time over the engine's limits; the first source that knows an operator gives its time.

    ``saved_s`` is taken off the token-wise part of every step, of which at least half remains.
    Returns the surface (seconds) and how much of a reference step each source gave.
    """
    tally = Tally()
    largest = engine.max_num_batched_tokens + engine.max_num_seqs * (1 + draft_tokens)
    tokens_s = token_seconds(operators, sources, engine, saved_s, largest, tally)
    count = np.arange(engine.max_num_seqs + 1, dtype=np.float64)
    grid = _count_grid(engine.max_num_seqs)
    sequence = np.zeros_like(grid)
    for operator in operators.sequence:
        index, seconds = _counted(sources, operator, grid)
        sequence += operator.calls * seconds
        tally.add(index, operator.name, float(operator.calls * np.interp(32, grid, seconds)))
    context = _context_grid(max_context or engine.max_model_len or model.max_context_tokens)
    batch = _up_to(BATCH_GRID, engine.max_num_seqs)
    chunk = _up_to(CHUNK_GRID, engine.max_num_batched_tokens)
    decode, mixed, prefill = _attention(model, operators, sources, batch, chunk, context, tally)
    surface = StepSurface(
        tokens_s=tokens_s, sequences_s=np.interp(count, np.r_[0, grid], np.r_[0, sequence]),
        host_s=host.seconds(count), decode_batch_grid=batch, decode_context_grid=context, decode_attention_s=decode,
        prefill_chunk_grid=chunk, prefill_context_grid=context, prefill_attention_s=prefill,
        graph_max_sequences=int(CAPTURE_SIZES[-1]) if engine.cuda_graphs else 0, eager_s=0.0, overlap=host.overlap,
        ahead=host.ahead if engine.async_scheduling is None else engine.async_scheduling,
        stages=operators.stages, stage_share=operators.stage_share, mixed_decode_attention_s=mixed,
    )  # fmt: skip
    return surface, tally


def token_seconds(
    operators: StepOperators, sources: Sequence[Source], engine: Engine, saved_s: float, largest: int, tally: Tally,
    *, experts_share: Callable[[FloatArray], FloatArray] | None = None,
) -> FloatArray:  # fmt: skip
    """Return the token-wise part of a step, in seconds, for 0 … ``largest`` scheduled tokens.

    ``experts_share``: from scheduled tokens to what of the routed experts' time is left (None: all).
    """
    grid = _count_grid(largest)
    total = np.zeros_like(grid)
    for operator in operators.token:
        index, seconds = _counted(sources, operator, grid)
        if experts_share is not None and isinstance(operator, Experts):
            seconds = seconds * experts_share(grid)
        total += operator.calls * seconds
        tally.add(index, operator.name, float(operator.calls * np.interp(32, grid, seconds)))
    total = np.maximum(total - saved_s, 0.5 * total)
    if not engine.cuda_graphs:
        total = np.maximum(total, operators.kernels * EAGER_LAUNCH_S)
    count = np.arange(largest + 1, dtype=np.float64)
    if engine.cuda_graphs:
        inside = count <= CAPTURE_SIZES[-1]
        count[inside] = CAPTURE_SIZES[np.searchsorted(CAPTURE_SIZES, count[inside])]
    values = np.maximum.accumulate(np.interp(count, grid, total))
    values[0] = 0.0
    return values


def _attention(
    model: ModelSpec, operators: StepOperators, sources: Sequence[Source], batch: FloatArray, chunk: FloatArray,
    context: FloatArray, tally: Tally,
) -> tuple[FloatArray, FloatArray | None, FloatArray]:  # fmt: skip
    decode = np.zeros((len(batch), len(context)))
    mixed = np.zeros_like(decode)
    prefill = np.zeros((len(chunk), len(context)))
    split = False
    for call in operators.attention:
        index, seconds = _first(source.decode(call, batch, context) for source in sources)
        decode += call.calls * seconds
        tally.add(index, "decode_attention", float(call.calls * seconds[len(batch) // 2, len(context) // 2]))
        together = sources[index].mixed_decode(call, batch, context)
        split |= together is not None
        mixed += call.calls * (seconds if together is None else np.maximum(together, seconds))
        prompt = unabsorbed(call, model.attention[call.kind])
        _, seconds = _first(source.prefill(prompt, chunk, context) for source in sources)
        prefill += call.calls * seconds
    return decode, mixed if split else None, prefill


def _counted(sources: Sequence[Source], operator: TokenOperator, count: FloatArray) -> tuple[int, FloatArray]:
    return _first(source.counted(operator, count) for source in sources)


def _first(answers: Iterable[FloatArray | None]) -> tuple[int, FloatArray]:
    for index, answer in enumerate(answers):
        if answer is not None:
            return index, answer
    raise AssertionError("the last source is the roofline, which knows every operator")


def _count_grid(largest: int) -> FloatArray:
    """Counts 1…largest, dense where tiles and waves make steps."""
    parts = [np.arange(1, 9), np.arange(8, 257, 8), np.arange(256, 1025, 32), np.arange(1024, 4097, 128),
             np.arange(4096, max(largest, 4096) + 512, 512)]  # fmt: skip
    grid = np.unique(np.concatenate(parts))
    counts: FloatArray = np.r_[grid[grid < largest], largest].astype(np.float64)
    return counts


def _up_to(grid: FloatArray, largest: int) -> FloatArray:
    known: FloatArray = np.unique(np.r_[grid[grid < largest], float(max(largest, 2)), 1.0])
    return known


def _context_grid(largest: int) -> FloatArray:
    """Contexts from 0 to the limit, in steps that grow by a quarter and of at least 128 tokens."""
    grid = [0.0]
    while grid[-1] < largest:
        grid.append(min(grid[-1] + max(128.0, 0.25 * grid[-1]), float(largest)))
    return np.array(grid)
