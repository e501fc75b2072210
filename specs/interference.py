"""What `tonnage predict interference` found: how well contention is predicted, how much it slows, and who disturbs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from specs.base import Count, Document, Figure, NonNegative, Positive, Share, Spec
from specs.contention import SlowdownQuantity
from specs.plan import Evidence

Learner = Literal[
    "law and trees", "boosted trees", "additive law", "pressure law", "trees with additive", "linear",
    "application mean",
]  # fmt: skip
Split = Literal["rows", "application", "node type"]
Resource = Literal["last-level cache", "memory bandwidth", "CPU quota", "hypervisor steal", "CPU time", "not told"]
Action = Literal["suppress", "cap", "move", "raise quota", "watch"]


class Score(Spec):
    """One learner on rows that it had not seen: 1 − mean |predicted/measured − 1|, R² of the logarithm, P90 error.

    ``split`` says what was held out: single rows, whole applications, or whole node types; of an application or a node
    type held out, only how it runs with the fewest neighbours was known.
    """

    learner: Learner
    split: Split
    accuracy: float
    r_squared: float | None = None
    p90_error: NonNegative
    rows: Count


class Importance(Spec):
    """How much the mean error of rows held out grows when one feature is shuffled, in percentage points."""

    feature: str
    points: float


class Sensitivity(Spec):
    """One application on one node type: its value with the fewest neighbours, and its slowdown under pressure.

    Slowdowns are against no neighbours: at the median and at the 90th percentile of the pressure seen; 1 is none.
    """

    app: str
    node_type: str
    rows: Count
    alone: Positive
    typical: Figure
    heavy: Figure


class Alarm(Spec):
    """One container that ran slower than its own baseline in ``over`` of ``of`` windows in a row; nothing was done."""

    app: str
    node: str
    window: str  # the last of them
    value: Positive
    baseline: Positive
    threshold: Positive
    over: Count
    of: Count
    resource: Resource
    sign: str  # what told the resource
    antagonist: str | None = None
    correlation: float | None = None
    action: Action
    advice: str


class InterferenceEstimate(Document):
    """A prediction of interference: scores, importance, interval, sensitivities, and alarms; nothing is acted on."""

    kind: Literal["InterferenceEstimate"] = "InterferenceEstimate"
    quantity: SlowdownQuantity
    rows: Count
    applications: Count
    node_types: Count
    features: tuple[str, ...]
    learner: Learner
    scores: tuple[Score, ...]
    accuracy_is: str
    importance: tuple[Importance, ...] = ()
    interval: Positive  # a measured value lies within value / interval … value × interval
    interval_share: Share
    interval_held: Share | None = None  # share of rows held out that lay within
    sensitivities: tuple[Sensitivity, ...] = ()
    watched: int = 0  # rows in which alarms were looked for
    alarms: tuple[Alarm, ...] = ()
    detection: dict[str, float | str] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
