"""The plan of `tonnage plan placement`: which layers, or which models, on which GPUs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from specs.base import Count, Figure, Spec
from specs.deployment import DeploymentInPlan
from specs.plan import PlanDocument, ServingExpected

Variant = Literal["helr", "lr", "he"]
PlacementObjective = Literal["latency", "throughput"]
Resource = Literal["gpus", "cost"]


class Placed(Spec):
    """Layers ``first_layer`` to ``last_layer`` (inclusive, from 0) of a model on one GPU of a node of a pool."""

    model: str
    pool: str
    node: int
    gpu: int  # index on its node
    device: str
    first_layer: int
    last_layer: int
    weights_gib: float
    kv_gib: float  # what the workload needs there
    free_gib: float  # what the engine's budget leaves besides, KV for bursts
    prefill_ms: float
    decode_ms: float
    busy: float | None = None  # share of the time, where several models share


class PlacementDecision(Spec):
    """Where everything goes, and the engines that follow from it (one per model and copy)."""

    placed: tuple[Placed, ...]
    deployments: tuple[DeploymentInPlan, ...]
    architectures: dict[str, str]  # Hugging Face class of each model
    tied: tuple[str, ...] = ()  # models whose LM head is their embedding
    gpus: Count
    usd_per_hour: float | None = None
    crossings: int = 0


class PlacementExpected(Spec):
    """What the placement does alone (no queue), and under the workload of each model where one was given."""

    request_s: Figure | None = None  # prefill and all decode steps of one batch
    prefill_s: Figure | None = None
    decode_step_s: Figure | None = None
    tokens_per_s: Figure | None = None
    serving: dict[str, ServingExpected] = Field(default_factory=dict)
    holds: dict[str, bool] = Field(default_factory=dict)  # whether each workload's own SLO is kept


class PlacementAlternative(Spec):
    """Another placement that was looked at; ``request_s`` of one batch, None where it does not fit."""

    decision: str
    gpus: int
    usd_per_hour: float | None = None
    request_s: float | None = None
    breaks: str | None = None


class PlacementWhy(Spec):
    """The question, what else was possible at each number of GPUs, and what was assumed."""

    objective: PlacementObjective | None = None
    variant: Variant | None = None
    least: Resource = "gpus"
    batch: float | None = None
    prompt_tokens: float | None = None
    output_tokens: float | None = None
    binding: str | None = None
    front: tuple[PlacementAlternative, ...] = ()  # the best of each number of GPUs
    compared: tuple[PlacementAlternative, ...] = ()  # the other variants, and the map that is used now
    load: dict[str, float | str] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()


class PlacementPlan(PlanDocument):
    """Layers of one model, or many models, on the GPUs of a cluster."""

    kind: Literal["PlacementPlan"] = "PlacementPlan"
    decision: PlacementDecision | None = None
    expected: PlacementExpected | None = None
    why: PlacementWhy | None = None
