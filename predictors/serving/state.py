"""The state of one simulation: flat records per request, lane and replica, and the arrays beside them.

Each record type is written so that a step costs the same however many sequences run, and so that a function of the
kernel can take a record (one pointer) rather than many arrays: that keeps compiling short.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Record = Any
"""One element of a record array: ``record.field`` reads and writes in place, compiled or not."""
Records = Any

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

PEAKS = 4096
"""Falling maxima kept per lane, from which a request's longest gap is read; when full, the two oldest are merged."""


def layout(integers: str, floats: str = "") -> np.dtype[Any]:
    """A record of 8-byte fields: the names of its integers, then of its floats."""
    fields = [(name, "i8") for name in integers.split()] + [(name, "f8") for name in floats.split()]
    return np.dtype(fields, align=True)


SEQUENCE = layout(
    "prompt output hit kind status place replica lane next prev bucket_next bucket_prev step_next fresh_next target "
    "computed chunk emitted kv epoch shared preemptions missed cached hash_at hash_count",
    "arrival_s started_s first_s last_s finish_s longest_gap_s",
)
"""One request. While it decodes, ``emitted`` and ``kv`` are what they were at step ``epoch`` of its lane; each later
step of the lane adds one to both."""

LANE = layout(
    "number replica in_flight epoch decoding context run_head run_tail partial fresh_head fresh step_head step_tail "
    "step_decodes step_tokens step_prefills step_completing step_preempted outside block draft "
    "ring_at ring_mask peak_head peak_tail freed gated",
    "end_s last_s prefill_s launched_s",
)
"""One batch in flight; a replica has one lane per pipeline stage. ``launched_s``: when its step was started (infinite
when it idles); ``freed``: requests that ended with the last step; ``gated``: whether a request that could have been
admitted waits for a step that is not yet scheduled."""

REPLICA = layout(
    "number role queue lane lanes running wait_head wait_tail waiting longest_queue free evictable total kv_max steps "
    "preemptions prefill_tokens decode_tokens hit_tokens lru_head lru_tail evictions cached_at "
    "max_seqs max_tokens block chunked hashed draft hash_blocks hash_tokens "
    "tokens_at sequences_at host_at batch_at batch_n context_at context_n decode_at chunk_at chunk_n past_at past_n "
    "prefill_at mixed_at graph_max overlap ahead",
    "next_issue_s busy_s kv_block_s eager_s stage_share",
)
"""One replica: its queue, KV blocks and totals, its limits, and where its step-time surface lies in the tables."""

CACHED = layout("resident users next prev")
"""One prefix block of one replica: whether it is held, by how many sequences, its place in the eviction order."""

EVENT = layout("sequence", "time_s")
"""A timed event: the end of a transfer; or, with the number of requests as its sequence, a client's next request."""

PEAK = layout("epoch", "gap_s")
"""A gap longer than all gaps of the lane after it."""

OPTIONS = layout(
    "router closed coupled cursor heap max_waiting queue_seen abort_seen entry_first entry_count decode_first "
    "decode_count turn decode_turn allowed_misses allowed_ttft allowed_tpot allowed_e2e misses over_ttft over_tpot "
    "over_e2e stopped bounds_at accepted_at accepted_count clients",
    "queue_timeout_s abort_s client_delay_s start_spread_s transfer_s transfer_token_s ttft_s tpot_s e2e_s",
)
"""The run's policies, its cursors, and the counters of the early stop."""


class World(NamedTuple):
    """Everything the kernel reads and writes."""

    sequences: Records
    lanes: Records
    replicas: Records
    options: Records
    """[1]."""
    tables: FloatArray
    """Step-time surfaces, then the early stop's bounds [classes, 3] on TTFT, TPOT and end-to-end."""
    slots: IntArray
    """[lanes, block + ring]: per remainder of the step number by the block size, how many decoding sequences need a
    new block; then, per step to come, the first of the sequences that emit their last token there."""
    numbers: IntArray
    """Prefix block ids of all requests, then the accepted draft tokens drawn in advance."""
    events: Records
    """A heap."""
    cached: Records
    """[replicas × distinct prefix blocks]."""
    peaks: Records
    """[lanes × PEAKS]."""
    gaps: FloatArray
    """[GAP_BUCKETS] every inter-token gap."""
