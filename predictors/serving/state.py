"""The state of one simulation: flat records per request, lane, replica and queue, and their allocation."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
Records = Any
"""A numpy record array: ``records[i].field`` reads and writes in place, compiled or not."""

NONE = -1

# Status of a request.
PENDING, DONE, REJECTED, TIMED_OUT, ABORTED = 0, 1, 2, 3, 4
# Where a request is.
NOWHERE, WAITING, PREFILLING, DECODING, TRANSFERRING = 0, 1, 2, 3, 4
# Role of a replica.
MIXED, PREFILL, DECODE = 0, 1, 2
# Routers.
ROUND_ROBIN, LEAST_LOADED, PREFIX_AWARE, SINGLE_QUEUE = 0, 1, 2, 3

GAP_BUCKETS = 1024
GAP_FLOOR_S = 1e-5
GAP_BUCKETS_PER_E = 56.0
"""Histogram of inter-token gaps: bucket b starts at GAP_FLOOR_S · e^(b / GAP_BUCKETS_PER_E), so 1.8 % wide."""

SEQUENCE = np.dtype(
    [(name, "f8") for name in ("arrival_s", "started_s", "first_s", "last_s", "finish_s")]
    + [(name, "i4") for name in (
        "prompt", "output", "hit", "kind", "status", "place", "replica", "lane", "next", "prev", "bucket_next",
        "bucket_prev", "step_next", "fresh_next", "target", "computed", "chunk", "emitted", "kv", "epoch", "shared",
        "preemptions", "missed", "cached")]
)  # fmt: skip
"""One request. While it decodes, ``emitted`` and ``kv`` are what they were at step ``epoch`` of its lane; each later
step of the lane adds one to both, so that a step costs the same however many sequences run."""

LANE = np.dtype(
    [(name, "i8") for name in (
        "replica", "in_flight", "epoch", "decoding", "context", "run_head", "run_tail", "partial", "fresh_head",
        "fresh", "step_head", "step_tail", "step_decodes", "step_tokens", "step_prefills", "step_completing",
        "outside")]
    + [(name, "f8") for name in ("last_s", "prefill_s", "step_s")]
)  # fmt: skip
"""One batch in flight; a replica has one lane per pipeline stage."""

REPLICA = np.dtype(
    [(name, "i8") for name in (
        "role", "queue", "lane", "lanes", "running", "free", "evictable", "total", "kv_max", "steps", "preemptions",
        "prefill_tokens", "decode_tokens", "hit_tokens", "outside", "lru_head", "lru_tail", "evictions")]
    + [(name, "f8") for name in ("next_issue_s", "busy_s", "kv_block_s")]
)  # fmt: skip
"""One replica: its share of KV blocks, what it did, and the list of evictable prefix blocks."""

QUEUE = np.dtype([(name, "i8") for name in ("head", "tail", "length", "longest")])

LIMITS = np.dtype(
    [(name, "i8") for name in ("max_seqs", "max_tokens", "block", "chunked", "hashed", "draft", "hash_blocks",
                               "hash_tokens")]
)  # fmt: skip

CACHED = np.dtype([(name, "i4") for name in ("resident", "users", "next", "prev")])
"""One prefix block of one replica: whether it is held, by how many sequences, its place in the eviction order."""

OPTIONS = np.dtype(
    [(name, "i8") for name in (
        "router", "closed", "coupled", "cursor", "heap", "max_waiting", "queue_seen", "abort_seen", "entry_first",
        "entry_count", "decode_first", "decode_count", "turn", "decode_turn", "allowed_misses", "allowed_ttft",
        "allowed_tpot", "allowed_e2e", "misses", "over_ttft", "over_tpot", "over_e2e", "stopped", "dropped")]
    + [(name, "f8") for name in ("queue_timeout_s", "abort_s", "client_delay_s", "transfer_s", "transfer_token_s",
                                 "ttft_s", "tpot_s", "e2e_s")]
)  # fmt: skip
"""The run's policies, its cursors, and the counters of the early stop."""


class World(NamedTuple):
    """Everything the kernel reads and writes."""

    sequences: Records
    lanes: Records
    lane_end_s: FloatArray
    """[lanes] when the step in flight ends, or when the lane looks for work; infinite when idle."""
    replicas: Records
    queues: Records
    limits: Records
    """[roles]."""
    surfaces: Records
    """[roles]."""
    tables: FloatArray
    crossing: IntArray
    """[lanes, block] decoding sequences that need a new block at a step whose number has this remainder."""
    finishing: IntArray
    """[lanes, ring] first of the sequences that emit their last token when the lane reaches that step."""
    heap_s: FloatArray
    heap_sequence: IntArray
    hash_start: IntArray
    """[requests + 1] where each request's prefix blocks start."""
    hash_id: IntArray
    """Prefix blocks, numbered from 0."""
    cached: Records
    """[replicas × distinct prefix blocks]."""
    gaps: npt.NDArray[np.int64]
    """[GAP_BUCKETS] every inter-token gap."""
    accepted: IntArray
    """Draft tokens accepted, drawn in advance; indexed by request and token, so independent of the schedule."""
    bounds: FloatArray
    """[classes, 3] per-request bounds on TTFT, TPOT and end-to-end, for the early stop."""
    options: Records
    """[1]."""
