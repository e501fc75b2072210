"""The brownout plan: which united experts, at which thresholds, steered how, and what that costs in accuracy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from specs.base import Count, Figure, NonNegative, Positive, Share, Spec
from specs.deployment import DeploymentInPlan
from specs.plan import BoundHeld, Percentiles, PlanDocument

Mode = Literal["full service", "fixed thresholds", "salc", "full brownout"]


class PhaseThresholds(Spec):
    """Share of the tokens that the original experts serve, in steps that prefill and in steps that only decode."""

    prefill: Share
    decode: Share


class Salc(Spec):
    """The controller of both thresholds: additive increase, multiplicative decrease (BrownoutServe, Algorithm 2)."""

    increment: Positive = 0.1
    shrink: Share = 0.8
    warning_factor: Share = 0.8  # below this share of the bound the threshold grows
    level: Share = 0.9  # quantile of the window that is held against the bound
    window_s: Count = 2
    check_s: Count = 5
    prefill_slo_s: Positive | None = None  # bound on the time to the first token; None: stays at 1
    decode_slo_s: Positive | None = None  # bound on the gap between tokens; None: stays at 1


class BrownoutSettings(Spec):
    """What the engine is given."""

    mode: Mode
    way: Count | None = None  # experts per united expert; None: none are united
    grouping: Literal["index"] = "index"
    united_experts_per_layer: int = 0
    threshold_init: PhaseThresholds
    salc: Salc | None = None  # None: the thresholds stay
    prefill_per_layer: tuple[Share, ...] = ()  # a threshold for each layer, where asked for
    decode_per_layer: tuple[Share, ...] = ()


class BrownoutDecision(Spec):
    """The deployment that stays as it is, and the brownout added to it; None: full service holds, add none."""

    deployment: DeploymentInPlan
    brownout: BrownoutSettings | None
    burst: Positive  # the multiple of the rate that was planned for


class ExpertAccesses(Spec):
    """Experts whose weights a step of this many tokens reads in one layer, on average over the layers."""

    phase: Literal["prefill", "decode"]
    tokens: Count  # scheduled in the step
    full_service: NonNegative
    planned: NonNegative


class BrownoutExpected(Spec):
    """What will happen in the planned burst, each figure with low, high and basis."""

    ttft_s: Percentiles
    tpot_s: Percentiles
    itl_s: Percentiles
    attainment: Figure
    requests_per_s: Figure
    accuracy_loss_pct: Figure  # mean over the whole run; low and high: of the phase that loses less, more
    burst_accuracy_loss_pct: Figure | None = None  # from the start of the burst on
    mean_threshold: PhaseThresholds  # from the start of the burst on
    lowest_threshold: PhaseThresholds
    accesses: tuple[ExpertAccesses, ...] = ()
    largest_burst: Figure  # largest multiple of the rate that holds; high: the smallest seen to break
    largest_burst_per_s: Figure | None = None
    extra_memory_gib: NonNegative  # of the united experts, per GPU


class BrownoutAlternative(Spec):
    """Another setting that was replayed under the same burst."""

    mode: Mode
    way: Count | None = None
    thresholds: PhaseThresholds | None = None  # of fixed thresholds; of salc the mean in the burst
    breaks: str | None = None  # None: it holds
    attainment: float | None = None
    ttft_p99_s: float | None = None
    tpot_p99_s: float | None = None
    itl_p99_s: float | None = None
    accuracy_loss_pct: float | None = None
    extra_memory_gib: float | None = None
    largest_burst: float | None = None
    largest_burst_loss_pct: float | None = None  # mean accuracy loss in that burst


class LayerGain(Spec):
    """What thresholds of their own for each layer spare at the same expert time, by the Lagrange multiplier."""

    phase: Literal["prefill", "decode"]
    uniform_loss_pct: NonNegative
    per_layer_loss_pct: NonNegative
    bound_pct: NonNegative  # no choice of thresholds loses less


class BrownoutWhy(Spec):
    """The binding bound, what full service breaks, and every setting that was compared."""

    binding: str | None = None
    slo: tuple[BoundHeld, ...] = ()
    compared: tuple[BrownoutAlternative, ...] = ()
    per_layer: tuple[LayerGain, ...] = ()
    load: dict[str, float | str] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()


class BrownoutPlan(PlanDocument):
    """The plan of `tonnage plan brownout`."""

    kind: Literal["BrownoutPlan"] = "BrownoutPlan"
    decision: BrownoutDecision | None = None
    expected: BrownoutExpected | None = None
    why: BrownoutWhy | None = None
