"""What a benchmark tool measured of a serving endpoint, in one form for all tools."""

from __future__ import annotations

from dataclasses import dataclass, field

from specs.trace import FloatArray, IntArray

STATISTICS = ("mean", "p50", "p90", "p95", "p99")
Statistics = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One run of a benchmark tool; times in seconds.

    The arrays hold the requests that the file lists, in order of arrival: ``arrival_s`` from the first one,
    ``tpot_s`` NaN for one output token. ``arrival_s`` is None where the file gives no start times; all are empty
    where it gives statistics alone. ``count`` is how many requests the run completed: fewer may be listed.
    ``figures`` has, for each of `ttft_s`, `tpot_s`, `e2e_s`, the statistics of the whole run that are known.
    ``rate_per_s`` and ``cv`` describe the arrivals asked for, ``concurrency`` the limit of requests in flight.
    ``tpot_by_tokens``: the statistics of TPOT weight requests by their tokens.
    """

    name: str
    tool: str
    sha256: str
    count: int
    prompt_tokens: IntArray
    output_tokens: IntArray
    ttft_s: FloatArray
    tpot_s: FloatArray
    e2e_s: FloatArray
    arrival_s: FloatArray | None = None
    figures: dict[str, Statistics] = field(default_factory=dict)
    rate_per_s: float | None = None
    cv: float = 1.0
    concurrency: int | None = None
    tpot_by_tokens: bool = False
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every request of the run is listed with its arrival."""
        return self.arrival_s is not None and len(self.arrival_s) == self.count
