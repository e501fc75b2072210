"""What a simulation is asked: engine limits, requests, pools, policies; and the checks before it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from predictors.serving.surface import StepSurface
from specs.errors import InfeasibleError, InputError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Router = Literal["round-robin", "least-loaded", "prefix-aware", "single-queue"]


@dataclass(frozen=True, kw_only=True)
class EngineLimits:
    """The limits of one replica, as vLLM v1 names them.

    ``chunked_prefill`` off: whole prompts in steps of their own, before decodes. ``prefix_caching``: hashed prefix
    blocks of the trace are shared and evicted least recently used; without hashes the requests' ``hit_tokens`` count.
    """

    max_num_seqs: int
    max_num_batched_tokens: int
    kv_blocks: int
    block_size_tokens: int = 16
    max_model_len: int = 2**30
    chunked_prefill: bool = True
    prefix_caching: bool = False


@dataclass(frozen=True, kw_only=True)
class Requests:
    """A trace, sorted by arrival; all arrays of one length [n].

    ``prefix_start`` [n+1] and ``prefix_id`` list each prompt's leading blocks of ``prefix_block_tokens`` tokens,
    equal ids meaning equal text up to there, numbered from 0 without large holes. ``hit_tokens`` is what a prefix
    cache of unknown content spares of each prompt; its blocks are still charged.
    """

    arrival_s: FloatArray
    prompt_tokens: IntArray
    output_tokens: IntArray
    class_index: IntArray | None = None
    hit_tokens: IntArray | None = None
    prefix_start: IntArray | None = None
    prefix_id: IntArray | None = None
    prefix_block_tokens: int = 512

    def __len__(self) -> int:
        return len(self.arrival_s)

    def taken(self, rows: IntArray) -> Requests:
        """The requests at ``rows``, ascending; their prefix blocks go with them."""
        start, ids = self.prefix_start, self.prefix_id
        if start is not None and ids is not None:
            lengths = np.diff(start)[rows]
            moved = np.concatenate([[0], np.cumsum(lengths)])
            within = np.arange(moved[-1]) - np.repeat(moved[:-1], lengths)
            start, ids = moved, ids[np.repeat(start[:-1][rows], lengths) + within]
        return Requests(
            arrival_s=self.arrival_s[rows],
            prompt_tokens=self.prompt_tokens[rows],
            output_tokens=self.output_tokens[rows],
            class_index=None if self.class_index is None else self.class_index[rows],
            hit_tokens=None if self.hit_tokens is None else self.hit_tokens[rows],
            prefix_start=start,
            prefix_id=ids,
            prefix_block_tokens=self.prefix_block_tokens,
        )


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Equal replicas in one role."""

    surface: StepSurface
    limits: EngineLimits
    replicas: int = 1


@dataclass(frozen=True, kw_only=True)
class ClosedLoop:
    """So many clients, each sending its next request ``client_delay_s`` after its last one ended.

    The first requests come at once, or evenly over ``start_spread_s``. Arrival times of the trace are not used.
    """

    concurrency: int
    start_spread_s: float = 0.0
    client_delay_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Speculative:
    """Speculative decoding: ``draft_tokens`` per step, each accepted with this probability after its predecessor."""

    draft_tokens: int
    acceptance: float


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """Time to move KV from the prefill to the decode pool, per request and per prompt token."""

    latency_s: float = 0.0
    s_per_token: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Patience:
    """When requests are refused or given up: waiting limit per queue, longest wait for a start, end-to-end time-out."""

    max_waiting: int | None = None
    queue_timeout_s: float | None = None
    abort_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class EarlyStop:
    """Stop once the run is known to fail.

    ``request_bounds`` [classes, 3] bounds each request's TTFT, TPOT and end-to-end (infinite: none), and
    ``allowed_misses`` requests may miss one. ``ttft_s``, ``tpot_s``, ``e2e_s`` are (bound, how many may exceed it).
    """

    request_bounds: FloatArray = field(default_factory=lambda: np.full((1, 3), np.inf))
    allowed_misses: int = 2**62
    ttft_s: tuple[float, int] = (float("inf"), 2**62)
    tpot_s: tuple[float, int] = (float("inf"), 2**62)
    e2e_s: tuple[float, int] = (float("inf"), 2**62)


def check_requests(requests: Requests) -> None:
    """Raise InputError for empty, unsorted, non-finite or non-positive requests, naming the first."""
    if len(requests) == 0:
        raise InputError("the trace holds no request", cure="check the trace file and its time window")
    _refuse("arrival_s", requests.arrival_s, ~np.isfinite(requests.arrival_s), "a finite time")
    _refuse("arrival_s", requests.arrival_s, np.diff(requests.arrival_s, prepend=-np.inf) < 0, "sorted times")
    _refuse("prompt_tokens", requests.prompt_tokens, np.asarray(requests.prompt_tokens) < 1, "at least 1")
    _refuse("output_tokens", requests.output_tokens, np.asarray(requests.output_tokens) < 1, "at least 1")


def _refuse(name: str, values: Any, wrong: Any, expected: str) -> None:
    if wrong.any():
        at = int(np.argmax(wrong))
        raise InputError(
            f"request {at}: {name} is {values[at]}, expected {expected}", cure="correct or drop that row of the trace"
        )


def check_fit(requests: Requests, pool: Pool, draft_tokens: int) -> None:
    """Raise InputError where a request is longer than the engine allows, InfeasibleError where KV cannot hold it."""
    limits = pool.limits
    _check_limits(limits, draft_tokens)
    total = np.asarray(requests.prompt_tokens) + np.asarray(requests.output_tokens)
    longest = int(total.argmax())
    if total[longest] > limits.max_model_len:
        raise InputError(
            f"request {longest}: prompt and output hold {total[longest]} tokens, max_model_len is "
            f"{limits.max_model_len}",
            cure="raise max_model_len, or drop or truncate the long requests",
        )
    needed = -(-(int(total[longest]) + draft_tokens) // limits.block_size_tokens)
    if needed > limits.kv_blocks:
        raise InfeasibleError(
            f"request {longest} needs {needed} KV blocks, a replica has {limits.kv_blocks}",
            cure="use more GPUs per replica, a smaller precision, or shorter requests",
        )
    if not limits.chunked_prefill and limits.max_num_batched_tokens < total[longest]:
        raise InputError(
            f"without chunked prefill a step must hold the longest sequence: max_num_batched_tokens "
            f"{limits.max_num_batched_tokens} < {total[longest]}",
            cure="raise max_num_batched_tokens or switch chunked_prefill on",
        )


def _check_limits(limits: EngineLimits, draft_tokens: int) -> None:
    for name in ("max_num_seqs", "max_num_batched_tokens", "kv_blocks", "block_size_tokens"):
        if getattr(limits, name) < 1:
            raise InputError(f"{name} is {getattr(limits, name)}, expected at least 1", cure=f"raise {name}")
    if limits.max_num_batched_tokens < limits.max_num_seqs * (1 + draft_tokens):
        raise InputError(
            f"max_num_batched_tokens {limits.max_num_batched_tokens} is less than one token (and "
            f"{draft_tokens} draft tokens) for each of max_num_seqs {limits.max_num_seqs}",
            cure="raise max_num_batched_tokens or lower max_num_seqs",
        )
