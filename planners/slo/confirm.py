"""The plan simulated: does every entry keep its bound with these replicas?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from planners.slo.curves import as_profile
from planners.slo.question import OnProgress, Question, rank
from predictors.application.estimate import estimate_application
from solvers.budgets.problem import FloatArray, IntArray
from specs.application import ApplicationSpec, ServiceProfileSpec
from specs.application_estimate import ApplicationEstimate
from specs.base import Metadata


@dataclass(frozen=True)
class Confirmation:
    """Simulated latency at each entrance's percentile and its standard error, seconds; the estimate they are from."""

    simulated_s: FloatArray
    standard_error_s: FloatArray
    holds: tuple[bool, ...]
    estimate: ApplicationEstimate


def confirm(
    question: Question, replicas: IntArray, scale: float, on_progress: OnProgress, requests: int | None = None
) -> Confirmation:
    """Simulate the application with ``replicas`` by `predict application`; [entrances]. Raises as that does.

    With priorities each is simulated without the load of lower ones (preemptive priority, std).
    """
    spec = question.application.spec
    chosen = {one.name: int(n) for one, n in zip(spec.services, replicas.tolist(), strict=True)}
    profiles, found = _profiles(question), {}
    for level in sorted({rank(one.priority) for one in question.entrances}, reverse=True):
        found[level] = estimate_application(
            Metadata(name=question.application.metadata.name), _served_by(spec, level), profiles, replicas=chosen,
            scale=scale, requests=requests, seed=question.seed, on_progress=on_progress,
        )  # fmt: skip
    values, errors = [], []
    for one in question.entrances:
        figure = found[rank(one.priority)].entries[one.row].latency_s.get(one.level)
        values.append(figure.value if figure else np.nan)
        errors.append(figure.standard_error or 0.0 if figure else np.nan)
    bounds = [one.bound_s for one in question.entrances]
    holds = tuple(bool(value <= bound) for value, bound in zip(values, bounds, strict=True))
    return Confirmation(np.array(values), np.array(errors), holds, found[max(found)])


def _served_by(spec: ApplicationSpec, level: float) -> ApplicationSpec:
    """The application as requests of this priority see it: without the load of lower ones, which let them pass."""
    entries = tuple(
        one if rank(one.priority) <= level else one.model_copy(update={"rate_per_s": 0.0}) for one in spec.entries
    )
    return spec.model_copy(update={"entries": entries})


def _profiles(question: Question) -> Mapping[str, ServiceProfileSpec]:
    """The profiles as planned with: own work alone, beside the neighbours that are there now."""
    found = dict(question.profiles)
    for service, curve in zip(question.application.spec.services, question.curves, strict=True):
        profile = found.get(service.name)
        if curve is not None and profile is not None and service.service_time is None and curve.read:
            found[service.name] = as_profile(curve, profile)
    return found
