"""What the recommendations lead to, container by container and in all, and the figures they rest on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from planners.rightsizing import recommender
from planners.rightsizing.estimates import Needs, Steady, amounts
from planners.rightsizing.risk import replicas_of, risk_of
from planners.rightsizing.settings import GIB, SURGE, Settings
from specs.base import Figure
from specs.rightsizing import (
    ContainerDecision,
    ContainerExpected,
    ContainerResources,
    ContainerWhy,
    Method,
    RightsizingExpected,
    Shadow,
)
from specs.usage import ContainerUsage

BASIS = "90 %: days drawn again"
METHODS: tuple[Method, ...] = ("percentile", "peak", "decaying")


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One container with what was decided, and what it rests on where something was recommended."""

    usage: ContainerUsage
    decision: ContainerDecision
    samples: Steady | None = None
    needs: Needs | None = None
    shadow: Shadow | None = None

    @property
    def weight(self) -> float:
        """Cores and GiB by which the request changes, over all replicas; for the order."""
        now, new = self.decision.current, self.decision.recommended
        if new is None:
            return 0.0
        cores = abs((now.cpu_request_cores or 0.0) - (new.cpu_request_cores or 0.0))
        gib = abs((now.memory_request_gib or 0.0) - (new.memory_request_gib or 0.0))
        return replicas_of(self.usage) * (cores + gib / 4.0)  # nodes have about four GiB per core


def expected_of(judged: Judged, settings: Settings) -> ContainerExpected:
    """Return savings (over all replicas) and risks of one recommendation."""
    new, now, found = judged.decision.recommended, judged.decision.current, judged.needs
    assert new is not None
    assert found is not None
    count = replicas_of(judged.usage)
    cores, gib = (
        _saved(now.cpu_request_cores, new.cpu_request_cores, count),
        _saved(now.memory_request_gib, new.memory_request_gib, count),
    )
    return ContainerExpected(
        container=judged.decision.label,
        cpu_request_cores=_figure(new.cpu_request_cores, found.cpu_cores, found.cpu_low, found.cpu_high),
        memory_limit_gib=_figure(new.memory_limit_gib, found.memory_bytes, found.memory_low, found.memory_high),
        replicas=round(count, 2), saved_cores=cores, saved_gib=gib,
        saved_usd_per_hour=_usd(cores, gib, settings), rollout_cores=_surge(new, count, judged.usage.surge_pods),
        risk=risk_of(judged.usage, new), shadow=judged.shadow,
    )  # fmt: skip


def _figure(value: float | None, estimate: float, low: float, high: float) -> Figure:
    """The interval of the estimate, moved to the value that floors, survivors and rounding made of it."""
    assert value is not None
    if not (math.isfinite(low) and math.isfinite(high) and estimate > 0):
        return Figure(value=value)
    scale = value / estimate
    return Figure(value=value, low=_five(min(low * scale, value)), high=_five(max(high * scale, value)), basis=BASIS)


def _saved(now: float | None, new: float | None, count: float) -> float | None:
    return None if now is None or new is None else _five(count * (now - new))


def _surge(new: ContainerResources, count: float, pods: float | None) -> float:
    added = math.ceil(SURGE * count - 1e-9) if pods is None else pods
    return _five(added * (new.cpu_request_cores or 0.0))


def _usd(cores: float | None, gib: float | None, settings: Settings) -> float | None:
    if settings.usd_per_core_hour is None and settings.usd_per_gib_hour is None:
        return None
    return _five(
        (cores or 0.0) * (settings.usd_per_core_hour or 0.0) + (gib or 0.0) * (settings.usd_per_gib_hour or 0.0)
    )


def totals(found: list[ContainerExpected], settings: Settings) -> RightsizingExpected:
    """Return the savings in all; None where no container's present request is known."""

    def total(values: list[float | None]) -> float | None:
        known = [one for one in values if one is not None]
        return _five(math.fsum(known)) if known else None

    priced = settings.usd_per_core_hour is not None or settings.usd_per_gib_hour is not None
    return RightsizingExpected(
        saved_cores=total([one.saved_cores for one in found]), saved_gib=total([one.saved_gib for one in found]),
        saved_usd_per_hour=total([one.saved_usd_per_hour for one in found]),
        unpriced=None if priced else "no price was given: --usd-per-core-hour and --usd-per-gib-hour add money",
        containers=tuple(found),
    )  # fmt: skip


def why_of(judged: Judged, settings: Settings) -> ContainerWhy:
    """Return every method's answer for one container, and what stood out in its history."""
    usage, samples = judged.usage, judged.samples
    assert samples is not None
    by = {method: amounts(usage, samples, method, settings) for method in METHODS}
    sure = recommender.confidence(usage.days, usage.samples)
    vpa = recommender.recommend_cpu(samples.cpu, samples.cpu_s, sure)
    return ContainerWhy(
        container=judged.decision.label, days=round(usage.days, 2), samples=usage.samples, confidence=round(sure, 3),
        cpu_cores={method: _five(cores) for method, (cores, _) in by.items()},
        memory_gib={method: _five(size / GIB) for method, (_, size) in by.items()},
        vpa_bounds_cores=(_five(vpa.lower), _five(vpa.upper)), seasonal_share=round(min(samples.seasonal, 1.0), 3),
        warm_up_cores=None if samples.warm_up_cores is None else _five(samples.warm_up_cores),
        out_of_memory=len(usage.killed_s), notes=_notes(judged),
    )  # fmt: skip


def _notes(judged: Judged) -> tuple[str, ...]:
    usage, samples, new = judged.usage, judged.samples, judged.decision.recommended
    notes = list(usage.notes)
    if samples is not None and samples.warm_up_cores is not None and new is not None:
        limit = new.cpu_limit_cores
        held = "no limit holds it back" if limit is None else f"the limit of {limit:g} cores lets it"
        notes.append(f"warms up with {samples.warm_up_cores:.3g} cores after each start; {held}")
    if usage.largest:
        notes.append("of several replicas only the one that used most is known")
    if usage.throttled_share:
        notes.append(f"{100 * usage.throttled_share:.1f} % of its quota periods were cut short")
    return tuple(notes)


def _five(value: float) -> float:
    return float(f"{value:.5g}")
