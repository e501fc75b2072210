"""Replays a Kubernetes HPA over a rate series, served by a fluid queue whose capacity and latency the engine gave."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
SYNC_S = 15.0
TOLERANCE = 0.10
STABLE_DOWN_S = 300.0
"""Kubernetes' defaults [docs: horizontal-pod-autoscale; the stabilisation is std]."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What one replica does alone: requests per second at most, and its latencies by load (share of that).

    ``load`` [K] ascending; ``mean_s`` and ``p99_s`` [K] of a request's whole time without a backlog.
    """

    per_s: float
    load: FloatArray
    mean_s: FloatArray
    p99_s: FloatArray


@dataclass(frozen=True, kw_only=True)
class Hpa:
    """Scaling by requests in flight per replica; ``warmup_s`` until a new replica serves."""

    target: float
    least: int
    most: int
    warmup_s: float


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """Seconds [T]: replicas that serve, replicas that are paid for, backlog, and the latency of who arrives then."""

    serving: FloatArray
    paid: FloatArray
    backlog: FloatArray
    mean_s: FloatArray
    p99_s: FloatArray
    served: FloatArray

    def replica_hours(self) -> float:
        """Replica-hours that are paid for."""
        return float(self.paid.sum() / 3600.0)

    def p99(self, rate_per_s: FloatArray) -> float:
        """The 99th percentile over all arrivals of the p99 that their second had."""
        order = np.argsort(self.p99_s)
        reached = np.cumsum(rate_per_s[order]) / rate_per_s.sum()
        return float(self.p99_s[order][int(np.searchsorted(reached, 0.99))])

    def mean(self, rate_per_s: FloatArray) -> float:
        """Mean time of a request over all arrivals."""
        return float((self.mean_s * rate_per_s).sum() / rate_per_s.sum())


def desired(current: int, metric: float, hpa: Hpa) -> int:
    """⌈current · metric / target⌉ inside a tolerance of 10 %, at most double or four more, within the limits [docs]."""
    ratio = metric / hpa.target
    wanted = current if abs(ratio - 1.0) <= TOLERANCE else math.ceil(current * ratio - 1e-9)
    return int(min(max(wanted, hpa.least), hpa.most, max(2 * current, current + 4)))


def replay_hpa(rate_per_s: FloatArray, curve: Curve, hpa: Hpa) -> Replayed:
    """Step through ``rate_per_s`` [T], one entry per second: arrivals, service, backlog, a sync every 15 s.

    Fluid: within a second the replicas serve what arrives up to their capacity, what is left waits, and who arrives
    waits for the backlog. The metric is requests in flight per replica by Little's law plus the backlog. [ours]
    """
    seconds = len(rate_per_s)
    out = {name: np.zeros(seconds) for name in ("serving", "paid", "backlog", "mean_s", "p99_s", "served")}
    serving, ready, backlog = hpa.least, list[tuple[float, int]](), 0.0
    history: list[tuple[float, int]] = []
    for t in range(seconds):
        serving += sum(count for at, count in ready if at <= t)
        ready = [(at, count) for at, count in ready if at > t]
        capacity = serving * curve.per_s
        waited = backlog / capacity
        served = min(backlog + rate_per_s[t], capacity)
        backlog += rate_per_s[t] - served
        load = min(served / capacity, curve.load[-1])
        mean = float(np.interp(load, curve.load, curve.mean_s))
        out["serving"][t], out["backlog"][t], out["served"][t] = serving, backlog, served
        out["mean_s"][t], out["p99_s"][t] = mean + waited, float(np.interp(load, curve.load, curve.p99_s)) + waited
        coming = sum(count for _, count in ready)
        out["paid"][t] = serving + coming
        if t % int(SYNC_S) == 0:
            wanted = desired(serving + coming, (served * mean + backlog) / serving, hpa)
            history = [(at, count) for at, count in history if at > t - STABLE_DOWN_S] + [(float(t), wanted)]
            if wanted > serving + coming:
                ready.append((t + hpa.warmup_s, wanted - serving - coming))
            elif not ready:
                serving = min(serving, max(count for _, count in history))
    return Replayed(**out)
