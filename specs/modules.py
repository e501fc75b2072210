"""The plan of `tonnage plan modules`: copies of modules, layer services or whole instances, on the same GPUs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from specs.base import Spec
from specs.deployment import DeploymentInPlan
from specs.plan import PlanDocument, ServingExpected

Method = Literal["cocoserve", "layer-services", "whole-instance"]
Module = Literal["layers", "attention", "feed-forward", "kv"]


class ModuleAction(Spec):
    """One reversible step: which module of which layers goes where, what that costs and what it gains."""

    order: int
    op: Literal["replicate", "migrate"]
    module: Module
    first_layer: int
    last_layer: int
    source: str
    target: str
    gib: float
    copy_ms: float
    downtime_ms: float
    gain: float  # of the requests per second that the instance can sustain, as a ratio
    undo: str


class Release(Spec):
    """One rung of what is given back under memory pressure, cheapest first."""

    order: int
    what: str
    frees_gib: float
    loses: float  # of the requests per second that can be sustained, as a ratio


class LayerService(Spec):
    """One group of layers as a service with its own autoscaler."""

    name: str
    first_layer: int
    last_layer: int
    replicas: int
    gib_per_replica: float
    utilization: float  # share of the time that a replica works, as planned
    hpa_metric: str
    hpa_target: float
    hpa_min: int
    hpa_max: int
    warmup_s: float
    step_s: float | None = None  # one decode step of a replica's share of the sequences
    gpus: float | None = None  # of one replica: its part of the work on the GPUs that it shares
    sustains_per_s: float | None = None  # requests per second that one replica keeps up with


class LayerPipeline(Spec):
    """How the layer services of a plan work together, for whoever scales them one by one."""

    sustains_per_s: float  # requests per second, by the closed form
    stages: int  # batches in flight
    stage_share: float  # of a step's time that the busiest GPU works
    kv_tokens: float
    hop_start_s: float  # of every crossing between two services
    hop_s_per_token: float
    instance_warmup_s: float  # a whole instance instead: its engine and all of its weights


class MethodResult(Spec):
    """One method at its least cost that keeps the SLO, or at its best where none does."""

    method: Method
    decision: str
    holds: bool
    gpus: int  # that are paid for whole
    gpu_share: float  # whole GPUs and the shares of idle memory that are used
    usd_per_hour: float | None = None
    attainment: float
    ttft_p99_s: float
    tpot_p99_s: float | None = None
    e2e_mean_s: float
    tokens_per_s: float
    sustains_per_s: float  # requests per second by the closed form
    react_s: float | None = None  # to a step in load; None: this many GPUs cannot carry it
    breaks: str | None = None


class ModulesDecision(Spec):
    """What to do: the instances that run, and what is copied or scaled beside them."""

    method: Method
    deployments: tuple[DeploymentInPlan, ...]
    actions: tuple[ModuleAction, ...] = ()
    replicas_by_layer: dict[str, int] = Field(default_factory=dict)
    services: tuple[LayerService, ...] = ()
    pipeline: LayerPipeline | None = None  # of the services
    gpus: int
    gpu_share: float
    usd_per_hour: float | None = None


class ModulesWhy(Spec):
    """All methods on the same load and GPUs, what is given back under pressure, and what was assumed."""

    compared: tuple[MethodResult, ...] = ()
    release: tuple[Release, ...] = ()
    figures: dict[str, float | str] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()


class ModulesPlan(PlanDocument):
    """Scaling by modules against scaling by instances."""

    kind: Literal["ModulesPlan"] = "ModulesPlan"
    decision: ModulesDecision | None = None
    expected: ServingExpected | None = None
    why: ModulesWhy | None = None
