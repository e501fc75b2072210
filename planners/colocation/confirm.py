"""A placement confirmed by `predict application`: response times of every entry alone and beside its neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from predictors.application.estimate import estimate_application
from profilers.store import find
from specs.application import ApplicationSpec, LatencyCurveSpec, Service, ServiceProfile, ServiceProfileSpec
from specs.application_estimate import ApplicationEstimate, EntryFound
from specs.base import Metadata
from specs.colocation import EntryConfirmed
from specs.errors import InfeasibleError, InputError

QUANTILES = ("p50", "p90", "p99")
NOTE = (
    "response times confirmed by `predict application`: every service time grows in full with its service's mean "
    "slowdown, as if all of a visit were CPU time, so they are at the upper end"
)


def confirm(
    application: Path, spec: ApplicationSpec, slowdown: Mapping[str, float], *, store: str | None, seed: int
) -> tuple[tuple[EntryConfirmed, ...], str]:
    """Return each entry's response times without neighbours and at these slowdowns by service, and a note.

    No entry and the reason where the application does not say what enters or how long a visit takes. Raises
    `InfeasibleError` where a service does not keep up at its slowdown.
    """
    if not spec.entries:
        return (), "the application has no entries, so no response time could be confirmed, only slowdowns predicted"
    spec = _reached(spec)
    profiles = {
        one.name: find(one.profile, ServiceProfile, base=application.parent, store=store).spec
        for one in spec.services
        if one.profile
    }
    try:
        alone = _estimate(spec, profiles, dict.fromkeys(slowdown, 1.0), seed)
        beside = _estimate(spec, profiles, slowdown, seed)
    except InputError as error:
        return (), f"no response time could be confirmed, only slowdowns predicted: {error.message}"
    pairs = zip(alone.entries, beside.entries, strict=True)
    return tuple(_confirmed(spec, i, before, after) for i, (before, after) in enumerate(pairs)), NOTE


def _reached(spec: ApplicationSpec) -> ApplicationSpec:
    """Return the application without what no request reaches: batch work has pods but no response time."""
    reached, new = set(), {one.service for one in spec.entries}
    while new:
        reached |= new
        new = {call.callee for call in spec.calls if call.caller in reached} - reached
    return spec.model_copy(update={
        "services": tuple(one for one in spec.services if one.name in reached),
        "calls": tuple(call for call in spec.calls if call.caller in reached),
    })  # fmt: skip


def broken(entries: tuple[EntryConfirmed, ...]) -> list[EntryConfirmed]:
    """Return the entries that do not keep a bound beside their neighbours."""
    return [one for one in entries if not all(one.holds.values())]


def said(one: EntryConfirmed) -> str:
    """Say which bound is not kept, by how much, and whether it is kept alone."""
    parts = []
    for quantity in (name for name, holds in one.holds.items() if not holds):
        before, after, bound = one.before_s[quantity], one.after_s[quantity], one.bounds_s[quantity]
        parts.append(f"{one.entry}.{quantity}: {after:.4g} s > {bound:.4g} s (without neighbours {before:.4g} s)")
    return "; ".join(parts)


def _estimate(
    spec: ApplicationSpec, profiles: Mapping[str, ServiceProfileSpec], slowdown: Mapping[str, float], seed: int
) -> ApplicationEstimate:
    services = tuple(_slowed(one, slowdown[one.name]) for one in spec.services)
    slowed = {name: _slowed_profile(one, slowdown[name]) for name, one in profiles.items()}
    return estimate_application(
        Metadata(name="confirmation"), spec.model_copy(update={"services": services}), slowed, seed=seed
    )


def _slowed(service: Service, factor: float) -> Service:
    time = service.service_time
    if time is None:
        return service
    return service.model_copy(update={"service_time": time.model_copy(update={"mean_s": time.mean_s * factor})})


def _slowed_profile(profile: ServiceProfileSpec, factor: float) -> ServiceProfileSpec:
    """Return the profile of a service whose every time is ``factor`` times as long: seconds × f, rates ÷ f."""
    points = tuple(
        one.model_copy(update={
            "rate_per_s": one.rate_per_s / factor, "latency_s": {q: s * factor for q, s in one.latency_s.items()},
        })
        for one in profile.points
    )  # fmt: skip
    return profile.model_copy(update={
        "points": points, "curves": tuple(_slowed_curve(one, factor) for one in profile.curves),
        "self_time_s": {q: s * factor for q, s in profile.self_time_s.items()},
    })  # fmt: skip


def _slowed_curve(curve: LatencyCurveSpec, factor: float) -> LatencyCurveSpec:
    powers = {"base_s": factor, "scale_s": factor, "capacity_per_s": 1 / factor, "one_per_s": 1 / factor}
    return curve.model_copy(update={
        "parameters": {name: value * powers.get(name, 1.0) for name, value in curve.parameters.items()},
        "knots": tuple((rate / factor, seconds * factor) for rate, seconds in curve.knots),
        "low_per_s": curve.low_per_s / factor, "high_per_s": curve.high_per_s / factor,
    })  # fmt: skip


def _confirmed(spec: ApplicationSpec, i: int, before: EntryFound, after: EntryFound) -> EntryConfirmed:
    entry = spec.entries[i]
    bounds = {q: s for q, s in (entry.slo.latency_s if entry.slo else {}).items() if q in after.latency_s}
    shown = [q for q in after.latency_s if q in QUANTILES or q in bounds]
    return EntryConfirmed(
        entry=f"{entry.service}/{entry.operation}" if entry.operation else entry.service,
        before_s={q: _rounded(before.latency_s[q].value) for q in shown},
        after_s={q: _rounded(after.latency_s[q].value) for q in shown},
        standard_error_s={q: _rounded(after.latency_s[q].standard_error or 0.0) for q in shown},
        bounds_s=bounds,
        holds={q: after.latency_s[q].value <= bound for q, bound in bounds.items()},
    )


def refused(error: InfeasibleError) -> str:
    """Say which service does not keep up beside its neighbours."""
    return f"beside its neighbours {error.message}"


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
