"""A trace: when each request arrived and how long it was, as flat arrays."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Requests in order of arrival; every array has one entry per request unless said otherwise.

    ``arrival_s`` counts from the first request. ``session`` and ``class_index`` number the distinct values of their
    columns from 0 (``class_names`` lists the classes). ``hash_ids[hash_offsets[i]:hash_offsets[i + 1]]`` are the
    prefix blocks of request i, each of ``block_tokens`` prompt tokens; two requests share a prefix as far as their
    blocks agree. ``form`` says which columns were recognised, ``notes`` what the reader changed.
    """

    name: str
    sha256: str
    form: str
    arrival_s: FloatArray
    prompt_tokens: IntArray
    output_tokens: IntArray
    session: IntArray | None = None
    class_index: IntArray | None = None
    class_names: tuple[str, ...] = ()
    hash_offsets: IntArray | None = None
    hash_ids: IntArray | None = None
    block_tokens: int | None = None
    deadline_s: FloatArray | None = None  # when each answer must be complete, on the clock of ``arrival_s``
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of requests."""
        return len(self.arrival_s)


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Token counts and how often each occurs; two arrays of one length."""

    tokens: IntArray
    weight: FloatArray


@dataclass(frozen=True, kw_only=True)
class RateSeries:
    """Requests per second at ascending times, linear in between; two arrays of one length."""

    t_s: FloatArray
    rate_per_s: FloatArray


@dataclass(frozen=True, kw_only=True)
class Client:
    """One client's arrivals in one window: a rate, a coefficient of variation, and the lengths it sends."""

    start_s: float
    duration_s: float
    rate_per_s: float
    cv: float
    prompt: Histogram
    output: Histogram


@dataclass(frozen=True, kw_only=True)
class Load:
    """The files that a workload refers to, read; what it does not refer to is None or empty.

    ``inputs`` maps each file's name to its sha256, as plans record it.
    """

    trace: Trace | None = None
    series: RateSeries | None = None
    prompt: Histogram | None = None
    output: Histogram | None = None
    clients: tuple[Client, ...] = ()
    inputs: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
