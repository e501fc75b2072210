"""Plans: six parts that every plan has, and the serving plan's own figures."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from specs.base import Document, Figure, Spec
from specs.deployment import DeploymentInPlan
from specs.profile import Basis

Outcome = Literal["optimal", "feasible", "infeasible", "abstained"]


class Status(Spec):
    """Outcome, its reason in one sentence, and the solver's own figures."""

    outcome: Outcome
    reason: str
    solver: dict[str, float | int | str] = Field(default_factory=dict)
    conflicts: tuple[str, ...] = ()  # infeasible: the constraints that conflict
    smallest_change: str | None = None  # infeasible: what would make it feasible
    missing: str | None = None  # abstained: the command that makes the missing measurement


class Evidence(Spec):
    """Which quantity rests on what, and how wrong it may be (relative half-width of the 90 % interval)."""

    quantity: str
    basis: Basis
    source: str
    error: float | None = None
    note: str | None = None
    profile: str | None = None  # id of the profile it rests on, as `tonnage store list` shows it


class Percentiles(Spec):
    """Mean and percentiles of one latency, each with its interval; seconds."""

    mean: Figure | None = None
    p50: Figure | None = None
    p90: Figure | None = None
    p95: Figure | None = None
    p99: Figure | None = None


class ServingDecision(Spec):
    """What to deploy, on how many GPUs, at which price."""

    deployments: tuple[DeploymentInPlan, ...]
    gpus: int
    usd_per_hour: float | None = None


class ServingExpected(Spec):
    """What will happen: each figure with low, high and basis."""

    ttft_s: Percentiles
    tpot_s: Percentiles
    e2e_s: Percentiles
    itl_s: Percentiles | None = None
    attainment: Figure
    goodput_per_s: Figure | None = None
    requests_per_s: Figure | None = None
    tokens_per_s: Figure | None = None
    kv_cache_utilization: Figure | None = None
    compute_utilization: Figure | None = None
    preemptions: Figure | None = None
    queue_s: Percentiles | None = None
    usd_per_million_output_tokens: Figure | None = None
    usd_per_million_tokens: Figure | None = None


class Alternative(Spec):
    """Another decision that was looked at, and what became of it."""

    decision: str
    gpus: int
    usd_per_hour: float | None = None
    breaks: str | None = None  # None: it holds
    ttft_p99_s: float | None = None
    tpot_p99_s: float | None = None
    attainment: float | None = None


class BoundHeld(Spec):
    """One bound of the SLO and the figure it was held against: at the upper end for the plan's confidence."""

    name: str  # such as ttft_s.p99, attainment, chat.tpot_s.p95
    bound: float
    planned: float
    holds: bool


class WhatIf(Spec):
    """One change of the workload, whether the decision still holds, and what breaks."""

    change: str
    holds: bool
    breaks: str | None = None
    ttft_p99_s: float | None = None
    tpot_p99_s: float | None = None
    attainment: float | None = None


class AtLoad(Spec):
    """Latency and attainment at one multiple of the planned load, at the upper end for the plan's confidence."""

    factor: float
    holds: bool
    breaks: str | None = None  # the bound that breaks first
    ttft_p99_s: float | None = None
    tpot_p99_s: float | None = None
    attainment: float | None = None


class ServingWhy(Spec):
    """The binding constraint, the next cheaper decision, the headroom, and what was compared."""

    binding: str | None = None
    slo: tuple[BoundHeld, ...] = ()  # every bound
    confidence: float | None = None  # one-sided, with which each bound holds
    survives: str | None = None  # replica | node, where that was asked
    headroom: float | None = None  # largest multiple of the load that still holds
    headroom_high: float | None = None  # the search's upper limit where it still held
    next_cheaper: Alternative | None = None
    compared: tuple[Alternative, ...] = ()  # the best of each device and parallelism
    pareto: tuple[Alternative, ...] = ()  # cost against p99
    what_if: tuple[WhatIf, ...] = ()
    against_load: tuple[AtLoad, ...] = ()  # rising multiples of the planned load, beyond the one that breaks
    failed: tuple[Alternative, ...] = ()  # every n from the lower bound up to the answer
    candidates: str | None = None  # the candidate set over which `optimal` is meant
    load: dict[str, float | str] = Field(default_factory=dict)
    bounds: dict[str, float | str] = Field(default_factory=dict)  # closed-form figures that pruned
    notes: tuple[str, ...] = ()


class PlanDocument(Document):
    """Any plan: metadata, status, decision, expected, why, evidence."""

    status: Status
    valid: str | None = None  # until when and under which assumptions
    decision: Any = None
    expected: Any = None
    why: Any = None
    evidence: tuple[Evidence, ...] = ()


class ServingPlan(PlanDocument):
    """The plan of `tonnage plan serving`."""

    kind: Literal["ServingPlan"] = "ServingPlan"
    decision: ServingDecision | None = None
    expected: ServingExpected | None = None
    why: ServingWhy | None = None
