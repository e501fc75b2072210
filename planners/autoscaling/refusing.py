"""Plans without a decision: a measurement that is missing, and a peak that more replicas than allowed would need."""

from __future__ import annotations

import time

from planners.autoscaling.question import Asked, Question, ScaledLoad
from specs.autoscaling import AutoscalingPlan
from specs.errors import MissingHardwareError
from specs.plan import Status
from specs.stamping import stamped


def abstained(asked: Asked, error: MissingHardwareError, started: float) -> AutoscalingPlan:
    """The plan that says which measurement is missing."""
    return AutoscalingPlan(
        metadata=stamped(f"{asked.name}-autoscaling", asked.inputs),
        status=Status(
            outcome="abstained", reason=error.message, missing=error.cure,
            solver={"seconds": round(time.process_time() - started, 2)},
        ),
    )  # fmt: skip


def over_quota(question: Question, short: list[tuple[ScaledLoad, int]], started: float) -> AutoscalingPlan:
    """The plan that says which peaks need more replicas than there may be."""
    conflicts = tuple(_conflict(question, load, need) for load, need in short)
    most = max(need for _, need in short)
    change = f"quota: {most} (it is {question.scaling.quota}), or a looser SLO"
    if any(need > load.capacity.rows[-1] for load, need in short):
        change = "a looser SLO, or a faster service: more replicas alone do not help"
    return AutoscalingPlan(
        metadata=stamped(question.name, question.inputs),
        status=Status(
            outcome="infeasible", reason="the most replicas that are allowed do not carry the peak of the load",
            conflicts=conflicts, smallest_change=change,
            solver={"seconds": round(time.process_time() - started, 2)},
        ),
    )  # fmt: skip


def _conflict(question: Question, load: ScaledLoad, need: int) -> str:
    peak = f"the peak of {load.rate_per_s.max():.4g} per second"
    if need <= load.capacity.rows[-1]:
        return f"{load.name}: {peak} needs {need} replicas, the quota is {question.scaling.quota}"
    late = float(load.capacity.tails[-1, 0, -1])
    if late > load.late_share:
        allowed = f"of which {load.late_share:.2%} are allowed"
        return f"{load.name}: even without load {late:.2%} of requests take more than {load.bound_s:.3g} s, {allowed}"
    return f"{load.name}: {peak} needs more than {load.capacity.rows[-1]} replicas"
