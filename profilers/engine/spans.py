"""Turns a benchmark's requests, of which only TTFT and end are known, into windows for the fit."""

from __future__ import annotations

import numpy as np

from profilers.engine.steps import Steps, knots, token_share
from specs.errors import InputError
from specs.measured import Measured
from specs.trace import FloatArray

MOST_REQUESTS = 5000  # the work is quadratic in them; the first so many are taken


def request_windows(run: Measured, budget_tokens: int) -> tuple[Steps, FloatArray, tuple[int, int, int]]:
    """Return windows, the grid of their tokens, and the most tokens, sequences and context tokens of a step. [ours]

    The decoding of a request with n > 1 tokens is a window of n − 1 steps: other requests share it in proportion to
    the overlap of their decoding, and bring their prompts where their first token falls into it. A TTFT is a window
    where no other request was in flight. Raises `InputError` where not every request is listed with its times.
    """
    if not run.complete or run.arrival_s is None:
        raise InputError(
            f"{run.name}: lists {len(run.ttft_s)} of its {run.count} requests"
            f"{'' if run.arrival_s is not None else ', without arrival times'}; steps cannot be told from that",
            cure="Save every request: `vllm bench serve --save-result --save-detailed`, or a CSV of requests.",
        )
    kept = slice(0, MOST_REQUESTS)
    arrival, ttft, e2e = run.arrival_s[kept], run.ttft_s[kept], run.e2e_s[kept]
    prompt, output = run.prompt_tokens[kept].astype(np.float64), run.output_tokens[kept].astype(np.float64)
    first, end = arrival + ttft, arrival + e2e
    grid = knots(float(min(prompt.max() + _in_flight(first, end), budget_tokens)))
    rows = [
        _decoding(one, first, end, prompt, output, grid, budget_tokens) for one in map(int, np.flatnonzero(output > 1))
    ]
    rows += [
        _alone(float(ttft[one]), prompt[one], grid, budget_tokens)
        for one in range(len(arrival))
        if not ((arrival < first[one]) & (end > arrival[one]) & (np.arange(len(arrival)) != one)).any()
    ]
    width = len(grid) - 1
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 7 + width)
    table = table[table[:, 0] > 0]
    steps = Steps(
        seconds=table[:, 0], steps=table[:, 1], sequences=table[:, 2], context_tokens=table[:, 3],
        prompts=table[:, 4], pairs=table[:, 5], idle=table[:, 6], tokens=table[:, 7:],
    )  # fmt: skip
    batch = _in_flight(first, end)
    longest = int((prompt + output).max())
    return steps, grid, (int(min(grid[-1], budget_tokens)), batch, batch * longest)


def _in_flight(start: FloatArray, end: FloatArray) -> int:
    """Return the most requests that decode at once."""
    times = np.concatenate([start, end])
    change = np.concatenate([np.ones(len(start)), -np.ones(len(end))])
    return max(1, int(np.cumsum(change[np.lexsort((change, times))]).max()))


def _decoding(
    one: int, first: FloatArray, end: FloatArray, prompt: FloatArray, output: FloatArray, grid: FloatArray, budget: int
) -> list[float]:
    """Return the row of one request's decoding: seconds, steps, sequences, context, prompts, pairs, idle, tokens."""
    length = np.maximum(end - first, 1e-9)
    overlap = np.clip(np.minimum(end, end[one]) - np.maximum(first, first[one]), 0.0, None) / length
    tokens = overlap * (output - 1)  # that each request decoded meanwhile
    tokens[one] = output[one] - 1
    came = np.flatnonzero((first > first[one]) & (first <= end[one]))
    steps = output[one] - 1
    batch = tokens.sum() / steps
    chunks = [min(budget, left) for p in prompt[came] for left in np.arange(p, 0, -budget)][: int(steps)]
    pairs = float((prompt[came] ** 2 / 2).sum())
    shares = token_share(np.minimum(np.array([*chunks, 0.0]) + batch, budget), grid)
    shared = shares[:-1].sum(axis=0) + shares[-1] * (steps - len(chunks))
    context = float((tokens * (prompt + output / 2)).sum())
    seconds = float(end[one] - first[one])
    return [seconds, steps, tokens.sum() + len(came), context, len(chunks), pairs, 0.0, *shared]


def _alone(ttft_s: float, prompt: float, grid: FloatArray, budget: int) -> list[float]:
    chunks = np.minimum(budget, np.arange(prompt, 0, -budget))
    shared = token_share(chunks, grid).sum(axis=0)
    return [ttft_s, len(chunks), 1.0, 0.0, len(chunks), prompt**2 / 2, 1.0, *shared]
