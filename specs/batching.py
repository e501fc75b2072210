"""The batching plan: whether requests are bucketed, into which buckets, in which order, and what that gains."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from specs.base import Figure, Spec
from specs.plan import Percentiles, PlanDocument

BackEnd = Literal["ragged", "padded"]
BatchOrder = Literal["fcfs", "sjf", "ljf", "edf"]
KvForm = Literal["paged", "smax"]


class Bucket(Spec):
    """Prompts of more than ``lo`` and up to ``hi`` tokens: their share, their batches, and the KV those take."""

    lo: int
    hi: int
    share: float
    max_batch: int
    max_batch_paged: int  # by Σ blocks of mean requests
    max_batch_smax: int  # by BucketServe's eq. 6 with 0.9 of the memory left
    kv_gib: float  # of a full batch
    est_wait_s: float  # mean wait before the batch starts, simulated
    waste: float  # share of padding in the bucket


class OutputPrediction(Spec):
    """How long answers are expected to be, and what a misprediction costs."""

    kind: str  # quantile regressor | workload quantiles
    features: tuple[str, ...] = ()
    quantile: float
    margin_tokens: int  # added to the predicted quantile before memory is set aside
    class_accuracy: float  # share of requests whose class (2^(k-1), 2^k] was foreseen, out of sample
    coverage: float  # share of answers within prediction plus margin, out of sample
    pinball: float  # loss of the predictor, tokens
    pinball_constant: float  # loss of the workload's own quantile, tokens
    over_tokens: float  # mean tokens set aside in vain
    under_tokens: float  # mean tokens that an answer lacks, over the answers beyond
    cost: str


class BatchingDecision(Spec):
    """What to set: the method, the buckets, the order, the limits."""

    method: str  # none: first come, first served, continuous batching
    do_not_bucket: bool
    back_end: BackEnd
    boundaries: str | None = None  # midpoint | quantile | optimal | given | algorithm 1
    order: str | None = None
    replicas: tuple[int, ...] | None = None  # of each bucket, where buckets are routes
    max_batch: int
    hold_s: float = 0.0
    kv_form: KvForm | None = None
    memory_reserve: float | None = None
    split_above: int | None = None  # queued requests above which algorithm 1 splits, and below which it merges
    buckets: tuple[Bucket, ...] = ()
    reserve_quantile: float | None = None
    reserve_margin_tokens: int | None = None


class BatchingFound(Spec):
    """What one method does with this workload on this deployment."""

    method: str
    setting: str
    attainment: float
    ttft_p99_s: float | None = None
    tpot_p99_s: float | None = None
    e2e_p99_s: float | None = None
    prompt_waste: float
    decode_waste: float
    tokens_per_s: float
    goodput_per_s: float
    mean_batch: float | None = None
    load: float | None = None  # largest multiple of this load at which the attainment asked for still holds


class BoundaryWaste(Spec):
    """Padding of the prompts with so many buckets, by each rule; ``optimal`` is exact."""

    buckets: int
    midpoint: float
    quantile: float
    optimal: float
    hold_s: float  # accumulation: mean wait if batches are to fill to their limits


class ExactBatches(Spec):
    """The best cut points beside the rules, on the requests of one server; exact among batches consecutive by a key."""

    order: str  # deadline | output: the key under which fewer are late
    late_by_deadline: int
    late_by_output: int
    requests: int
    most: int
    late: int
    makespan_s: float
    rules: dict[str, str]


class BatchingExpected(Spec):
    """What will happen under the decision, and under first come, first served continuous batching."""

    ttft_s: Percentiles
    tpot_s: Percentiles
    e2e_s: Percentiles
    attainment: Figure
    tokens_per_s: Figure
    goodput_per_s: Figure
    prompt_waste: Figure
    decode_waste: Figure
    load: Figure | None = None
    plain: BatchingFound  # what the back-end does without a method
    fcfs: BatchingFound  # continuous batching on a ragged engine


class BatchingWhy(Spec):
    """The reason in figures, everything that was compared, and the exact optima."""

    reason: str
    compared_at_load: float  # multiple of the load: where the plain way no longer holds
    compared: tuple[BatchingFound, ...] = ()
    boundaries: tuple[BoundaryWaste, ...] = ()
    exact: ExactBatches | None = None
    prediction: OutputPrediction | None = None
    deadlines: str
    bounds: str
    candidates: str
    load: dict[str, float | str] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()


class BatchingPlan(PlanDocument):
    """The plan of `tonnage plan batching`."""

    kind: Literal["BatchingPlan"] = "BatchingPlan"
    decision: BatchingDecision | None = None
    expected: BatchingExpected | None = None
    why: BatchingWhy | None = None
