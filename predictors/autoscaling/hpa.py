"""The arithmetic of Kubernetes' horizontal pod autoscaler, v2: from metrics to replicas, and what limits the change.

After `pkg/controller/podautoscaler` of kubernetes/kubernetes (`replica_calculator.go`, `horizontal.go`) [code]. Pods of
one kind count alike in every formula there, so sums and counts stand for the list of pods. All functions are pure, and
run compiled both from Python and inside the simulator: what the tests hold is what the simulator does.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from predictors.serving.compiled import entry

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

NO_ANSWER = -1
"""What a metric proposes that could not be computed: no pods, no metrics, no requests."""
# How one of several policies of a direction is chosen.
MOST, LEAST, DISABLED = 0, 1, 2
# What a policy limits.
PODS, PERCENT = 0, 1
FALLBACK_PERCENT = 100.0
"""Missing pods count, on the way down, as if they used this share of their request (or the target, if it is more)."""


@entry
def within_tolerance(ratio: float, up: float, down: float) -> bool:
    """Whether a usage ratio is close enough to 1 that nothing is done."""
    return 1.0 - down <= ratio <= 1.0 + up


@entry
def utilization_ratio(usage: float, requested: float, target_percent: float) -> float:
    """Whole percent of the requests that are used, over the target's percent: the controller is that coarse."""
    return math.floor(usage * 100.0 / requested) / target_percent


@entry
def resource_replicas(
    current: int, usage: float, requested: float, ready: int, unready: int, unready_requested: float,
    missing: int, missing_requested: float, target_percent: float, up: float, down: float,
) -> int:  # fmt: skip
    """Replicas that a resource metric (cpu) with a target in percent of the requests proposes.

    ``usage`` and ``requested``: sums over the ``ready`` pods whose sample counts. Unready pods count as idle, but only
    on the way up; missing ones as idle on the way up and as full on the way down.
    """
    if ready == 0 or requested <= 0.0:
        return NO_ANSWER
    ratio = utilization_ratio(usage, requested, target_percent)
    with_unready = unready > 0 and ratio > 1.0
    if not with_unready and missing == 0:
        return current if within_tolerance(ratio, up, down) else math.ceil(ratio * ready)
    counted = ready
    if missing > 0 and ratio < 1.0:
        usage += math.floor(missing_requested * max(FALLBACK_PERCENT, target_percent) / 100.0)
    if missing > 0 and ratio != 1.0:
        requested, counted = requested + missing_requested, counted + missing
    if with_unready:
        requested, counted = requested + unready_requested, counted + unready
    return rebalanced(current, ratio, utilization_ratio(usage, requested, target_percent), counted, up, down)


@entry
def pods_replicas(
    current: int, usage: float, ready: int, unready: int, missing: int, target: float, up: float, down: float
) -> int:
    """Replicas that a metric per pod with an average target proposes; integers, such as thousandths of a request."""
    if ready == 0:
        return NO_ANSWER
    ratio = math.floor(usage / ready) / target
    with_unready = unready > 0 and ratio > 1.0
    if not with_unready and missing == 0:
        return current if within_tolerance(ratio, up, down) else math.ceil(ratio * ready)
    counted = ready + missing
    if missing > 0 and ratio < 1.0:
        usage += missing * target
    if with_unready:
        counted += unready
    return rebalanced(current, ratio, math.floor(usage / counted) / target, counted, up, down)


@entry
def rebalanced(current: int, before: float, after: float, counted: int, up: float, down: float) -> int:
    """Replicas once unready and missing pods count; never a turn of direction because of them."""
    if within_tolerance(after, up, down) or (before < 1.0 and after > 1.0) or (before > 1.0 and after < 1.0):
        return current
    found = math.ceil(after * counted)
    if (after < 1.0 and found > current) or (after > 1.0 and found < current):
        return current
    return found


@entry
def value_replicas(current: int, value: float, target: float, ready: int, up: float, down: float) -> int:
    """Replicas that an object or external metric with a target for its whole value proposes."""
    ratio = value / target
    if current == 0:
        return math.ceil(ratio)
    return current if within_tolerance(ratio, up, down) else math.ceil(ratio * ready)


@entry
def average_replicas(current: int, value: float, target: float, up: float, down: float) -> int:
    """Replicas that an object or external metric with a target per replica proposes (what KEDA's triggers become)."""
    if current > 0 and within_tolerance(value / (target * current), up, down):
        return current
    return math.ceil(value / target)


@entry
def largest(proposals: IntArray, count: int, current: int) -> int:
    """The largest of several metrics' proposals; unknown where all are, or where some are and the rest would shrink."""
    most, unknown = NO_ANSWER, 0
    for i in range(count):
        if proposals[i] == NO_ANSWER:
            unknown += 1
        most = max(most, proposals[i])
    return NO_ANSWER if unknown > 0 and (most == NO_ANSWER or most < current) else most


@entry
def stabilized(
    current: int,
    desired: int,
    now_s: float,
    at_s: FloatArray,
    proposed: IntArray,
    known: int,
    up_s: float,
    down_s: float,
) -> int:
    """The recommendation held between the least of the up window and the most of the down window.

    ``at_s``, ``proposed``: earlier recommendations before stabilisation, in any order, the first ``known`` of them.
    """
    lowest, highest = desired, desired
    for i in range(known):
        if at_s[i] > now_s - up_s:
            lowest = min(lowest, proposed[i])
        if at_s[i] > now_s - down_s:
            highest = max(highest, proposed[i])
    return min(max(current, lowest), highest)


@entry
def up_limit(current: int, select: int, types: IntArray, values: FloatArray, grown: IntArray, shrunk: IntArray) -> int:
    """Most replicas that the policies for growth allow; ``grown``, ``shrunk``: change within each policy's period."""
    if select == DISABLED:
        return current
    limit = -(2**31) if select == MOST else 2**31 - 1
    for i in range(len(types)):
        start = current - grown[i] + shrunk[i]
        by_percent = math.ceil(start * (1.0 + values[i] / 100.0))
        proposed = start + int(values[i]) if types[i] == PODS else by_percent
        limit = max(limit, proposed) if select == MOST else min(limit, proposed)
    return max(limit, current)


@entry
def down_limit(
    current: int, select: int, types: IntArray, values: FloatArray, grown: IntArray, shrunk: IntArray
) -> int:
    """Fewest replicas that the policies for shrinking allow."""
    if select == DISABLED:
        return current
    limit = 2**31 - 1 if select == MOST else -(2**31)
    for i in range(len(types)):
        start = current - grown[i] + shrunk[i]
        by_percent = int(start * (1.0 - values[i] / 100.0))
        proposed = start - int(values[i]) if types[i] == PODS else by_percent
        limit = min(limit, proposed) if select == MOST else max(limit, proposed)
    return min(limit, current)


@entry
def limited(current: int, desired: int, least: int, most: int, up: int, down: int) -> int:
    """``desired`` within the object's bounds and within ``up`` and ``down``, the limits of one step."""
    if desired > current:
        return min(desired, most, up)
    if desired < current:
        return max(desired, least, down)
    return desired
