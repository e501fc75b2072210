"""Load, usage and latency over time per workload: the document, and the samples that lie in Parquet beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from specs.base import Document, Positive, Spec
from specs.trace import FloatArray

HistoryQuantity = Literal[
    "cpu_cores",  # all replicas together
    "memory_bytes",  # all replicas together
    "cpu_cores_largest",  # of the replica that uses most
    "memory_bytes_largest",
    "replicas",
    "requests_per_s",
    "latency_sum_s_per_s",  # seconds of latency added per second: over requests_per_s, the mean latency
    "latency_bucket_per_s",  # requests per second answered within the bound of the label `le`, in seconds
]


class Gap(Spec):
    """A stretch without samples, from the first that is missing to the last; seconds since 1970."""

    from_s: float
    to_s: float


class SeriesInfo(Spec):
    """One series: what it is of, and where it has no samples. ``column`` is its column in the Parquet file."""

    column: str
    workload: str
    namespace: str | None = None
    quantity: HistoryQuantity
    labels: dict[str, str] = Field(default_factory=dict)
    samples: int
    gaps: tuple[Gap, ...] = ()


class Query(Spec):
    """One question that was put, as PromQL, and what came of it."""

    quantity: HistoryQuantity
    promql: str


class MissingPart(Spec):
    """What could not be had: of which quantity and workloads, when, and why."""

    quantity: str
    why: str
    workloads: tuple[str, ...] = ()  # none: all
    from_s: float | None = None
    to_s: float | None = None


class HistorySpec(Spec):
    """``data``: a Parquet file beside the document with a column `time_s` and one per series; nothing where absent."""

    data: str
    sha256: str | None = None
    source: str
    start_s: float
    end_s: float
    step_s: Positive
    window_s: Positive | None = None  # over which rates were taken; absent: from one sample to the next
    samples: int
    queries_put: int | None = None
    series: tuple[SeriesInfo, ...] = ()
    queries: tuple[Query, ...] = ()
    missing: tuple[MissingPart, ...] = ()
    notes: tuple[str, ...] = ()


class History(Document):
    """A history document."""

    kind: Literal["History"] = "History"
    spec: HistorySpec


@dataclass(frozen=True, kw_only=True)
class Samples:
    """One series on the common grid of times; NaN where there is no sample."""

    workload: str
    namespace: str | None
    quantity: HistoryQuantity
    values: FloatArray
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A history in memory: ``time_s`` rises by ``step_s``; every series has as many values."""

    source: str
    time_s: FloatArray
    step_s: float
    series: tuple[Samples, ...]
    window_s: float | None = None
    queries: tuple[Query, ...] = ()
    queries_put: int | None = None
    missing: tuple[MissingPart, ...] = ()
    notes: tuple[str, ...] = ()
