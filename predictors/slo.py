"""What an SLO asks of single requests and of percentiles, as arrays and named figures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from predictors.serving.measures import Measures
from specs.trace import FloatArray
from specs.workload import RequestBounds, Slo, WorkloadSpec

FIGURES = ("ttft_s", "tpot_s", "e2e_s", "itl_s")
STATISTICS = ("mean", "p50", "p90", "p95", "p99")


@dataclass(frozen=True, kw_only=True)
class Bound:
    """One bound of an SLO with what was found: latencies in seconds (at most), attainment as a share (at least)."""

    name: str
    bound: float
    found: float
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """Whether the figure itself keeps the bound; an undefined figure breaks none."""
        return not (self.found < self.bound if self.name == "attainment" else self.found > self.bound)


def request_bounds(workload: WorkloadSpec) -> FloatArray:
    """Return [classes + 1, 4] bounds on TTFT, TPOT, end-to-end and longest gap of a request; infinite where not given.

    Rows follow ``workload.classes``; the last is the workload's own SLO, for requests of no class. Without classes
    there is that one row.
    """
    bounds = [one.slo.request for one in workload.classes] + [workload.slo.request]
    return np.asarray([_row(one) for one in bounds], dtype=np.float64)


def bounds_of(slo: Slo, measures: Measures) -> tuple[Bound, ...]:
    """Return every bound of ``slo`` beside the figure that it binds; attainment where a request bound is given."""
    found: list[Bound] = []
    for name in FIGURES:
        for statistic in STATISTICS:
            bound = getattr(getattr(slo, name), statistic)
            if bound is not None:
                one = getattr(getattr(measures, name), statistic)
                found.append(
                    Bound(name=f"{name}.{statistic}", bound=bound, found=one.value, low=one.low, high=one.high)
                )
    if any(math.isfinite(value) for value in _row(slo.request)):
        share = measures.attainment
        found.append(Bound(name="attainment", bound=slo.attainment, found=share.value, low=share.low, high=share.high))
    return tuple(found)


def _row(request: RequestBounds) -> list[float]:
    return [math.inf if (bound := getattr(request, name)) is None else bound for name in FIGURES]
