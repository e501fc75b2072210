"""Capacity tables of replicas that serve a language model: measured on the engine model, load by load."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from predictors.autoscaling.capacity import RHO, SLACK, Capacity, table_rows
from predictors.autoscaling.state import RHO_STEPS, SLACK_STEPS, FloatArray, IntArray
from predictors.serving import ClosedLoop, Pool, Requests, Run, scaled_surface, simulate
from specs.trace import FloatArray as Times

LOADS = (0.05, 0.3, 0.5, 0.65, 0.75, 0.85, 0.92, 0.98)
"""Shares of the saturated throughput at which the engine is run."""
REPLICAS = (1, 2, 4, 8)
"""Numbers of replicas that are run; between them the smaller one stands in, which is on the safe side."""
REQUESTS, MOST_REQUESTS = 600, 4_000
WARM_SHARE = 0.2
"""Part of a run at its beginning that is not counted: the batch is not full yet."""


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Prompt and output lengths of the workload's requests, drawn from together."""

    prompt_tokens: IntArray
    output_tokens: IntArray

    def draw(self, count: int, seed: int) -> tuple[IntArray, IntArray]:
        """So many pairs, with replacement."""
        at = np.random.default_rng(seed).integers(0, len(self.prompt_tokens), count)
        return self.prompt_tokens[at], self.output_tokens[at]


def engine_capacity(
    pool: Pool, lengths: Lengths, bounds: Times, *, bound_s: float, most: int, cv: float = 1.0,
    time_factor: float = 1.0, basis: str = "calibrated", source: str = "", error: float | None = None, seed: int = 0,
) -> Capacity:  # fmt: skip
    """Run the engine model closed (for its limit) and open (for its latencies) and return the tables.

    ``pool``: one replica; ``bounds`` [4]: on TTFT, TPOT, end to end and the longest gap; waiting before the engine uses
    up ``bound_s``. Arrivals are gamma with ``cv``. ``time_factor`` multiplies every step time. Ours.
    """
    pool = Pool(surface=scaled_surface(pool.surface, time_factor), limits=pool.limits, replicas=pool.replicas)
    per_s = saturated_per_s(pool, lengths, seed)
    rows = table_rows(most)
    known = [n for n in REPLICAS if n <= most]
    late = np.empty((len(known), len(LOADS), SLACK_STEPS))
    flying, kv = np.empty((len(known), len(LOADS))), np.empty(len(LOADS))
    for r, replicas in enumerate(known):
        for i, load in enumerate(LOADS):
            run = _open(pool, lengths, replicas, load * per_s * replicas, cv, seed + i)
            late[r, i] = late_shares(run, bounds, bound_s)
            flying[r, i] = load * per_s * replicas * float(np.nanmean(run.e2e_s))
            kv[i] = _kv_use(run) if replicas == 1 else kv[i]
    late = np.maximum.accumulate(late, axis=1)
    tails, in_flight = np.empty((len(rows), RHO_STEPS, SLACK_STEPS)), np.empty((len(rows), RHO_STEPS))
    for at, replicas in enumerate(rows):
        r = max(i for i, n in enumerate(known) if n <= replicas)
        tails[at] = _over_rho(late[r])
        in_flight[at] = _over_rho(flying[r][:, None])[:, 0] * int(replicas) / known[r]
    return Capacity(
        per_s=per_s, bound_s=bound_s, rows=rows, tails=tails, in_flight=in_flight, kv=_over_rho(kv[:, None])[:, 0],
        basis=basis, source=source, error=error,
    )  # fmt: skip


def saturated_per_s(pool: Pool, lengths: Lengths, seed: int) -> float:
    """Requests per second that one replica completes when there is always another one waiting."""
    count = min(max(4 * pool.limits.max_num_seqs, REQUESTS), MOST_REQUESTS)
    prompt, output = lengths.draw(count, seed)
    requests = Requests(arrival_s=np.zeros(count), prompt_tokens=prompt, output_tokens=output)
    loop = ClosedLoop(concurrency=min(pool.limits.max_num_seqs + 8, count))
    run = simulate(requests, pool, closed_loop=loop, seed=seed)
    ends = np.sort(run.arrival_s + run.e2e_s)
    first, last = int(0.2 * count), int(0.8 * count)
    return float((last - first) / max(ends[last] - ends[first], 1e-9))


def _open(pool: Pool, lengths: Lengths, replicas: int, rate_per_s: float, cv: float, seed: int) -> Run:
    count = min(REQUESTS * replicas, MOST_REQUESTS)
    prompt, output = lengths.draw(count, seed)
    gaps = np.random.default_rng(seed).gamma(1.0 / cv**2, cv**2 / rate_per_s, count)
    requests = Requests(arrival_s=np.cumsum(gaps), prompt_tokens=prompt, output_tokens=output)
    return simulate(requests, Pool(surface=pool.surface, limits=pool.limits, replicas=replicas * pool.replicas))


def late_shares(run: Run, bounds: Times, bound_s: float) -> FloatArray:
    """Share of requests that break a bound when 0 … 1 of ``bound_s`` is left after waiting elsewhere."""
    first = int(WARM_SHARE * len(run.ttft_s))
    ttft, tpot, e2e, gap = (each[first:] for each in (run.ttft_s, run.tpot_s, run.e2e_s, run.longest_gap_s))
    steady = (tpot > bounds[1]) | (gap > bounds[3]) | (run.status[first:] != 1)
    waits = (1.0 - SLACK) * bound_s
    late = steady[None, :] | (ttft[None, :] + waits[:, None] > bounds[0]) | (e2e[None, :] + waits[:, None] > bounds[2])
    return np.asarray(late.mean(axis=1), dtype=np.float64)


def _kv_use(run: Run) -> float:
    held = run.replicas
    return float(np.sum(held.kv_block_s) / max(np.sum(held.kv_blocks) * run.span_s, 1e-9))


def _over_rho(values: FloatArray) -> FloatArray:
    """Columns given at LOADS, at the utilisations of the tables; flat below the first."""
    return np.stack([np.interp(RHO, LOADS, column) for column in values.T], axis=1)
