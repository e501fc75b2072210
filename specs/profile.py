"""What was measured of a model's layers on a device: operator tables with their machine, noise and source."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from specs.base import Count, Document, NonNegative, Positive, Precision, Spec

Operator = Literal[
    "qkv_proj",  # tokens
    "o_proj",  # tokens
    "gate_up_proj",  # tokens
    "down_proj",  # tokens
    "router",  # tokens
    "moe",  # tokens: routed experts, grouped GEMMs with activation
    "shared_expert",  # tokens
    "embedding",  # tokens
    "norm",  # tokens: one norm, with its residual addition
    "rope",  # tokens: rotary embedding, norms of Q and K, KV write
    "activation",  # tokens
    "layer_other",  # tokens: what a layer does besides the named operators
    "lm_head",  # sequences
    "sampler",  # sequences
    "prefill_attention",  # chunk_tokens, context_tokens (one sequence)
    "decode_attention",  # batch, context_tokens (mean over the batch)
    "mixed_decode_attention",  # batch, context_tokens: what decodes cost in a step that also prefills
    "all_reduce",  # tokens: one all-reduce of tokens x hidden activations
    "host",  # sequences: host time of a step
]
Axis = Literal["tokens", "sequences", "batch", "chunk_tokens", "context_tokens"]
Basis = Literal["measured", "database", "calibrated", "datasheet", "assumed"]


class OperatorTable(Spec):
    """Median latency of one operator of one layer (one call) at listed points.

    ``points``: one row per point, one column per axis. ``latency_us`` and ``spread`` (relative IQR) align with it.
    ``calls_per_layer``: how often a layer makes this call; 0 for operators outside the layers (lm_head, sampler, host).
    ``layer_kind``: index into the model's ``attention`` where layers differ.
    """

    operator: Operator
    tp: Count = 1
    ep: Count = 1
    axes: tuple[Axis, ...]
    points: tuple[tuple[float, ...], ...] = Field(min_length=1)
    latency_us: tuple[NonNegative, ...]
    spread: tuple[NonNegative, ...] = ()
    calls_per_layer: float = 1.0
    layer_kind: int = 0

    @model_validator(mode="after")
    def _aligned(self) -> OperatorTable:
        if len(self.points) != len(self.latency_us):
            raise ValueError(f"{self.operator}: {len(self.points)} points but {len(self.latency_us)} latencies")
        if any(len(point) != len(self.axes) for point in self.points):
            raise ValueError(f"{self.operator}: every point needs {len(self.axes)} columns ({', '.join(self.axes)})")
        return self


class Machine(Spec):
    """Fingerprint of where and how a profile was measured; what is not known is left out."""

    hostname_sha: str | None = None
    gpu: str | None = None
    driver: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    command: str | None = None
    repeats: int | None = None
    noise: float | None = None  # typical relative spread between repeats
    date: str | None = None


class LayerNoise(Spec):
    """How far the blocks of repeats behind a profile lie apart; each figure is the median over its points.

    ``spread``: interquartile range of all repeats. ``block_spread``: largest less smallest block median.
    ``median_error``: standard error of the median over blocks; all relative to the median. ``noisy``: what carries
    the steps is less sure than ``target``.
    """

    points: Count
    blocks: float
    spread: NonNegative
    block_spread: NonNegative
    median_error: NonNegative
    target: NonNegative
    noisy: bool = False


class Repeats(Spec):
    """One figure as rates above 0, in blocks that are spread over the run: what a look for drift compares."""

    name: str
    unit: str
    blocks: tuple[tuple[Positive, ...], ...] = Field(min_length=1)


class PhaseMemory(Spec):
    """Memory that a phase of measuring held on the device when it ended, and the most it held meanwhile."""

    phase: str
    held_gib: NonNegative
    peak_gib: NonNegative


class LayerProfileSpec(Spec):
    """Operator tables of one model on one device under one engine and precision."""

    model: str
    device: str
    engine: str
    engine_version: str
    weights: Precision = "bf16"
    kv_cache: Precision = "bf16"
    basis: Basis = "measured"
    timing: Literal["alone", "kernels"] = "alone"  # each operator timed with its launch, or the kernels' own durations
    source: str
    licence: str | None = None
    machine: Machine = Machine()
    error: NonNegative | None = None  # out-of-fold half-width of the 90 % interval of a step time, relative
    noise: LayerNoise | None = None
    memory: tuple[PhaseMemory, ...] = ()
    measured_as: str | None = None  # the model as it was named when measured: catalogue name, or path of its config
    repeats: tuple[Repeats, ...] = ()
    left_out: tuple[str, ...] = ()  # what was not measured, and why
    tables: tuple[OperatorTable, ...] = Field(min_length=1)


class LayerProfile(Document):
    """A layer profile document."""

    kind: Literal["LayerProfile"] = "LayerProfile"
    spec: LayerProfileSpec
