"""The plan of `tonnage plan rightsizing`: requests and limits per container, what they save and what they risk."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from specs.base import Figure, Share, Spec
from specs.plan import PlanDocument

Method = Literal["percentile", "peak", "decaying"]
Verdict = Literal["change", "keep", "left", "abstained"]
Severity = Literal["critical", "warning", "ok", "good"]


class ContainerResources(Spec):
    """Requests and limits of one container; None: not set."""

    cpu_request_cores: float | None = None
    cpu_limit_cores: float | None = None
    memory_request_gib: float | None = None
    memory_limit_gib: float | None = None


class ScaledBy(Spec):
    """A horizontal autoscaler solved together with the request, which is its denominator.

    ``target`` × the request is the CPU of a replica at which it scales; the plan keeps that product, so that the
    number of replicas stays what it was.
    """

    target: float  # share of the request that goes with the recommended request
    target_now: float
    cores_at_target: float
    least: int | None = None
    most: int | None = None


class ContainerDecision(Spec):
    """What to set for one container; ``left`` and ``abstained`` set nothing and say why."""

    namespace: str | None = None
    workload: str
    container: str
    verdict: Verdict
    severity: Severity | None = None
    reason: str
    current: ContainerResources = ContainerResources()
    recommended: ContainerResources | None = None
    autoscaler: ScaledBy | None = None

    @property
    def label(self) -> str:
        """For example `shop/cart:app`."""
        return f"{self.namespace + '/' if self.namespace else ''}{self.workload}:{self.container}"


class RightsizingDecision(Spec):
    """Requests and limits per container, those that matter most first."""

    containers: tuple[ContainerDecision, ...] = Field(min_length=1)


class Risk(Spec):
    """What a request and a limit do on samples: shares of the time of single replicas."""

    above_cpu_request: Share
    above_memory_request: Share
    throttled: Share | None = None  # time at the CPU limit, between samples unseen; None: no limit
    above_cpu_request_one_lost: Share | None = None  # or as many as a disruption budget lets go
    memory_limit_reached: Share | None = None  # days


class Shadow(Spec):
    """The recommendation from earlier history against what then happened."""

    days: float
    risk: Risk
    cpu_request_cores: float
    cpu_used_p95_cores: float
    memory_limit_gib: float
    memory_used_high_gib: float
    held: bool  # memory never reached its limit, CPU above the request no longer than was accepted


class ContainerExpected(Spec):
    """What one recommendation leads to; savings count every replica, and are negative where more is given."""

    container: str
    cpu_request_cores: Figure
    memory_limit_gib: Figure
    replicas: float
    saved_cores: float | None = None
    saved_gib: float | None = None
    saved_usd_per_hour: float | None = None
    rollout_cores: float  # requested on top while a rollout has its surge
    risk: Risk
    shadow: Shadow | None = None


class RightsizingExpected(Spec):
    """Savings in all, and per container."""

    saved_cores: float | None = None
    saved_gib: float | None = None
    saved_usd_per_hour: float | None = None
    unpriced: str | None = None
    containers: tuple[ContainerExpected, ...] = ()


class ContainerWhy(Spec):
    """What the recommendation of one container rests on; every method's CPU request and memory beside it."""

    container: str
    days: float
    samples: int
    confidence: float  # min(days, samples / 1440) of the VPA recommender: 1 is a full day
    cpu_cores: dict[str, float] = Field(default_factory=dict)
    memory_gib: dict[str, float] = Field(default_factory=dict)
    vpa_bounds_cores: tuple[float, float] | None = None
    seasonal_share: Share = 0.0
    warm_up_cores: float | None = None
    out_of_memory: int = 0
    notes: tuple[str, ...] = ()


class RightsizingWhy(Spec):
    """The method, its settings, and each container's figures."""

    method: Method
    settings: dict[str, float | str] = Field(default_factory=dict)
    containers: tuple[ContainerWhy, ...] = ()
    notes: tuple[str, ...] = ()


class RightsizingPlan(PlanDocument):
    """The plan of `tonnage plan rightsizing`."""

    kind: Literal["RightsizingPlan"] = "RightsizingPlan"
    decision: RightsizingDecision | None = None
    expected: RightsizingExpected | None = None
    why: RightsizingWhy | None = None
