"""What to set for one container: its needs with floors and survivors counted, the autoscaler, verdict and severity."""

from __future__ import annotations

import math

import numpy as np

from planners.rightsizing.estimates import Needs, Steady
from planners.rightsizing.risk import with_some_away
from planners.rightsizing.settings import (
    CPU_FLOOR_CORES,
    GIB,
    LEAST_SAMPLES,
    MARGIN,
    MEMORY_FLOOR_BYTES,
    MOST_TARGET,
    SEVERITY_BYTES,
    SEVERITY_CORES,
    Settings,
)
from solvers.usage import SEASONAL_SHARE
from specs.rightsizing import ContainerDecision, ContainerResources, ScaledBy, Severity
from specs.usage import Autoscaler, ContainerUsage, Given

LEVELS: tuple[Severity, ...] = ("critical", "warning", "ok")
STEP_CORES, STEP_BYTES = 0.001, 2.0**20  # what requests are rounded up to: a millicore, a MiB


def refusal(usage: ContainerUsage, settings: Settings) -> str | None:
    """Return why no recommendation is made, or None: too short a history, or an autoscaler without its target."""
    if usage.samples < LEAST_SAMPLES or usage.days < settings.least_days:
        return (
            f"{usage.samples} samples over {usage.days:.1f} days; at least {LEAST_SAMPLES} over "
            f"{settings.least_days:g} days are needed"
        )
    if not np.isfinite(usage.memory_bytes).any():
        return "no samples of memory use"
    return None


def unset(usage: ContainerUsage, verdict: str, reason: str) -> ContainerDecision:
    """Return a decision that sets nothing: ``verdict`` is `abstained` or `left`."""
    return ContainerDecision.model_validate(
        {"namespace": usage.namespace, "workload": usage.workload, "container": usage.container, "verdict": verdict,
         "reason": reason, "current": current(usage.given)}
    )  # fmt: skip


def left_alone(usage: ContainerUsage) -> str | None:
    """Return why a container under an autoscaler is left as it is, or None where it can be solved with its target."""
    scaler = usage.autoscaler
    if scaler is None:
        return None
    if scaler.target is None:
        return "an autoscaler changes its replicas by a metric other than CPU, or its target is not known"
    if not usage.given.cpu_request_cores:
        return "an autoscaler's target is a share of the CPU request, which is not known"
    return None


def decide(usage: ContainerUsage, samples: Steady, found: Needs, settings: Settings) -> ContainerDecision:
    """Return requests and limits for one container, and why."""
    scaled = _scaled(usage.autoscaler, usage.given, found) if usage.autoscaler else None
    cpu = _cpu_request(usage, found, settings, scaled)
    memory = _up(max(found.memory_bytes, MEMORY_FLOOR_BYTES), STEP_BYTES)
    recommended = ContainerResources(
        cpu_request_cores=cpu,
        cpu_limit_cores=_cpu_limit(usage, samples, cpu),
        memory_request_gib=memory / GIB,
        memory_limit_gib=memory / GIB,
    )
    now = current(usage.given)
    severity = _severity(now, recommended)
    return ContainerDecision(
        namespace=usage.namespace, workload=usage.workload, container=usage.container,
        verdict="keep" if severity == "good" else "change", severity=severity,
        reason=_reason(usage, samples, settings, scaled), current=now, recommended=recommended,
        autoscaler=scaled and scaled.model_copy(update={"target": _round(scaled.cores_at_target / cpu)}),
    )  # fmt: skip


def current(given: Given) -> ContainerResources:
    """Return what is set now, memory in GiB."""
    return ContainerResources(
        cpu_request_cores=given.cpu_request_cores,
        cpu_limit_cores=given.cpu_limit_cores,
        memory_request_gib=None if given.memory_request_bytes is None else given.memory_request_bytes / GIB,
        memory_limit_gib=None if given.memory_limit_bytes is None else given.memory_limit_bytes / GIB,
    )


def _scaled(scaler: Autoscaler, given: Given, found: Needs) -> ScaledBy | None:
    if scaler.target is None or not given.cpu_request_cores:
        return None
    cores = scaler.target * given.cpu_request_cores
    return ScaledBy(target=scaler.target, target_now=scaler.target, cores_at_target=cores,
                    least=scaler.least, most=scaler.most)  # fmt: skip


def _cpu_request(usage: ContainerUsage, found: Needs, settings: Settings, scaled: ScaledBy | None) -> float:
    """Under an autoscaler at least so much that its target, kept in cores, stays at 90 % of the request or below."""
    cores = max(found.cpu_cores, CPU_FLOOR_CORES)
    if settings.survive and scaled is None:
        cores *= with_some_away(usage) or 1.0
    if scaled is not None:
        cores = max(cores, scaled.cores_at_target / MOST_TARGET)
    return _up(cores, STEP_CORES)


def _cpu_limit(usage: ContainerUsage, samples: Steady, request: float) -> float | None:
    """A limit only where there is one: above the request, the highest sample and the warm-up, with the margin."""
    if usage.given.cpu_limit_cores is None:
        return None
    seen = max(float(samples.cpu.max()), samples.warm_up_cores or 0.0)
    return _up(max(request, MARGIN * seen), STEP_CORES)


def _severity(now: ContainerResources, new: ContainerResources) -> Severity:
    """By the larger of the differences in CPU and memory requests; a request that is not set counts as none (krr)."""
    cores = abs((now.cpu_request_cores or 0.0) - (new.cpu_request_cores or 0.0))
    size = abs((now.memory_request_gib or 0.0) - (new.memory_request_gib or 0.0)) * GIB
    for level, least_cores, least_bytes in zip(LEVELS, SEVERITY_CORES, SEVERITY_BYTES, strict=True):
        if cores >= least_cores or size >= least_bytes:
            return level
    return "good"


def _reason(usage: ContainerUsage, samples: Steady, settings: Settings, scaled: ScaledBy | None) -> str:
    hour = " of the busiest hour of the day" if samples.seasonal >= SEASONAL_SHARE else ""
    words = {
        "percentile": f"CPU P{100 * settings.share:g}{hour}, the highest memory",
        "peak": "the highest CPU and memory",
        "decaying": "P90 of decaying histograms",
    }[settings.method]
    parts = [f"{words}, × {MARGIN:g}, over {usage.days:.1f} days"]
    parts += [f"out of memory {len(usage.killed_s)} ×"] if len(usage.killed_s) else []
    parts += ["holds with replicas lost"] if settings.survive and with_some_away(usage) else []
    parts += [f"scales at {scaled.cores_at_target:.3g} cores as before"] if scaled else []
    return "; ".join(parts)


def _up(value: float, step: float) -> float:
    """Round up to a whole ``step``, but for the noise of binary fractions."""
    return _round(math.ceil(round(value / step, 6)) * step)


def _round(value: float) -> float:
    return float(f"{value:.6g}") if value < 1e6 else value
