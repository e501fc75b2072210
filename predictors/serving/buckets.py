"""Back-ends that batch before they serve: bucket queues, padding, and batches that run whole or hand over to decode."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from predictors.serving import state
from predictors.serving.batch_loop import (
    ITEM,
    MOST_BUCKETS,
    POLICY,
    TO_BOUND,
    TO_LONGEST,
    UNPADDED,
    BatchWorld,
    run_batches,
    time_batches,
)
from predictors.serving.engine import EngineLimits, Pool, Requests, Transfer, check_fit, check_requests
from predictors.serving.simulation import ReplicaTotals, Run, simulate
from predictors.serving.surface import StepSurface, check_surface, pack_surfaces
from specs.errors import InputError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Padding = Literal["none", "longest", "bound"]
PADDINGS: dict[Padding, int] = {"none": UNPADDED, "longest": TO_LONGEST, "bound": TO_BOUND}
PASSED_ON_S = 1e-9
"""Step time of the stand-in prefill pool in front of a decode pool: requests come to it prefilled."""
PASSED_ON_TOKENS = 1 << 16


@dataclass(frozen=True, kw_only=True)
class BatchPolicy:
    """How batches are formed, one queue per bucket of prompt length; see `solvers.batches.pack` for the last rules.

    ``uppers`` [k] ascending inclusive bounds; ``max_batch`` [k] requests. ``key`` [n] orders requests (None: by
    arrival); the bucket whose oldest request came first has its turn. A bucket with fewer than its limit waits
    ``hold_s`` for more. ``kv_tokens``: what a batch may hold of prompts and reserved outputs, in tokens: Σ of its
    blocks where ``paged``, else its size times its longest (the S_max form of BucketServe's eq. 1 and 6, 2nd).
    ``most_queued`` switches algorithm 1 of BucketServe on: one bucket that is split above so many waiting requests.
    ``expected`` [n] output tokens as predicted, ``reserve`` [n] those whose KV is set aside.
    """

    uppers: FloatArray
    max_batch: IntArray
    padding: Padding = "longest"
    kv_tokens: int = 2**62
    paged: bool = False
    key: FloatArray | None = None
    hold_s: float = 0.0
    most_queued: int | None = None
    expected: FloatArray | None = None
    reserve: IntArray | None = None
    threshold: float = np.inf
    total: float = np.inf


@dataclass(frozen=True, kw_only=True)
class BatchTotals:
    """What batching did: ``prompt_waste`` and ``decode_waste`` are shares of computed rows that carried no token."""

    batches: int
    mean_size: float
    prompt_waste: float
    decode_waste: float
    splits: int
    merges: int
    most_buckets: int
    padded_tokens: float
    """Σ batch size · longest output: what UELLM counts as throughput (calc)."""


def serve_whole(requests: Requests, pool: Pool, policy: BatchPolicy) -> tuple[Run, BatchTotals]:
    """Serve batches whole: prefilled together, decoded until the longest output ends, answered together.

    The engine of static batching (FasterTransformer, Hugging Face generate): rows of answers that have ended still
    run. First tokens come at the end of the prefill. Raises as `simulate`. (std)
    """
    world = _run(requests, pool, policy, whole=True)
    return _run_of(requests, world, pool, whole=True), _totals(world)


def serve_prefilled(
    requests: Requests, pools: tuple[Pool, Pool], policy: BatchPolicy, transfer: Transfer | None = None
) -> tuple[Run, BatchTotals]:
    """Prefill in batches from bucket queues, then decode by continuous batching on the second pool.

    The decode pool is the engine kernel's, with its KV blocks and preemptions; a prefill server is not held back by a
    full decode pool. Raises as `simulate`. (ours, after BucketServe and DistServe)
    """
    world = _run(requests, pools[0], policy, whole=False)
    order = np.argsort(world.items.first_s, kind="stable")
    ready = Requests(
        arrival_s=np.ascontiguousarray(world.items.first_s[order]),
        prompt_tokens=requests.prompt_tokens[order],
        output_tokens=requests.output_tokens[order],
    )
    decoded = simulate(ready, (_passing_on(len(requests), pools[1]), pools[1]), transfer=transfer)
    return _joined(requests, world, pools, decoded, order), _totals(world)


def batch_times(
    pool: Pool, size: IntArray, prompt: IntArray | FloatArray, output: IntArray | FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Prefill seconds and decode seconds of padded batches, by size, longest prompt and longest output; all [batches].

    The same surface and the same steps as `serve_whole`.
    """
    one = Requests(arrival_s=np.zeros(1), prompt_tokens=np.ones(1, np.int64), output_tokens=np.ones(1, np.int64))
    policy = BatchPolicy(uppers=np.full(1, np.inf), max_batch=np.full(1, int(size.max(initial=1)), dtype=np.int64))
    world = _world(one, pool, policy, whole=True)
    seconds = np.zeros((2, len(size)))
    counts = [np.ascontiguousarray(part, dtype=np.int64) for part in (size, prompt, output)]
    time_batches(world, counts[0], counts[1], counts[2], seconds)
    return seconds[0], seconds[1]


def _run(requests: Requests, pool: Pool, policy: BatchPolicy, *, whole: bool) -> BatchWorld:
    check_requests(requests)
    check_fit(requests, pool, 0)
    limits = pool.limits
    check_surface(pool.surface, max_num_seqs=limits.max_num_seqs, max_num_batched_tokens=limits.max_num_batched_tokens)
    _check(requests, pool, policy)
    world = _world(requests, pool, policy, whole)
    run_batches(world)
    return world


def _check(requests: Requests, pool: Pool, policy: BatchPolicy) -> None:
    longest = int(requests.prompt_tokens.max())
    over = int((requests.prompt_tokens > policy.uppers[-1]).sum())
    if over:
        raise InputError(
            f"the buckets end at {policy.uppers[-1]:g} tokens, and {over}"
            f" requests have longer prompts, up to {longest}",
            cure=f"End the last bucket at {longest} or more.",
        )
    if len(policy.uppers) > MOST_BUCKETS or (np.diff(policy.uppers) <= 0).any() or policy.uppers[0] < 1:
        raise InputError(f"bucket bounds must ascend from 1, at most {MOST_BUCKETS}: {policy.uppers.tolist()}")
    if (policy.max_batch < 1).any() or (policy.max_batch > pool.limits.max_num_seqs).any():
        raise InputError(
            f"batch limits {policy.max_batch.tolist()} must lie between 1 and max_num_seqs {pool.limits.max_num_seqs}"
        )


def _world(requests: Requests, pool: Pool, policy: BatchPolicy, whole: bool) -> BatchWorld:
    n = len(requests)
    tables, fields = pack_surfaces((pool.surface,))
    replica = _records(state.REPLICA, 1, max_tokens=pool.limits.max_num_batched_tokens, **fields[0])
    uppers, limits = np.full(MOST_BUCKETS, np.inf), np.full(MOST_BUCKETS, int(policy.max_batch.max()), dtype=np.int64)
    uppers[: len(policy.uppers)], limits[: len(policy.uppers)] = policy.uppers, policy.max_batch
    expected = requests.output_tokens if policy.expected is None else policy.expected
    items = _records(
        ITEM, n, prompt=requests.prompt_tokens, output=requests.output_tokens, arrival_s=requests.arrival_s,
        key=requests.arrival_s if policy.key is None else policy.key, expected=expected,
        reserve=(0 if policy.reserve is None else policy.reserve) if whole else 0,
    )  # fmt: skip
    rules = _records(
        POLICY, 1, pad=PADDINGS[policy.padding], whole=whole, paged=policy.paged, kv_tokens=policy.kv_tokens,
        buckets=len(policy.uppers), most_buckets=len(policy.uppers),
        most_queued=-1 if policy.most_queued is None else policy.most_queued, clock_s=-np.inf, top=policy.uppers[-1],
        hold_s=policy.hold_s, threshold=policy.threshold, total=policy.total, block=pool.limits.block_size_tokens,
    )  # fmt: skip
    empty = np.zeros(pool.replicas)
    return BatchWorld(
        items=items, policy=rules, replica=replica, tables=np.concatenate(tables), uppers=uppers, limits=limits,
        queue=np.zeros(n, dtype=np.int64), chosen=np.zeros(int(limits.max()) + 1, dtype=np.int64),
        oldest=np.zeros(MOST_BUCKETS), counts=np.zeros(MOST_BUCKETS, dtype=np.int64),
        free_s=np.full(pool.replicas, -np.inf), busy_s=empty, kv_s=empty.copy(),
    )  # fmt: skip


def _records(dtype: np.dtype[Any], count: int, **values: Any) -> Any:
    """A record array of zeros, but for the fields given."""
    records = np.zeros(count, dtype=dtype).view(np.recarray)
    for name, value in values.items():
        records[name] = value
    return records


def _totals(world: BatchWorld) -> BatchTotals:
    policy, items = world.policy[0], world.items
    batches = max(int(policy.batches), 1)
    return BatchTotals(
        batches=batches,
        mean_size=len(items) / batches,
        prompt_waste=1.0 - float(policy.prompt_tokens) / float(policy.prompt_padded),
        decode_waste=1.0 - float(policy.decode_tokens) / float(policy.decode_slots) if world.policy[0].whole else 0.0,
        splits=int(policy.splits),
        merges=int(policy.merges),
        most_buckets=int(policy.most_buckets),
        padded_tokens=float(policy.decode_slots),
    )


def _run_of(requests: Requests, world: BatchWorld, pool: Pool, *, whole: bool) -> Run:
    items, none = world.items, np.zeros(len(world.items), dtype=np.int64)
    return Run(
        arrival_s=items.arrival_s.copy(),
        queue_s=items.start_s - items.arrival_s,
        ttft_s=items.first_s - items.arrival_s,
        e2e_s=items.finish_s - items.arrival_s,
        longest_gap_s=np.zeros(len(items)),
        tokens=requests.output_tokens.copy(),
        status=np.full(len(items), state.DONE),
        replica=items.server.astype(np.int64),
        preemptions=none,
        cached_tokens=none,
        class_index=none if requests.class_index is None else requests.class_index,
        replicas=_replica_totals(requests, world, pool.limits, whole=whole),
        gap_edges_s=state.GAP_FLOOR_S * np.exp(np.arange(state.GAP_BUCKETS + 1) / state.GAP_BUCKETS_PER_E),
        gap_counts=np.zeros(state.GAP_BUCKETS, dtype=np.int64),
        longest_queue=int(world.policy[0].longest_queue),
        steps_outside=int(world.policy[0].outside),
        stopped_early=False,
    )


def _replica_totals(requests: Requests, world: BatchWorld, limits: EngineLimits, *, whole: bool) -> ReplicaTotals:
    servers = len(world.free_s)
    none = np.zeros(servers, dtype=np.int64)

    def by_server(values: IntArray) -> IntArray:
        return np.bincount(world.items.server, weights=values, minlength=servers).astype(np.int64)

    most = -(-int(world.policy[0].held_max) // limits.block_size_tokens)
    return ReplicaTotals(
        steps=none,
        busy_s=world.busy_s,
        prefill_tokens=by_server(requests.prompt_tokens),
        decode_tokens=by_server(requests.output_tokens) if whole else none,
        hit_tokens=none,
        preemptions=none,
        evicted_prefix_blocks=none,
        kv_blocks=np.full(servers, limits.kv_blocks),
        kv_blocks_max=np.full(servers, most),
        kv_block_s=world.kv_s / limits.block_size_tokens,
    )


def _passing_on(requests: int, decode: Pool) -> Pool:
    """A prefill pool that takes no time: what it gets is prefilled already."""
    one, flat = np.ones(1), np.zeros((1, 1))
    seqs = min(requests, PASSED_ON_TOKENS)
    none = np.zeros(seqs + 1)
    surface = StepSurface(np.full(PASSED_ON_TOKENS + 1, PASSED_ON_S), none, none, one, one, flat, one, one, flat)
    limits = EngineLimits(
        max_num_seqs=seqs, max_num_batched_tokens=PASSED_ON_TOKENS, kv_blocks=2**40,
        block_size_tokens=decode.limits.block_size_tokens,
    )  # fmt: skip
    return Pool(surface=surface, limits=limits)


def _joined(requests: Requests, world: BatchWorld, pools: tuple[Pool, Pool], decoded: Run, order: IntArray) -> Run:
    """The prefill's times and the decode's ends, by request in order of arrival."""
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    first = _run_of(requests, world, pools[0], whole=False)
    totals = {
        name: np.concatenate([getattr(first.replicas, name), getattr(decoded.replicas, name)[1:]])
        for name in ReplicaTotals.__dataclass_fields__
    }
    return replace(
        first,
        e2e_s=first.ttft_s + decoded.e2e_s[back],
        longest_gap_s=decoded.longest_gap_s[back],
        status=decoded.status[back],
        preemptions=decoded.preemptions[back],
        replicas=ReplicaTotals(**totals),
        gap_counts=decoded.gap_counts,
        steps_outside=first.steps_outside + decoded.steps_outside,
    )
