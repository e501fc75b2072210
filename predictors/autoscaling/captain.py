"""Autothrottle's captain: a vertical autoscaler that steers the share of throttled CFS periods to a target.

After `worker-daemon.py` of microsoft/autothrottle [code], NSDI 2024; the loop around it, a container whose backlog
waits for the next period, is ours.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from predictors.autoscaling.state import FloatArray
from predictors.serving.compiled import entry, inner

PERIODS = 10
"""CFS periods of 100 ms between two decisions."""
HISTORY = 50
"""Periods whose highest use and standard deviation count."""
FIRST_MARGIN, LEAST_CORES, SHRINKS_BELOW, SMALLEST_SHARE, BURST = 3.0, 0.01, 0.9, 0.5, 3.0


class Throttled(NamedTuple):
    """Share of periods that were throttled, mean limit and mean use in cores, largest backlog in core-periods."""

    throttled: float
    limit_cores: float
    used_cores: float
    backlog: float


def run_captain(demand_cores: FloatArray, target: float, *, first_cores: float = 1.0) -> Throttled:
    """Steer a container that wants ``demand_cores`` in each period of 100 ms; what it did not get is carried over."""
    return Throttled(*_captain(np.asarray(demand_cores, dtype=np.float64), target, first_cores, np.zeros(HISTORY)))


@inner
def highest(values: FloatArray) -> float:
    """The largest value."""
    most = values[0]
    for value in values:
        most = max(most, value)
    return float(most)


@inner
def deviation(values: FloatArray) -> float:
    """Sample standard deviation."""
    mean, total = 0.0, 0.0
    for value in values:
        mean += value
    mean /= len(values)
    for value in values:
        total += (value - mean) ** 2
    return math.sqrt(total / (len(values) - 1))


@entry
def _captain(demand: FloatArray, target: float, first: float, used: FloatArray) -> tuple[float, float, float, float]:
    limit, last, margin, shrunk = first, first, FIRST_MARGIN, False
    backlog, count, since = 0.0, 0, 0
    throttled, limits, uses, most = 0, 0.0, 0.0, 0.0
    for i in range(len(demand)):
        wanted = demand[i] + backlog
        use = min(wanted, limit)
        backlog = wanted - use
        over = wanted > limit
        throttled += over
        limits += limit
        uses += use
        most = max(most, backlog)
        if i == 0:
            continue  # the daemon's first look only remembers the counters
        used[i % len(used)] = use
        count += over
        since += 1
        rate = count / PERIODS
        if rate > BURST * target and shrunk:
            limit = 2.0 * last - limit
            margin += rate - target
            count, rate, shrunk = 0, 0.0, False
        if since < PERIODS:
            continue
        last = limit
        margin = max(0.0, margin + rate - target)
        shrunk = False
        if rate > BURST * target:
            limit *= 1.0 + rate - BURST * target
        else:
            enough = highest(used) + deviation(used) * margin
            if enough <= SHRINKS_BELOW * limit:
                limit, shrunk = max(SMALLEST_SHARE * limit, enough), True
        limit = max(LEAST_CORES, limit)
        count, since = 0, 0
    n = len(demand)
    return throttled / n, limits / n, uses / n, most
