"""What is asked of the service: arrivals, lengths, shared prefixes and the SLO."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from specs.base import Count, Document, NonNegative, Positive, Share, Spec


class TraceArrivals(Spec):
    """A trace file (relative to the document), its load multiplied by ``scale``; ``columns`` maps foreign names.

    ``sort`` puts an unsorted trace in order; ``block_tokens`` is how many prompt tokens one prefix hash stands for.
    """

    trace: str
    scale: Positive = 1.0
    columns: dict[str, str] = Field(default_factory=dict)
    sort: bool = False
    block_tokens: Count = 512


class ClientArrivals(Spec):
    """Clients with rates and length histograms of their own, per window, as ServeGen publishes them.

    ``clients``: Parquet of `client, window_start_s, rate_rps, cv`; ``histograms``: Parquet of
    `client, window_start_s, field (input_tokens | output_tokens), value, prob`. The windows that begin within
    ``duration_s`` from ``start_s`` are drawn, their rates multiplied by ``scale``.
    """

    clients: str
    histograms: str
    start_s: NonNegative = 0.0
    duration_s: Positive = 3600.0
    window_s: Positive = 600.0
    scale: Positive = 1.0
    seed: int = 0


class RateArrivals(Spec):
    """Gamma arrivals at a mean rate; ``cv`` 1 is Poisson."""

    rate_per_s: Positive
    cv: Positive = 1.0
    duration_s: Positive = 3600.0
    seed: int = 0


class SeriesArrivals(Spec):
    """A CSV of `t_s,rate_per_s`; arrivals between its points follow the rate, with burstiness ``cv``."""

    series: str
    scale: Positive = 1.0
    cv: Positive = 1.0
    seed: int = 0


class ClosedArrivals(Spec):
    """A fixed number of requests in flight: the next is sent when one is answered."""

    concurrency: Count
    prompts: Count
    start_spread_s: NonNegative = 0.0
    client_delay_s: NonNegative = 0.0
    seed: int = 0


class LogNormal(Spec):
    """Log-normal lengths by their mean and 99th percentile, in tokens."""

    mean: Positive
    p99: Positive


class Lengths(Spec):
    """Exactly one way to draw a token count: constant, uniform [low, high], log-normal, or a histogram."""

    constant: Count | None = None
    uniform: tuple[int, int] | None = None
    lognormal: LogNormal | None = None
    histogram: str | None = None  # CSV of `tokens,count`, relative to the document

    @model_validator(mode="after")
    def _one_way(self) -> Lengths:
        given = [f for f in ("constant", "uniform", "lognormal", "histogram") if getattr(self, f) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of constant, uniform, lognormal, histogram; found {given or 'none'}")
        if self.uniform is not None and not 1 <= self.uniform[0] <= self.uniform[1]:
            raise ValueError("uniform needs 1 <= low <= high")
        return self


class TraceLengths(Spec):
    """Lengths as the trace has them, each multiplied."""

    source: Literal["trace"] = Field(default="trace", alias="from")
    prompt_scale: Positive = 1.0
    output_scale: Positive = 1.0


class DrawnLengths(Spec):
    """Lengths drawn independently for prompt and output."""

    prompt_tokens: Lengths
    output_tokens: Lengths


class HitRatio(Spec):
    """A fixed share of each prompt's tokens that is found in the prefix cache."""

    hit_ratio: Share


class TracePrefixes(Spec):
    """Prefix blocks as the trace's hashes say."""

    source: Literal["trace"] = Field(default="trace", alias="from")


class RequestBounds(Spec):
    """Bounds that each single request must meet to count as attained."""

    ttft_s: Positive | None = None
    tpot_s: Positive | None = None
    e2e_s: Positive | None = None
    itl_s: Positive | None = None


class PercentileBounds(Spec):
    """Upper bounds on the mean and on percentiles of one figure, in seconds."""

    mean: Positive | None = None
    p50: Positive | None = None
    p90: Positive | None = None
    p95: Positive | None = None
    p99: Positive | None = None


class Slo(Spec):
    """Everything given must hold: the share of requests that meet ``request``, and each percentile bound."""

    attainment: Share = 0.99
    request: RequestBounds = RequestBounds()
    ttft_s: PercentileBounds = PercentileBounds()
    tpot_s: PercentileBounds = PercentileBounds()
    e2e_s: PercentileBounds = PercentileBounds()
    itl_s: PercentileBounds = PercentileBounds()


class RequestClass(Spec):
    """Requests with an SLO of their own, chosen by the trace's class column or by prompt length."""

    name: str
    prompt_tokens_at_least: int = 0
    prompt_tokens_below: int | None = None
    share: Share | None = None  # of drawn arrivals; for traces leave it out
    slo: Slo


class WorkloadSpec(Spec):
    """See DESIGN: the contract of a `Workload`."""

    model: str
    arrivals: TraceArrivals | ClientArrivals | RateArrivals | SeriesArrivals | ClosedArrivals
    lengths: TraceLengths | DrawnLengths = TraceLengths()
    prefix_sharing: Literal["none"] | HitRatio | TracePrefixes = "none"
    slo: Slo = Slo()
    classes: tuple[RequestClass, ...] = ()

    @model_validator(mode="after")
    def _lengths_have_a_source(self) -> WorkloadSpec:
        if isinstance(self.lengths, TraceLengths) and not isinstance(self.arrivals, TraceArrivals | ClientArrivals):
            raise ValueError(
                "lengths: {from: trace} needs arrivals: {trace: FILE}; else give prompt_tokens, output_tokens"
            )
        return self


class Workload(Document):
    """A workload document."""

    kind: Literal["Workload"] = "Workload"
    spec: WorkloadSpec
