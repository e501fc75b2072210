"""The techniques plan: every way to serve more on the same GPUs, side by side at equal SLO."""

from __future__ import annotations

from typing import Literal

from specs.base import Figure, NonNegative, Spec
from specs.plan import PlanDocument


class Technique(Spec):
    """One technique on this workload and deployment; a ratio below 1 is less than as deployed, above 1 more.

    ``load``: the largest multiple of the workload's load under which the SLO still holds. ``gpus``: the GPUs that this
    load takes, those used over the load that they hold. Empty where the technique does not apply: ``why`` says so.
    """

    name: str
    setting: str | None = None
    applies: bool
    why: str
    holds: bool | None = None  # the SLO, at this load
    load: NonNegative | None = None
    gpus: NonNegative | None = None
    ttft_p99_s: NonNegative | None = None
    tpot_p99_s: NonNegative | None = None
    load_ratio: NonNegative | None = None
    cost_ratio: NonNegative | None = None
    ttft_ratio: NonNegative | None = None
    tpot_ratio: NonNegative | None = None
    accuracy_loss_pct: NonNegative | None = None
    extra_memory_gib: NonNegative | None = None
    evidence: str | None = None
    command: str | None = None  # that gives the whole plan


class TechniquesDecision(Spec):
    """The technique that carries this load at the least cost, and the command that plans it in full."""

    technique: str
    setting: str | None = None
    command: str | None = None


class TechniquesExpected(Spec):
    """What the chosen technique gives."""

    load: Figure | None = None
    gpus: Figure | None = None
    ttft_p99_s: Figure | None = None
    tpot_p99_s: Figure | None = None
    accuracy_loss_pct: Figure | None = None


class TechniquesWhy(Spec):
    """Every technique, what it gains and costs, or why it does not apply."""

    compared: tuple[Technique, ...] = ()
    notes: tuple[str, ...] = ()


class TechniquesPlan(PlanDocument):
    """The plan of `tonnage plan techniques`."""

    kind: Literal["TechniquesPlan"] = "TechniquesPlan"
    decision: TechniquesDecision | None = None
    expected: TechniquesExpected | None = None
    why: TechniquesWhy | None = None
