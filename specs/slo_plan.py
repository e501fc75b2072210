"""The plan of `tonnage plan slo`: budgets and replicas per service, what they cost, and how it was confirmed."""

from __future__ import annotations

from typing import Literal

from specs.base import Figure, Spec
from specs.plan import PlanDocument


class ServiceBudget(Spec):
    """One service. ``budget_s`` is one visit's latency at ``level``, calls to others left out.

    ``latency_s``: what it will be with these whole ``replicas``; ``replicas_exact``: the continuous answer.
    ``marginal``: cost that one millisecond more would save here, in the decision's unit. ``None`` budget: nobody waits
    for it, so that it is sized by its load alone.
    """

    service: str
    level: str
    budget_s: float | None = None
    latency_s: float | None = None
    replicas: int
    replicas_exact: float | None = None
    current_replicas: int | None = None
    rate_per_s: float
    cpu_cores: float | None = None  # all replicas together
    memory_gib: float | None = None  # all replicas together
    cost: float
    marginal: float | None = None
    critical: bool = False  # on a longest path


class SloDecision(Spec):
    """Budgets and replicas of every service, and what they cost together in ``unit``."""

    method: str
    compose: str
    services: tuple[ServiceBudget, ...]
    replicas: int
    cost: float
    unit: str
    cpu_cores: float | None = None
    memory_gib: float | None = None


class EntryExpected(Spec):
    """One bound: what the budgets compose to, and what the simulation of the plan found, each with its interval."""

    entry: str
    level: str
    bound_s: float
    composed_s: float
    simulated_s: Figure | None = None
    standard_error_s: float | None = None
    holds: bool


class SloExpected(Spec):
    """What will happen at each entry, and which service is busiest."""

    entries: tuple[EntryExpected, ...]
    bottleneck: str | None = None
    simulated_requests: int | None = None


class MethodCost(Spec):
    """One way to split: its continuous cost (``over``: by the lower bound), its whole replicas' cost, CPU seconds."""

    method: str
    cost: float | None = None
    over: float | None = None
    whole_cost: float | None = None
    cpu_s: float | None = None
    failed: str | None = None


class CriticalPath(Spec):
    """The services whose budgets make up the latency of one entry, callers first."""

    entry: str
    services: tuple[str, ...]
    latency_s: float
    bound_s: float


class ServiceChange(Spec):
    """Replicas of one service that the plan changes."""

    service: str
    now: int
    planned: int


class SloWhy(Spec):
    """Lower bounds and gaps, what to relax first, critical paths, other methods, and the difference to what runs."""

    lower_bound: float  # no split costs less, whole or not
    continuous_cost: float
    gap: float  # duality gap of the exact continuous split, relative
    whole_lower_bound: float  # no whole replicas cost less
    whole_gap: float
    relax_first: tuple[str, ...] = ()
    critical_paths: tuple[CriticalPath, ...] = ()
    compared: tuple[MethodCost, ...] = ()
    changes: tuple[ServiceChange, ...] = ()
    correction: tuple[float, ...] = ()
    tightened: float = 1.0  # factor on the bounds that the confirmation asked for
    notes: tuple[str, ...] = ()


class SloPlan(PlanDocument):
    """The plan of `tonnage plan slo`."""

    kind: Literal["SloPlan"] = "SloPlan"
    decision: SloDecision | None = None
    expected: SloExpected | None = None
    why: SloWhy | None = None
