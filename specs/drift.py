"""What a comparison of a stored profile with a new one found: which figures moved, and the plans that rest on them."""

from __future__ import annotations

from typing import Literal

from specs.base import Count, Document, NonNegative, Positive, Share, Spec
from specs.stored import FieldChange

DriftOutcome = Literal["steady", "drift", "too-noisy"]


class MetricDrift(Spec):
    """One figure of two profiles, each measured in blocks that are spread over a run.

    ``change``: after / before − 1. ``smallest_detectable``: the smallest change of either sign that these blocks could
    have shown; absent where none could be shown. ``disagreement``: range of the block medians over their median, of the
    worse side. ``p``: of this metric alone, the probability of such a difference without a change beyond the minimum
    effect.
    """

    name: str
    unit: str
    outcome: Literal["steady", "moved", "too-noisy"]
    before: Positive  # median of the block medians
    after: Positive
    change: float
    p: Share
    smallest_detectable: NonNegative | None = None
    disagreement: NonNegative
    blocks_before: Count
    blocks_after: Count
    test: Literal["ranks", "student", "none"]


class RestingPlan(Spec):
    """A stored plan that rests on the profile which was compared."""

    id: str
    kind: str
    name: str


class DriftSpec(Spec):
    """The verdict over all metrics together.

    `drift`: at least one moved. `too-noisy`: none did, and at least one could not be told. `steady`: none moved by more
    than ``minimum_effect``, as far as ``smallest_detectable`` of each reaches. ``measurements``: how often the machine
    was measured again; a move counts once a second measurement confirms it. ``beside`` lists what else differs
    between the two profiles, such as a kernel or a library.
    """

    outcome: DriftOutcome
    reason: str
    profile: str  # id of the earlier profile
    profile_kind: str
    profile_name: str
    profile_measured: str | None = None  # when, as the profile says
    against: str  # id of the new one
    measured: str | None = None
    false_alarms: Share  # bound of the probability of any false alarm among all metrics
    minimum_effect: NonNegative
    agreement: NonNegative  # blocks that disagree by more are too noisy
    measurements: int = 0  # 0 where the new profile was given
    metrics: tuple[MetricDrift, ...] = ()
    only_before: tuple[str, ...] = ()
    only_after: tuple[str, ...] = ()
    beside: tuple[FieldChange, ...] = ()
    plans: tuple[RestingPlan, ...] = ()


class DriftReport(Document):
    """A drift report document."""

    kind: Literal["DriftReport"] = "DriftReport"
    spec: DriftSpec
