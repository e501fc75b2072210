"""Surfaces, pools and traces that the tests of the engine share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from predictors.serving import EngineLimits, Pool, Requests, StepSurface


def surface(tokens: int = 4096, sequences: int = 256, **changes: Any) -> StepSurface:
    """A plausible surface: 4 ms of weights, linear tokens, attention by batch × context, inside its grids."""
    t, s = np.arange(tokens + 1.0), np.arange(sequences + 1.0)
    batch, context = np.array([1.0, 4.0, 16.0, 64.0, 300.0]), np.array([1.0, 50.0, 400.0, 3000.0, 40000.0])
    chunk, past = np.array([1.0, 64.0, 512.0, 5000.0]), np.array([0.0, 300.0, 2000.0, 20000.0])
    plain = StepSurface(
        tokens_s=4e-3 + np.maximum(t - 100.0, 0.0) * 1e-5,
        sequences_s=1e-6 * s,
        host_s=5e-4 + 2e-6 * s,
        decode_batch_grid=batch,
        decode_context_grid=context,
        decode_attention_s=1e-4 + 3e-8 * np.outer(batch, context) ** 0.95,
        prefill_chunk_grid=chunk,
        prefill_context_grid=past,
        prefill_attention_s=2e-9 * np.outer(chunk, past + 100.0),
        graph_max_sequences=8,
        eager_s=3e-4,
    )
    return plain._replace(**changes)


def unit_surface(**changes: Any) -> StepSurface:
    """Every step takes one second, whatever it holds."""
    flat, one = np.zeros((1, 1)), np.ones(1)
    plain = StepSurface(
        tokens_s=np.ones(5001),
        sequences_s=np.zeros(301),
        host_s=np.zeros(301),
        decode_batch_grid=one,
        decode_context_grid=one,
        decode_attention_s=flat,
        prefill_chunk_grid=one,
        prefill_context_grid=one,
        prefill_attention_s=flat,
        graph_max_sequences=300,
    )
    return plain._replace(**changes)


def pool(step: StepSurface | None = None, *, replicas: int = 1, **limits: Any) -> Pool:
    """A pool with room for everything unless told otherwise."""
    roomy = EngineLimits(max_num_seqs=64, max_num_batched_tokens=2048, kv_blocks=100_000)
    return Pool(surface=step or surface(), limits=replace(roomy, **limits), replicas=replicas)


def requests(arrival_s: Any, prompt_tokens: Any, output_tokens: Any, **more: Any) -> Requests:
    """A trace from lists."""
    return Requests(
        arrival_s=np.asarray(arrival_s, dtype=np.float64),
        prompt_tokens=np.asarray(prompt_tokens, dtype=np.int64),
        output_tokens=np.asarray(output_tokens, dtype=np.int64),
        **more,
    )


def chat(n: int, rate_per_s: float, seed: int = 0) -> Requests:
    """Poisson arrivals with geometric lengths, like a conversation trace."""
    rng = np.random.default_rng(seed)
    return requests(
        np.cumsum(rng.exponential(1.0 / rate_per_s, n)),
        np.minimum(rng.geometric(1 / 400, n), 3000),
        np.minimum(rng.geometric(1 / 80, n), 1000),
    )
