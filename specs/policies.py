"""Scaling policies: what the simulator runs and what the renderers deploy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from specs.base import Count, NonNegative, Positive, Share, Spec

PolicyKind = Literal["static", "vpa", "hpa", "keda", "predictive", "mpc", "td3", "ga-rl"]
Metric = Literal["cpu", "requests", "in-flight", "kv-cache", "waiting"]


class ScalingRule(Spec):
    """At most so many pods, or so many percent, per period."""

    type: Literal["Pods", "Percent"]
    value: Positive
    period_s: Positive


class Direction(Spec):
    """One direction of a HorizontalPodAutoscaler's `behavior`."""

    stabilization_window_s: NonNegative
    select_policy: Literal["max", "min", "disabled"] = "max"
    policies: tuple[ScalingRule, ...] = Field(min_length=1, max_length=3)
    tolerance: Share = 0.1


UP = Direction(
    stabilization_window_s=0,
    policies=(ScalingRule(type="Pods", value=4, period_s=15), ScalingRule(type="Percent", value=100, period_s=15)),
)
DOWN = Direction(stabilization_window_s=300, policies=(ScalingRule(type="Percent", value=100, period_s=15),))


class Trigger(Spec):
    """One metric and its target.

    ``cpu``: percent of the request, of each pod; ``kv-cache``: share of use, of each pod; ``requests`` (per second),
    ``in-flight`` and ``waiting``: their sum divided by the target is the number of replicas.
    """

    metric: Metric
    target: Positive


class ScheduleWindow(Spec):
    """At least so many replicas from one time of day (HH:MM) to another, which may lie after midnight."""

    start: str
    end: str
    replicas: Count
    timezone: str = "UTC"
    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)  # Monday is 0


class Forecasting(Spec):
    """A seasonal quantile, how far it looks ahead, and the use of capacity that it plans with."""

    season_s: Positive
    quantile: Share
    lead_s: NonNegative
    late_share: Share  # planned share of requests above the bound
    seasons: Count = 7
    head_room: Positive = 1.0  # replicas are multiplied by it, for the loss of a zone
    spare_replicas: int = Field(default=0, ge=0)  # on top, for the loss of a replica


class Horizon(Spec):
    """Receding-horizon control: how far, in which stages, and what a request above the bound is worth."""

    stages: Count
    stage_s: Positive
    replica_hours_per_1000_late: Positive


class PolicySpec(Spec):
    """One policy, as it is simulated and as it is deployed."""

    kind: PolicyKind
    min_replicas: int = Field(ge=0)
    idle_replicas: int | None = None  # without any load, below min_replicas
    max_replicas: Count
    triggers: tuple[Trigger, ...] = Field(default=(), max_length=3)
    up: Direction = UP
    down: Direction = DOWN
    sync_s: Positive = 15.0
    polling_s: Positive = 30.0
    cooldown_s: NonNegative = 300.0
    activation_per_s: NonNegative = 0.0
    max_step: Count | None = None  # replicas that may come or go in the period of one rule
    metrics_window_s: Positive | None = None  # that metrics are means over
    brownout: bool = False  # leave optional work out while replicas are short
    schedule: tuple[ScheduleWindow, ...] = ()
    forecast: Forecasting | None = None
    horizon: Horizon | None = None
    weights: tuple[float, ...] = ()  # of the network of a learned policy

    @model_validator(mode="after")
    def _bounds(self) -> PolicySpec:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas {self.min_replicas} is more than max_replicas {self.max_replicas}")
        return self

    @model_validator(mode="after")
    def _idle(self) -> PolicySpec:
        """As KEDA takes `idleReplicaCount`: before version 3 only 0, and less than `minReplicaCount` [docs]."""
        if self.idle_replicas is None:
            return self
        if self.idle_replicas != 0:
            raise ValueError(f"idle_replicas {self.idle_replicas}: KEDA before version 3 takes 0 alone")
        if self.kind != "keda" or self.min_replicas == 0:
            raise ValueError("idle_replicas is for KEDA alone, and for min_replicas above it")
        return self
