"""One simulation from requests and pools to a run: lays out the kernel's arrays, calls it, collects the results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from predictors.serving import state
from predictors.serving.control import Control, run_controlled
from predictors.serving.engine import (
    ClosedLoop,
    EarlyStop,
    Patience,
    Pool,
    Requests,
    Router,
    Speculative,
    Transfer,
    check_fit,
    check_requests,
)
from predictors.serving.kernel import run_kernel
from predictors.serving.state import World
from predictors.serving.surface import check_surface, pack_surfaces

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

ROUTERS: dict[Router, int] = {
    "round-robin": state.ROUND_ROBIN,
    "least-loaded": state.LEAST_LOADED,
    "prefix-aware": state.PREFIX_AWARE,
    "single-queue": state.SINGLE_QUEUE,
}
FOREVER = 2**62
ACCEPTANCE_DRAWS = 1 << 16


@dataclass(frozen=True, kw_only=True)
class ReplicaTotals:
    """What each replica did, arrays [replicas] (prefill replicas before decode replicas)."""

    steps: IntArray
    busy_s: FloatArray
    prefill_tokens: IntArray
    decode_tokens: IntArray
    hit_tokens: IntArray
    preemptions: IntArray
    evicted_prefix_blocks: IntArray
    kv_blocks: IntArray
    kv_blocks_max: IntArray
    kv_block_s: FloatArray


@dataclass(frozen=True, kw_only=True)
class Run:
    """One simulated run; times in seconds, arrays per request [n], NaN where it did not get so far.

    ``status``: 1 done, 2 rejected, 3 timed out in the queue, 4 aborted by its client, 0 unfinished (early stop).
    ``steps_outside`` counts steps whose attention lay beyond the surface's grids. ``gap_counts`` is the histogram of
    all inter-token gaps over ``gap_edges_s``.
    """

    arrival_s: FloatArray
    queue_s: FloatArray
    ttft_s: FloatArray
    e2e_s: FloatArray
    longest_gap_s: FloatArray
    tokens: IntArray
    status: IntArray
    replica: IntArray
    preemptions: IntArray
    cached_tokens: IntArray
    class_index: IntArray
    replicas: ReplicaTotals
    gap_edges_s: FloatArray
    gap_counts: IntArray
    longest_queue: int
    steps_outside: int
    stopped_early: bool

    @property
    def tpot_s(self) -> FloatArray:
        """(e2e − TTFT)/(tokens − 1) of completed requests; NaN for one token and for the uncompleted."""
        defined = (self.status == state.DONE) & (self.tokens > 1)
        gaps = np.where(defined, self.tokens - 1, 1)
        return np.where(defined, (self.e2e_s - self.ttft_s) / gaps, np.nan)

    @property
    def span_s(self) -> float:
        """From the first arrival to the last end."""
        ends = self.arrival_s + self.e2e_s
        return float(np.nanmax(ends) - np.nanmin(self.arrival_s)) if np.isfinite(ends).any() else 0.0


def simulate(
    requests: Requests,
    pools: Pool | tuple[Pool, Pool],
    *,
    router: Router = "least-loaded",
    closed_loop: ClosedLoop | None = None,
    transfer: Transfer | None = None,
    speculative: Speculative | None = None,
    patience: Patience | None = None,
    early_stop: EarlyStop | None = None,
    control: Control | None = None,
    seed: int = 0,
) -> Run:
    """Serve the requests on one pool of mixed replicas, or on (prefill pool, decode pool).

    With separate pools the first token comes from the prefill replica; the KV transfer and the wait for the decode
    replica lie in the gap to the second. ``single-queue`` keeps all waiting requests at the router. ``control`` changes
    the step times while the run goes on. The seed draws the accepted draft tokens only. Raises InputError and
    InfeasibleError before the run (``check_requests``, ``check_fit``, ``check_surface``). Ours, after the scheduler of
    vLLM v1.
    """
    roles = pools if isinstance(pools, tuple) else (pools,)
    check_requests(requests)
    draft = speculative.draft_tokens if speculative else 0
    for pool in roles:
        check_fit(requests, pool, draft)
        check_surface(
            pool.surface,
            max_num_seqs=pool.limits.max_num_seqs,
            max_num_batched_tokens=pool.limits.max_num_batched_tokens,
        )
    stop = early_stop or EarlyStop()
    world = _world(requests, roles, router, speculative, stop, seed)
    _set_policies(world, closed_loop, transfer or Transfer(), patience or Patience(), stop)
    if control is None:
        run_kernel(world)
    else:
        run_controlled(world, control)
    return _collect(world)


def _world(
    requests: Requests,
    roles: tuple[Pool, ...],
    router: Router,
    speculative: Speculative | None,
    stop: EarlyStop,
    seed: int,
) -> World:
    draft = speculative.draft_tokens if speculative else 0
    accepted = _accepted(speculative, seed)
    tables, fields = pack_surfaces(tuple(pool.surface for pool in roles))
    starts, ids, distinct = _prefixes(requests, roles[0])
    replicas = _replicas(requests, roles, fields, draft, router == "single-queue", distinct)
    sequences = _sequences(requests, starts)
    block = max(pool.limits.block_size_tokens for pool in roles)
    ring = 1 << int(sequences["output"].max()).bit_length()
    lanes = _lanes(replicas, block, ring)
    slots = np.zeros((len(lanes), block + ring), dtype=np.int64)
    slots[:, block:] = state.NONE
    bounds = np.asarray(stop.request_bounds, dtype=np.float64)
    return World(
        sequences=sequences,
        lanes=lanes,
        replicas=replicas,
        options=_filled(
            state.OPTIONS,
            1,
            router=ROUTERS[router],
            bounds_at=sum(part.size for part in tables),
            accepted_at=len(ids),
            accepted_count=len(accepted),
        )[0],
        tables=np.concatenate([*tables, bounds.ravel()]),
        slots=slots,
        numbers=np.concatenate([ids, accepted]).astype(np.int64),
        events=_filled(state.EVENT, len(requests) + 1),
        cached=_filled(state.CACHED, len(replicas) * distinct),
        peaks=_filled(state.PEAK, len(lanes) * state.PEAKS),
        gaps=np.zeros(state.GAP_BUCKETS),
        mixed_gaps=np.zeros(state.GAP_BUCKETS),
    )


def _filled(dtype: np.dtype[Any], count: int, **values: Any) -> Any:
    """A record array of zeros, but for the fields given."""
    records = np.zeros(count, dtype=dtype).view(np.recarray)
    for name, value in values.items():
        records[name] = value
    return records


def _sequences(requests: Requests, starts: IntArray) -> Any:
    nan, n = np.nan, len(requests)
    return _filled(
        state.SEQUENCE,
        n,
        arrival_s=requests.arrival_s,
        started_s=nan,
        first_s=nan,
        last_s=nan,
        finish_s=nan,
        prompt=requests.prompt_tokens,
        target=requests.prompt_tokens,
        output=requests.output_tokens,
        hit=0 if requests.hit_tokens is None else requests.hit_tokens,
        kind=0 if requests.class_index is None else requests.class_index,
        replica=state.NONE,
        lane=state.NONE,
        hash_at=starts[:-1],
        hash_count=np.diff(starts),
    )


def _replicas(
    requests: Requests,
    roles: tuple[Pool, ...],
    surfaces: list[dict[str, float]],
    draft: int,
    single_queue: bool,
    distinct: int,
) -> Any:
    """One record per replica: totals at zero, the limits and surface of its pool."""
    records = _filled(state.REPLICA, sum(pool.replicas for pool in roles), draft=draft, hash_blocks=1, hash_tokens=1)
    for name in ("wait_head", "wait_tail", "lru_head", "lru_tail"):
        records[name] = state.NONE
    first = 0
    for index, (pool, surface) in enumerate(zip(roles, surfaces, strict=True)):
        part = records[first : first + pool.replicas]
        part["role"] = state.MIXED if len(roles) == 1 else (state.PREFILL, state.DECODE)[index]
        part["queue"] = first if single_queue else first + np.arange(pool.replicas)
        for name, value in (_limit_fields(pool) | surface).items():
            part[name] = value
        if index == 0 and pool.limits.prefix_caching and requests.prefix_id is not None:
            part["hashed"] = 1
            part["hash_tokens"] = requests.prefix_block_tokens
            part["hash_blocks"] = requests.prefix_block_tokens // pool.limits.block_size_tokens
        first += pool.replicas
    records["number"] = np.arange(len(records))
    records["lane"] = np.cumsum(records["lanes"]) - records["lanes"]
    records["cached_at"] = np.arange(len(records)) * distinct
    return records


def _limit_fields(pool: Pool) -> dict[str, float]:
    limits = pool.limits
    return {
        "lanes": pool.surface.stages,
        "free": limits.kv_blocks,
        "total": limits.kv_blocks,
        "max_seqs": limits.max_num_seqs,
        "max_tokens": limits.max_num_batched_tokens,
        "block": limits.block_size_tokens,
        "chunked": limits.chunked_prefill,
    }


def _lanes(replicas: Any, block: int, ring: int) -> Any:
    """One record per batch in flight."""
    owner = np.repeat(np.arange(len(replicas)), replicas["lanes"])
    lanes = _filled(state.LANE, len(owner), replica=owner, number=np.arange(len(owner)), launched_s=np.inf)
    for name in ("run_head", "run_tail", "partial", "fresh_head", "step_head", "step_tail"):
        lanes[name] = state.NONE
    lanes["block"], lanes["draft"] = replicas["block"][owner], replicas["draft"][owner]
    lanes["end_s"] = np.inf
    lanes["ring_at"], lanes["ring_mask"] = block, ring - 1
    return lanes


def _prefixes(requests: Requests, pool: Pool) -> tuple[IntArray, IntArray, int]:
    """Where each request's prefix blocks start, their ids, and how many distinct ids there are."""
    ids, starts = requests.prefix_id, requests.prefix_start
    if ids is None or starts is None or not pool.limits.prefix_caching:
        return np.zeros(len(requests) + 1, dtype=np.int64), np.zeros(0, dtype=np.int64), 0
    return starts, ids, int(ids.max(initial=-1)) + 1


def _accepted(speculative: Speculative | None, seed: int) -> IntArray:
    if speculative is None:
        return np.zeros(1, dtype=np.int64)
    draws = np.random.default_rng(seed).random((ACCEPTANCE_DRAWS, speculative.draft_tokens)) < speculative.acceptance
    return np.asarray(np.cumprod(draws, axis=1).sum(axis=1), dtype=np.int64)


def _set_policies(
    world: World, closed: ClosedLoop | None, transfer: Transfer, patience: Patience, stop: EarlyStop
) -> None:
    options, replicas = world.options, world.replicas
    options["closed"] = closed is not None
    if closed is not None:
        options["clients"] = min(closed.concurrency, len(world.sequences))
        options["client_delay_s"], options["start_spread_s"] = closed.client_delay_s, closed.start_spread_s
    options["transfer_s"], options["transfer_token_s"] = transfer.latency_s, transfer.s_per_token
    separate = int(np.count_nonzero(replicas["role"] == state.PREFILL))
    options["entry_count"] = separate or len(replicas)
    options["decode_first"], options["decode_count"] = separate, len(replicas) - separate
    shared = options["router"] == state.SINGLE_QUEUE
    options["coupled"] = closed is not None or separate > 0 or shared or bool((replicas["lanes"] > 1).any())
    options["max_waiting"] = FOREVER if patience.max_waiting is None else patience.max_waiting
    options["pause_s"] = np.inf
    options["queue_timeout_s"] = np.inf if patience.queue_timeout_s is None else patience.queue_timeout_s
    options["abort_s"] = np.inf if patience.abort_s is None else patience.abort_s
    options["allowed_misses"] = stop.allowed_misses
    options["ttft_s"], options["allowed_ttft"] = stop.ttft_s
    options["tpot_s"], options["allowed_tpot"] = stop.tpot_s
    options["e2e_s"], options["allowed_e2e"] = stop.e2e_s


def gap_edges_s() -> FloatArray:
    """Edges of the buckets in which inter-token gaps are counted."""
    return state.GAP_FLOOR_S * np.exp(np.arange(state.GAP_BUCKETS + 1) / state.GAP_BUCKETS_PER_E)


def _collect(world: World) -> Run:
    seq = world.sequences
    return Run(
        arrival_s=seq["arrival_s"].copy(),
        queue_s=seq["started_s"] - seq["arrival_s"],
        ttft_s=seq["first_s"] - seq["arrival_s"],
        e2e_s=seq["finish_s"] - seq["arrival_s"],
        longest_gap_s=seq["longest_gap_s"].copy(),
        tokens=seq["emitted"].astype(np.int64),
        status=seq["status"].astype(np.int64),
        replica=seq["replica"].astype(np.int64),
        preemptions=seq["preemptions"].astype(np.int64),
        cached_tokens=seq["cached"].astype(np.int64),
        class_index=seq["kind"].astype(np.int64),
        replicas=_totals(world.replicas),
        gap_edges_s=gap_edges_s(),
        gap_counts=(world.gaps + world.mixed_gaps).astype(np.int64),
        longest_queue=int(world.replicas["longest_queue"].max()),
        steps_outside=int(world.lanes["outside"].sum()),
        stopped_early=bool(world.options["stopped"]),
    )


def _totals(replicas: Any) -> ReplicaTotals:
    names = ("steps", "busy_s", "prefill_tokens", "decode_tokens", "hit_tokens", "preemptions", "kv_block_s")
    return ReplicaTotals(
        **{name: replicas[name].copy() for name in names},
        evicted_prefix_blocks=replicas["evictions"].copy(),
        kv_blocks=replicas["total"].copy(),
        kv_blocks_max=replicas["kv_max"].copy(),
    )
