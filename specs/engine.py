"""What was measured of a running engine through its endpoint: its step model, latency by concurrency, its limits."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from specs.base import Count, Document, NonNegative, Positive, Precision, Spec
from specs.deployment import Parallel
from specs.host import HostProfileSpec
from specs.profile import LayerProfileSpec, Machine, Repeats

Seen = Literal["probes", "requests", "step log"]

MAY_FALL_TOKENS = 16  # up to which a larger batch may take less time than a smaller one [ours]


class StepModel(Spec):
    """Length of one engine step in seconds, everything included (ours).

    ``base_s`` + curve(scheduled tokens) + ``per_sequence_s`` × sequences that emit a token
    + ``per_context_token_s`` × context tokens of the decoding sequences
    + for each prompt's chunk ``per_prompt_s`` + ``per_attended_pair_s`` × new tokens × (tokens before + new / 2).

    The curve is linear between ``tokens`` (ascending, from 0) and goes on along its last slope; beyond 16 tokens it
    never falls. Below, kernels change with the batch, and four sequences may take less than two.
    """

    base_s: NonNegative
    tokens: tuple[NonNegative, ...] = Field(min_length=2)
    tokens_s: tuple[NonNegative, ...] = Field(min_length=2)
    per_sequence_s: NonNegative = 0.0
    per_context_token_s: NonNegative = 0.0
    per_prompt_s: NonNegative = 0.0
    per_attended_pair_s: NonNegative = 0.0

    @model_validator(mode="after")
    def _a_rising_curve(self) -> StepModel:
        if len(self.tokens) != len(self.tokens_s):
            raise ValueError(f"tokens has {len(self.tokens)} entries, tokens_s {len(self.tokens_s)}")
        if self.tokens[0] != 0 or list(self.tokens) != sorted(set(self.tokens)):
            raise ValueError("tokens must ascend from 0")
        intervals = zip(self.tokens[1:], self.tokens_s, self.tokens_s[1:], strict=False)
        if any(end > MAY_FALL_TOKENS and after < before for end, before, after in intervals):
            raise ValueError(f"tokens_s must not fall beyond {MAY_FALL_TOKENS} tokens")
        return self


class StepRange(Spec):
    """The largest of each that the fit has seen; beyond them the model extrapolates."""

    tokens: Count
    sequences: Count
    context_tokens: Count


class Fit(Spec):
    """How well the step model fits.

    ``error``: half-width of the 90 % interval of the mean of ``block_steps`` steps (or of one request's decoding),
    relative, out of fold. ``bias``: all predicted seconds over all measured − 1, out of fold. ``median_step_error``:
    of single steps, noise included.
    """

    seen: Seen
    observations: Count  # steps, or requests
    folds: Count
    block_steps: Count
    error: NonNegative
    bias: float
    median_step_error: NonNegative


class Latency(Spec):
    """Mean and percentiles over requests, or over gaps; seconds."""

    mean: NonNegative
    p50: NonNegative
    p90: NonNegative
    p99: NonNegative


class ConcurrencyLevel(Spec):
    """What came of keeping ``concurrency`` requests in flight; ``tokens_per_s`` are output tokens."""

    concurrency: Count
    requests: Count
    failed: int = 0
    prompt_tokens: Positive  # mean
    output_tokens: Positive  # mean
    ttft_s: Latency
    itl_s: Latency | None = None
    tokens_per_s: NonNegative


class ServerFacts(Spec):
    """What the server says of itself; absent where it does not."""

    kind: Literal["vllm", "sglang", "tgi", "llama.cpp"] | None = None
    version: str | None = None
    served_model: str | None = None
    max_model_len: Count | None = None
    kv_cache_tokens: Count | None = None
    block_size_tokens: Count | None = None
    preemptions: NonNegative | None = None  # during the probes
    prefix_hit_ratio: NonNegative | None = None  # during the probes
    most_running: NonNegative | None = None
    most_waiting: NonNegative | None = None
    other_requests: NonNegative | None = None  # that others sent during the probes


class EngineProfileSpec(Spec):
    """A running engine as its clients see it.

    ``model`` and ``device`` are the names that a Deployment uses. ``request_overhead_s``: what an idle engine's TTFT
    holds beside the prompt's steps (connection, tokenising). ``knee``: the concurrency from which more
    requests in flight hardly bring more tokens; absent where the probes ended before it.
    """

    model: str
    device: str | None = None
    engine: str
    engine_version: str | None = None
    parallel: Parallel = Parallel()
    weights: Precision | None = None
    max_num_batched_tokens: Count | None = None
    source: str
    machine: Machine = Machine()
    server: ServerFacts = ServerFacts()
    steps: StepModel
    range: StepRange
    fit: Fit
    request_overhead_s: NonNegative | None = None
    levels: tuple[ConcurrencyLevel, ...] = ()
    knee: Count | None = None
    url: str | None = None  # that was probed, without credentials
    probed: dict[str, float] = Field(default_factory=dict)  # what the probes were asked to be, to repeat them
    repeats: tuple[Repeats, ...] = ()
    notes: tuple[str, ...] = ()


class EngineProfile(Document):
    """The profile of `tonnage profile engine`."""

    kind: Literal["EngineProfile"] = "EngineProfile"
    spec: EngineProfileSpec


StepEvidence = LayerProfileSpec | EngineProfileSpec | HostProfileSpec
"""What a step time may rest on: a model's operators, a running engine's whole steps, or two rates of the device."""
