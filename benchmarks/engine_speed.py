"""How many requests the engine simulates per CPU second, beside a bare loop in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl

from benchmarks.bare_loop import bare_loop
from benchmarks.line import Line, Result
from benchmarks.reference import reference_path
from predictors.serving import EngineLimits, Pool, Requests, Run, StepSurface, simulate

LINE = Line(
    name="engine-speed",
    what="12,000 requests with the conversation trace's lengths, one replica near saturation, surface-based step times,"
    " every feature compiled in: requests simulated per CPU second",
    bar="≥ 300,000, and ≥ 0.6 × the bare loop in the same run",
    data="llm_traces/azure2023_conv_first60pct.csv.gz",
    best="a bare numba loop 450,000; pure Python 1,600; Vidur 400 in 67 CPU-s",
)
REQUESTS = 12_000
REPEATS = 9
LIMITS = EngineLimits(max_num_seqs=256, max_num_batched_tokens=8192, kv_blocks=24_000)
LOAD = 0.95
"""Share of the throughput that the replica reaches when all requests wait at once."""


def run() -> Result:
    """Time both on the same trace, alternating, and compare what they compute."""
    trace, pool = near_saturation()
    simulated, bare = simulate(trace, pool), _bare(trace, pool)
    ours, peer = _rates(lambda: simulate(trace, pool), lambda: _bare(trace, pool))
    apart = float(np.abs(simulated.e2e_s / bare - 1.0).max())
    return Result(
        holds=ours >= 300_000 and ours >= 0.6 * peer,
        text=f"{ours:,.0f} requests per CPU second, {ours / peer:.2f} × the bare loop ({peer:,.0f})",
        figures={"requests_per_cpu_s": ours, "bare_loop_per_cpu_s": peer, "ratio": ours / peer},
        detail=({"largest_difference_of_e2e": apart, **_shape(simulated)},),
        notes=(f"Median of {REPEATS} runs each, alternating; ours includes laying out and collecting all arrays.",),
    )


def near_saturation() -> tuple[Requests, Pool]:
    """The trace's lengths, Poisson arrivals at the given share of one replica's measured capacity."""
    lengths = pl.read_csv(reference_path("llm_traces/azure2023_conv_first60pct.csv.gz")).head(REQUESTS)
    at_once = Requests(
        arrival_s=np.zeros(REQUESTS),
        prompt_tokens=lengths["input_tokens"].to_numpy(),
        output_tokens=lengths["output_tokens"].to_numpy(),
    )
    pool = Pool(surface=surface(), limits=LIMITS)
    rate = LOAD * REQUESTS / simulate(at_once, pool).span_s
    gaps = np.random.default_rng(0).exponential(1.0 / rate, REQUESTS)
    return replace(at_once, arrival_s=np.cumsum(gaps)), pool


def surface() -> StepSurface:
    """A surface of the size and shape of a real one: an 8B model on an 80 GB GPU, by a plain roofline (ours)."""
    tokens, sequences = np.arange(LIMITS.max_num_batched_tokens + 1.0), np.arange(LIMITS.max_num_seqs + 1.0)
    batch, context = np.exp2(np.arange(9.0)), np.exp2(np.arange(4.0, 15.0))
    chunk, past = np.concatenate([[1.0], 2.0 ** np.arange(5, 14)]), np.concatenate([[0.0], 2.0 ** np.arange(7, 15)])
    return StepSurface(
        tokens_s=np.maximum(6.0e-3, 3.2e-5 * tokens) + 3e-4,
        sequences_s=2e-4 + 4e-6 * sequences,
        host_s=1e-3 + 4e-6 * sequences,
        decode_batch_grid=batch,
        decode_context_grid=context,
        decode_attention_s=1e-4 + 5.3e-8 * np.outer(batch, context),
        prefill_chunk_grid=chunk,
        prefill_context_grid=past,
        prefill_attention_s=1e-5 + 1e-9 * np.outer(chunk, past) + 5e-10 * chunk[:, None] ** 2,
        graph_max_sequences=LIMITS.max_num_seqs,
    )


def _bare(trace: Requests, pool: Pool) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    limits = pool.limits
    _, finish = bare_loop(
        trace.arrival_s, trace.prompt_tokens, trace.output_tokens, pool.surface, limits.max_num_seqs,
        limits.max_num_batched_tokens, limits.kv_blocks, limits.block_size_tokens,
    )  # fmt: skip
    return np.asarray(finish)


def _rates(*functions: Callable[[], object]) -> list[float]:
    """Requests per CPU second of each function: the median over repeats that alternate."""
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(REPEATS):
        for mine, function in zip(seconds, functions, strict=True):
            started = time.process_time()
            function()
            mine.append(time.process_time() - started)
    return [REQUESTS / float(np.median(mine)) for mine in seconds]


def _shape(run: Run) -> dict[str, float]:
    totals = run.replicas
    return {
        "steps": float(totals.steps.sum()),
        "mean_batch": float(totals.decode_tokens.sum() / totals.steps.sum()),
        "busy": float(totals.busy_s.sum() / run.span_s),
        "p99_ttft_s": float(np.quantile(run.ttft_s, 0.99)),
        "longest_queue": float(run.longest_queue),
        "preemptions": float(totals.preemptions.sum()),
    }
