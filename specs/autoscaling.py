"""Autoscaling: what a cluster does when replicas come and go, the policies that decide it, and the plan."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from specs.base import Count, Document, NonNegative, Positive, Share, Sourced, Spec
from specs.plan import PlanDocument
from specs.policies import PolicySpec
from specs.promises import Promise

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

    @property
    def cost(self) -> float:
        """What policies are compared by: money where prices are known, else GPU-hours, else replica-hours."""
        known = (one for one in (self.usd, self.gpu_hours) if one is not None)
        return next(known, self.replica_hours)

    @property
    def cost_unit(self) -> str:
        """The unit of `cost`."""
        if self.usd is not None:
            return "USD"
        return "replica-hours" if self.gpu_hours is None else "GPU-hours"


class Axes(Spec):
    """The survey's five axes (arXiv 2507.17128); the classes within them are ours."""

    infrastructure: str
    architecture: str
    scaling: str
    objective: str
    behaviour: str


class LayerPolicy(Spec):
    """One group of layers as a service of its own: its policy, and what one replica takes and sustains."""

    service: str
    first_layer: int = Field(ge=0)
    last_layer: int = Field(ge=0)
    policy: PolicySpec
    gpus: Positive  # of one replica; part of one where groups share GPUs
    sustains_per_s: Positive
    start_up_s: NonNegative
    replicas_mean: NonNegative = 0.0
    needed_at_peak: int = Field(default=0, ge=0)


class Method(Spec):
    """One policy that ran: what it is, what came of it, and why it is or is not chosen.

    ``layers``: each group of layers has a policy of its own, and they run together; ``policy`` is that of the first.
    """

    name: str
    service: str
    policy: PolicySpec
    score: Score
    trained: Score | None = None  # on the part of the load that it was tuned on
    axes: Axes
    layers: tuple[LayerPolicy, ...] = ()
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
    """The policy of one service, its spare replicas and how they are bought.

    ``part_of``: the model that it has the layers of, from the first to the last; all of these are scaled together.
    """

    service: str
    part_of: str | None = None
    first_layer: int | None = None
    last_layer: int | None = None
    gpus: Positive | None = None  # of one replica
    policy: PolicySpec
    needed_at_peak: int
    spare_replicas: int = 0
    head_room_replicas: int = 0  # kept for the steepest rise during a warm-up
    purchase: Purchase | None = None

    @property
    def whole(self) -> str:
        """The service that was asked about, under whose name the reasons stand."""
        return self.part_of or self.service


class AutoscalingDecision(Spec):
    """What to deploy: one policy per service."""

    services: tuple[ScaledService, ...]
    usd_per_week: NonNegative | None = None


class LoadFigure(Spec):
    """The load and replicas over time, thinned for a plot.

    ``quantiles_per_s``: what was forecast for each time a while before, by level (`p50`, `p95`); ``ahead_s``: how long
    before; ``counts``: of ``replicas``; GPUs where layers are scaled apart.
    """

    service: str
    at_s: tuple[float, ...]
    rate_per_s: tuple[float, ...]
    replicas: tuple[float, ...]
    quantiles_per_s: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    ahead_s: NonNegative | None = None
    forecast_by: str | None = None
    counts: Literal["replicas", "GPUs"] = "replicas"

    @model_validator(mode="before")
    @classmethod
    def _one_line(cls, value: Any) -> Any:
        """A plan of an earlier version has one line, the 90 % quantile of the season."""
        if not isinstance(value, dict) or "forecast_per_s" not in value:
            return value
        rest = {name: one for name, one in value.items() if name != "forecast_per_s"}
        line = value["forecast_per_s"]
        return rest | ({"quantiles_per_s": {"p90": line}} if line else {})


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
    slo: dict[str, Promise] = Field(default_factory=dict)
    load: dict[str, dict[str, float]] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()


class AutoscalingPlan(PlanDocument):
    """The plan of `tonnage plan autoscaling`."""

    kind: Literal["AutoscalingPlan"] = "AutoscalingPlan"
    decision: AutoscalingDecision | None = None
    expected: AutoscalingExpected | None = None
    why: AutoscalingWhy | None = None
