"""Autoscaling: what a cluster does when replicas come and go, the policies that decide it, and the plan."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from specs.base import Count, Document, NonNegative, Positive, Share, Sourced, Spec
from specs.plan import PlanDocument

PolicyKind = Literal["static", "hpa", "keda", "predictive", "mpc", "td3", "ga-rl"]
Metric = Literal["cpu", "requests", "in-flight", "kv-cache", "waiting"]
Survive = Literal["nothing", "replica", "zone"]


class StartUp(Spec):
    """Seconds from the decision to the first served request: a replica that is Running does not serve yet.

    The image is pulled on a new node only, where nodes are described; on every start where they are not.
    """

    schedule_s: NonNegative = 2.0
    image_s: NonNegative = 20.0
    weights_s: NonNegative = 0.0
    warm_up_s: NonNegative = 10.0

    @property
    def warm_s(self) -> float:
        """On a node that has the image."""
        return self.schedule_s + self.weights_s + self.warm_up_s

    @property
    def cold_s(self) -> float:
        """With the image to be pulled."""
        return self.warm_s + self.image_s


class Nodes(Spec):
    """Nodes that come and go with the replicas."""

    replicas_per_node: Count
    provision_s: NonNegative = 120.0
    idle_s: NonNegative = 600.0  # how long a node stays once it is not needed


class Prices(Spec):
    """USD per replica and hour, by how it is bought; ``losses_per_hour``: chance that a spot replica is taken away."""

    on_demand: Sourced | None = None
    reserved: Sourced | None = None
    spot: Sourced | None = None
    losses_per_hour: NonNegative = 0.05


class Brownout(Spec):
    """Work that can be left out of an answer while replicas are short: the share of a request's time that it takes, and
    the largest share of requests that may be answered without it."""

    work_share: Share
    most_dimmed: Share = 0.05


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
    max_replicas: Count
    triggers: tuple[Trigger, ...] = Field(default=(), max_length=3)
    up: Direction = UP
    down: Direction = DOWN
    sync_s: Positive = 15.0
    polling_s: Positive = 30.0
    cooldown_s: NonNegative = 300.0
    activation_per_s: NonNegative = 0.0
    max_step: Count | None = None
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


class ServiceCapacity(Spec):
    """One replica of a service: how many requests it works on at once, how long each takes, and what is promised."""

    service: str
    workers: Count = 1
    service_s: Positive
    fixed_s: NonNegative = 0.0
    bound_s: Positive | None = None
    cpu_share: Positive = 1.0  # of its CPU request, that a replica uses at its limit
    source: str = "given in the Scaling document"


class ScalingSpec(Spec):
    """How replicas start, what is measured of them and when, what they cost, and how many there may be."""

    start_up: StartUp = StartUp()
    metrics_delay_s: NonNegative = 30.0
    metrics_window_s: Positive = 60.0
    tick_s: Positive = 15.0
    nodes: Nodes | None = None
    prices: Prices = Prices()
    quota: Count | None = None  # replicas of one service
    survive: Survive = "nothing"
    zones: Count = 3
    max_step: Count | None = None  # replicas that may come or go at once
    patience_s: Positive = 60.0
    allow_zero: bool = False
    brownout: Brownout | None = None
    attainment: Share | None = None  # else the SLO's, else 0.99
    current: PolicySpec | None = None  # what runs today
    services: tuple[ServiceCapacity, ...] = ()
    notes: tuple[str, ...] = ()


class Scaling(Document):
    """A scaling document."""

    kind: Literal["Scaling"] = "Scaling"
    spec: ScalingSpec


class Score(Spec):
    """What one policy did to a load it had not seen."""

    violations: Share  # share of requests above the bound
    violations_after_loss: Share | None = None  # the same with a replica or a zone gone
    dimmed: Share = 0.0  # share of requests answered without their optional work
    over_dimmed: bool = False  # more of them than the Scaling document allows
    replica_hours: NonNegative
    node_hours: NonNegative | None = None
    gpu_hours: NonNegative | None = None
    usd: NonNegative | None = None
    changes_per_hour: NonNegative  # replicas started or stopped
    reversals_per_hour: NonNegative  # turns of direction
    recovers_s: NonNegative | None = None  # from a step of the load
    longest_breach_s: NonNegative = 0.0
    replicas_mean: NonNegative = 0.0
    replicas_most: NonNegative = 0.0


class Axes(Spec):
    """The survey's five axes (arXiv 2507.17128); the classes within them are ours."""

    infrastructure: str
    architecture: str
    scaling: str
    objective: str
    behaviour: str


class Method(Spec):
    """One policy that ran: what it is, what came of it, and why it is or is not chosen."""

    name: str
    service: str
    policy: PolicySpec
    score: Score
    trained: Score | None = None  # on the part of the load that it was tuned on
    axes: Axes
    pareto: bool = False
    verdict: str = ""


class Purchase(Spec):
    """How the replicas of one service are bought."""

    reserved: int = Field(ge=0)
    on_demand_hours: NonNegative
    spot_hours: NonNegative = 0.0
    usd: NonNegative
    usd_all_on_demand: NonNegative


class ScaledService(Spec):
    """The policy of one service, its spare replicas and how they are bought."""

    service: str
    policy: PolicySpec
    needed_at_peak: int
    spare_replicas: int = 0
    head_room_replicas: int = 0  # kept for the steepest rise during a warm-up
    purchase: Purchase | None = None


class AutoscalingDecision(Spec):
    """What to deploy: one policy per service."""

    services: tuple[ScaledService, ...]
    usd_per_week: NonNegative | None = None


class LoadFigure(Spec):
    """The load and replicas over time, thinned for a plot."""

    service: str
    at_s: tuple[float, ...]
    rate_per_s: tuple[float, ...]
    replicas: tuple[float, ...]
    forecast_per_s: tuple[float, ...] = ()


class AutoscalingExpected(Spec):
    """What will happen under the recommended policies, over the part of the load that they were not tuned on."""

    scores: dict[str, Score]
    violations_high: dict[str, Share] = Field(default_factory=dict)  # with capacity at the low end of its interval
    hours: Positive
    over_time: tuple[LoadFigure, ...] = ()


class AutoscalingWhy(Spec):
    """Every policy that ran, the best of them, and what the choice rests on."""

    compared: tuple[Method, ...]
    reasons: dict[str, str]
    slo: dict[str, str] = Field(default_factory=dict)
    load: dict[str, dict[str, float]] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()


class AutoscalingPlan(PlanDocument):
    """The plan of `tonnage plan autoscaling`."""

    kind: Literal["AutoscalingPlan"] = "AutoscalingPlan"
    decision: AutoscalingDecision | None = None
    expected: AutoscalingExpected | None = None
    why: AutoscalingWhy | None = None
