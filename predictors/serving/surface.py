"""The step-time surface: what one step of one replica costs, tabulated, and its lookup inside the kernel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from predictors.serving.compiled import inner
from predictors.serving.state import Record
from specs.errors import InputError

FloatArray = npt.NDArray[np.float64]


class StepSurface(NamedTuple):
    """Step times of one replica in one role; all float64 seconds (ours).

    A step with ``n`` scheduled tokens costs on the GPU ``tokens_s[n] + sequences_s[emitting] +
    decode_attention(decoding, mean context) + Σ prefill_attention(chunk, tokens already in its KV)``, and
    ``eager_s`` more when no CUDA graph is replayed; on the host ``host_s[running]``. The step takes the larger of
    both with asynchronous scheduling (``overlap``), else their sum. Grids ascend; between grid points the attention
    tables are bilinear, below the first they are constant, beyond the last they go on linearly and the run counts
    the step as outside. With pipeline parallelism the times are sums over ``stages``, and the slowest stage takes
    ``stage_share`` of the sum.
    """

    tokens_s: FloatArray
    """[T+1] dense time (GEMMs, norms, all-reduce, experts) of a step by its scheduled tokens."""
    sequences_s: FloatArray
    """[S+1] LM head and sampling by sequences that emit a token in the step."""
    host_s: FloatArray
    """[S+1] host time by running sequences (scheduler, input preparation, detokenising)."""
    decode_batch_grid: FloatArray
    """[B] decoding sequences."""
    decode_context_grid: FloatArray
    """[C] mean context tokens per decoding sequence."""
    decode_attention_s: FloatArray
    """[B, C]."""
    prefill_chunk_grid: FloatArray
    """[P] new tokens of one sequence."""
    prefill_context_grid: FloatArray
    """[Q] tokens already in its KV."""
    prefill_attention_s: FloatArray
    """[P, Q] per sequence, summed over the sequences prefilled in the step."""
    graph_max_sequences: int = 0
    """Decode-only steps of up to this many sequences replay a CUDA graph."""
    eager_s: float = 0.0
    """What a step costs more when it is not replayed from a graph."""
    overlap: bool = False
    """Asynchronous scheduling: host and GPU time overlap."""
    ahead: bool = False
    """Asynchronous scheduling fills a step when the one before it starts: what arrives or frees a place during a step
    counts from the step after the next."""
    stages: int = 1
    """Pipeline stages of the replica: so many batches are in flight."""
    stage_share: float = 1.0
    """The slowest stage's share of the sum over stages."""
    mixed_decode_attention_s: FloatArray | None = None
    """[B, C] decode attention in a step that also prefills; None: as without."""


def scaled_surface(surface: StepSurface, factor: float) -> StepSurface:
    """Return ``surface`` with every time, the host's included, multiplied by ``factor``."""
    if factor == 1.0:
        return surface
    timed = [name for name in surface._fields if name.endswith("_s") and getattr(surface, name) is not None]
    return surface._replace(**{name: getattr(surface, name) * factor for name in timed})


def check_surface(surface: StepSurface, *, max_num_seqs: int, max_num_batched_tokens: int) -> None:
    """Raise InputError when a table is too short, misshapen, negative or not finite."""
    _check_length("tokens_s", surface.tokens_s, max_num_batched_tokens)
    _check_length("sequences_s", surface.sequences_s, max_num_seqs)
    _check_length("host_s", surface.host_s, max_num_seqs)
    decode = (len(surface.decode_batch_grid), len(surface.decode_context_grid))
    prefill = (len(surface.prefill_chunk_grid), len(surface.prefill_context_grid))
    if surface.decode_attention_s.shape != decode or surface.prefill_attention_s.shape != prefill:
        raise InputError(
            f"step-time surface: attention tables {surface.decode_attention_s.shape} and "
            f"{surface.prefill_attention_s.shape} do not match their grids {decode} and {prefill}",
            cure="give one row per batch (or chunk) and one column per context",
        )
    if surface.mixed_decode_attention_s is not None and surface.mixed_decode_attention_s.shape != decode:
        raise InputError("step-time surface: mixed_decode_attention_s does not match the decode grids")
    for name, table in zip(surface._fields[:9], surface[:9], strict=True):
        _check_values(name, np.asarray(table))


def _check_length(name: str, table: FloatArray, largest: int) -> None:
    if len(table) <= largest:
        raise InputError(
            f"step-time surface: {name} ends at {len(table) - 1}, a step may hold {largest}",
            cure="compile the surface for the engine limits it is used with",
        )


def _check_values(name: str, table: FloatArray) -> None:
    if not np.isfinite(table).all() or (table < 0).any():
        raise InputError(f"step-time surface: {name} holds negative or undefined values", cure="check its evidence")
    if name.endswith("grid") and (table.size == 0 or (np.diff(table) <= 0).any()):
        raise InputError(f"step-time surface: {name} does not ascend", cure="sort it and drop repeated points")


TABLES = ("tokens_at", "sequences_at", "host_at", "batch_at", "context_at", "decode_at", "chunk_at", "past_at",
          "prefill_at")  # fmt: skip
"""Where each table of a surface starts in the kernel's flat array, in the order of StepSurface."""


def pack_surfaces(surfaces: tuple[StepSurface, ...]) -> tuple[list[FloatArray], list[dict[str, float]]]:
    """All tables to be laid end to end, and per surface its fields of a replica record."""
    parts: list[FloatArray] = []
    fields: list[dict[str, float]] = []
    start = 0
    for surface in surfaces:
        scalars = _scalars(surface)
        for name, table in zip(TABLES, surface[:9], strict=True):
            scalars[name] = start
            parts.append(np.asarray(table, dtype=np.float64).ravel())
            start += parts[-1].size
        scalars["mixed_at"], scalars["decode_tokens_at"] = scalars["decode_at"], scalars["tokens_at"]
        if surface.mixed_decode_attention_s is not None:
            scalars["mixed_at"] = start
            parts.append(np.asarray(surface.mixed_decode_attention_s, dtype=np.float64).ravel())
            start += parts[-1].size
        fields.append(scalars)
    return parts, fields


def _scalars(surface: StepSurface) -> dict[str, float]:
    return {
        "batch_n": surface.decode_attention_s.shape[0],
        "context_n": surface.decode_attention_s.shape[1],
        "chunk_n": surface.prefill_attention_s.shape[0],
        "past_n": surface.prefill_attention_s.shape[1],
        "graph_max": surface.graph_max_sequences,
        "eager_s": surface.eager_s,
        "overlap": surface.overlap,
        "ahead": surface.ahead,
        "stage_share": surface.stage_share,
    }


@inner
def cell(tables: FloatArray, at: int, count: int, x: float) -> tuple[int, float]:
    """The grid cell of x and its weight on the upper point (0 below the grid, above 1 beyond it)."""
    if count == 1 or x <= tables[at]:
        return 0, 0.0
    low, high = 0, count - 1
    while high - low > 1:
        middle = (low + high) >> 1
        if tables[at + middle] <= x:
            low = middle
        else:
            high = middle
    left = tables[at + low]
    return low, (x - left) / (tables[at + low + 1] - left)


@inner
def row_value(tables: FloatArray, row: int, column: int, weight: float) -> float:
    """Linear along one row of a table that starts at ``row``."""
    value = float(tables[row + column])
    if weight == 0.0:
        return value
    return value + weight * (float(tables[row + column + 1]) - value)


@inner
def blend(tables: FloatArray, at: int, columns: int, x: tuple[int, float], y: tuple[int, float]) -> float:
    """Bilinear value of the table at ``at`` with so many columns, in the cells x (row) and y (column)."""
    row = at + x[0] * columns
    low = row_value(tables, row, y[0], y[1])
    if x[1] == 0.0:
        return low
    return low + x[1] * (row_value(tables, row + columns, y[0], y[1]) - low)


@inner
def prefill_attention(tables: FloatArray, rep: Record, chunk: float, past: float) -> tuple[float, bool]:
    """Attention seconds of one sequence's chunk over its past, and whether that lies outside the grids."""
    x = cell(tables, rep.chunk_at, rep.chunk_n, chunk)
    y = cell(tables, rep.past_at, rep.past_n, past)
    return blend(tables, rep.prefill_at, rep.past_n, x, y), x[1] > 1.0 or y[1] > 1.0


@inner
def decode_attention(tables: FloatArray, rep: Record, batch: float, context: float, mixed: bool) -> tuple[float, bool]:
    """Attention seconds of a decoding batch at its mean context, and whether that lies outside the grids.

    ``mixed``: the step also prefills; one variable-length kernel then does both, and decodes lose their own tiling.
    """
    x = cell(tables, rep.batch_at, rep.batch_n, batch)
    y = cell(tables, rep.context_at, rep.context_n, context)
    at = rep.mixed_at if mixed else rep.decode_at
    return blend(tables, at, rep.context_n, x, y), x[1] > 1.0 or y[1] > 1.0


@inner
def dense_time(tables: FloatArray, rep: Record, tokens: int, emitting: int, graph: bool) -> float:
    """GPU seconds that do not depend on context; ``graph``: a step that only decodes, and may replay a CUDA graph."""
    eager = 0.0 if graph and emitting <= rep.graph_max else rep.eager_s
    at = rep.decode_tokens_at if graph else rep.tokens_at
    return float(tables[at + tokens] + tables[rep.sequences_at + emitting] + eager)


@inner
def step_time(tables: FloatArray, rep: Record, gpu_s: float, running: int) -> float:
    """The step's length from its GPU time and the host's."""
    host_s = float(tables[rep.host_at + running])
    return max(gpu_s, host_s) if rep.overlap else gpu_s + host_s
