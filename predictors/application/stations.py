"""What one service is to a queueing network: servers and service times, or a latency curve read at its load."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from solvers.curves import monotone_curve
from solvers.latency_curves import evaluate
from specs.application import LatencyCurveSpec, Quantity, Service, ServiceProfileSpec, ServiceTime
from specs.errors import InfeasibleError, InputError
from specs.plan import Evidence
from specs.profile import Basis

SHARES: dict[Quantity, float] = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
Z_P99 = NormalDist().inv_cdf(0.99)
ROUNDING = 1e-9  # a load this little beyond a measured range is in it


@dataclass(frozen=True, kw_only=True)
class Queue:
    """``servers`` behind one first-come first-served queue; times of one visit, seconds."""

    servers: int
    mean_s: float
    cv: float
    distribution: Literal["exponential", "lognormal", "deterministic"]
    evidence: Evidence

    @property
    def capacity_per_s(self) -> float:
        """Visits per second that the servers can do."""
        return self.servers / self.mean_s


@dataclass(frozen=True, kw_only=True)
class Delay:
    """A latency whose distribution at the load is known: log-seconds against standard normal score, two knots or more.

    ``limit_per_s``: the highest load of all replicas together that the curve covers, or its capacity where it has one.
    """

    scores: tuple[float, ...]
    log_s: tuple[float, ...]
    limit_per_s: float
    limited_by: Literal["capacity", "measured range"]
    evidence: Evidence


Station = Queue | Delay


def station(service: Service, profile: ServiceProfileSpec | None, load_per_s: float, replicas: int) -> Station:
    """Return the station of ``service`` at ``load_per_s`` visits over ``replicas``.

    In this order: the document's own ``service_time``; the profile's curves, or its points; its self times with the
    ``concurrency``. InputError where there is none of these; InfeasibleError where the load leaves the curve.
    """
    if service.service_time is not None:
        return _queue(service, service.service_time, replicas, "assumed", "the document's service_time")
    if profile is not None and (profile.curves or len(profile.points) > 1):
        return _delay(service.name, profile, load_per_s, replicas)
    if profile is not None and "mean" in profile.self_time_s:
        return _queue(service, _self_time(profile), replicas, "measured", _source(profile))
    cure = "Give it a `service_time` and `concurrency`, or a `profile` with curves (`tonnage profile services`)."
    lacks = "has neither service_time nor profile" if profile is None else "has a profile without curves or self times"
    raise InputError(f"service {service.name}: nothing says how long a visit takes: it {lacks}", cure=cure)


def _queue(service: Service, time: ServiceTime, replicas: int, basis: Basis, source: str) -> Queue:
    limits = service.limits or service.requests
    cores = limits.cpu_cores if limits else None
    each = service.concurrency or (max(1, math.floor(cores)) if cores else None)
    if each is None:
        cure = "Give `concurrency`: the visits that one replica works on at a time (threads, workers or cores)."
        raise InputError(f"service {service.name}: nothing says how many visits a replica works on", cure=cure)
    note = None if service.concurrency else f"{each} at a time per replica: its whole CPU cores"
    cv = {"exponential": 1.0, "deterministic": 0.0}.get(time.distribution, time.cv)
    evidence = Evidence(quantity=f"{service.name} service time", basis=basis, source=source, note=note)
    distribution = "deterministic" if cv == 0.0 else time.distribution
    return Queue(servers=each * replicas, mean_s=time.mean_s, cv=cv, distribution=distribution, evidence=evidence)


def _self_time(profile: ServiceProfileSpec) -> ServiceTime:
    """Mean and spread of the self times; the cv that a lognormal with this mean and 99th percentile has, else 1."""
    mean = profile.self_time_s["mean"]
    if not mean > 0.0:
        raise InputError(f"service {profile.service}: its profile's self_time_s.mean is 0", cure="Measure it again.")
    high = profile.self_time_s.get("p99", 0.0)
    if high <= mean:
        return ServiceTime(mean_s=mean, distribution="exponential" if high == 0.0 else "deterministic")
    sigma = sigma_of(mean, high)
    return ServiceTime(mean_s=mean, cv=math.sqrt(math.expm1(sigma * sigma)))


def sigma_of(mean_s: float, p99_s: float) -> float:
    """σ of the lognormal with this mean and 99th percentile: the smaller root of z σ − σ²/2 = ln(p99/mean) (std).

    At most z = 2.33: no lognormal has a 99th percentile above 15 times its mean.
    """
    gap = math.log(max(p99_s / mean_s, 1.0))
    return Z_P99 - math.sqrt(max(Z_P99 * Z_P99 - 2.0 * gap, 0.0))


def _delay(name: str, profile: ServiceProfileSpec, load_per_s: float, replicas: int) -> Delay:
    measured_on = max(round(profile.replicas.p50), 1) if profile.replicas else 1
    curves = {curve.quantity: curve for curve in profile.curves} or _tables(profile)
    for curve in curves.values():
        _refuse_falling(name, curve)
    rate = load_per_s / replicas * measured_on  # of as many replicas as were measured
    limits = {quantity: _limit(curve) for quantity, curve in curves.items()}
    limit, limited_by = min(limits.values())
    if rate > limit * (1.0 + ROUNDING):
        raise _beyond(name, load_per_s, limit * replicas / measured_on, limited_by, replicas)
    at = {
        quantity: float(evaluate(c.form, c.parameters, c.knots, SHARES.get(quantity), max(rate, c.low_per_s)))
        for quantity, c in curves.items()
    }
    if not all(0.0 < value < math.inf for value in at.values()):
        raise _beyond(name, load_per_s, limit * replicas / measured_on, limited_by, replicas)
    scores, logs, note = _quantile_function(at)
    errors = [curve.error for curve in curves.values() if curve.error is not None]
    forms = ", ".join(f"{quantity} {curve.form}" for quantity, curve in curves.items())
    evidence = Evidence(
        quantity=f"{name} latency", basis="measured", source=f"{_source(profile)} ({forms})",
        error=max(errors, default=None), note=note,
    )  # fmt: skip
    return Delay(
        scores=scores, log_s=logs, limit_per_s=limit * replicas / measured_on, limited_by=limited_by, evidence=evidence
    )


def _source(profile: ServiceProfileSpec) -> str:
    return f"profile of {profile.service}{': ' + ', '.join(profile.sources) if profile.sources else ''}"


def _limit(curve: LatencyCurveSpec) -> tuple[float, Literal["capacity", "measured range"]]:
    """The highest load for which the curve may be asked: what was measured, or the capacity if that is less."""
    capacity = curve.parameters.get("capacity_per_s", math.inf) if curve.form == "mgc" else math.inf
    if capacity * (1.0 - 1e-6) <= curve.high_per_s:
        return capacity * (1.0 - 1e-6), "capacity"
    return curve.high_per_s, "measured range"


def _refuse_falling(name: str, curve: LatencyCurveSpec) -> None:
    """Raise `InputError` for a curve along which more load makes the service faster."""
    loads, latencies = [x for x, _ in curve.knots], [y for _, y in curve.knots]
    negative = [key for key, value in curve.parameters.items() if value < 0.0]
    if curve.form == "piecewise" and (loads != sorted(set(loads)) or latencies != sorted(latencies)):
        what = "its knots must rise in load and must not fall in latency"
    elif negative:
        what = f"{', '.join(negative)} below 0"
    else:
        return
    text = f"service {name}: the {curve.form} curve of {curve.quantity} has a negative slope: {what}"
    raise InputError(text, cure="Profile it again at steady loads (`tonnage profile services`).")


def _tables(profile: ServiceProfileSpec) -> dict[Quantity, LatencyCurveSpec]:
    """A curve straight through the points of each quantity that has two or more, made monotone."""
    found: dict[Quantity, LatencyCurveSpec] = {}
    for quantity in ("mean", *SHARES):
        points = [(p.rate_per_s, p.latency_s[quantity]) for p in profile.points if quantity in p.latency_s]
        if len({rate for rate, _ in points}) > 1:
            _refuse_falling_points(profile.service, quantity, sorted(points))
            curve = monotone_curve(*zip(*points, strict=True))
            knots = tuple(zip(curve.x.tolist(), curve.y.tolist(), strict=True))
            found[quantity] = LatencyCurveSpec(
                quantity=quantity, form="piecewise", knots=knots, low_per_s=knots[0][0], high_per_s=knots[-1][0],
                loads=len(knots),
            )  # fmt: skip
    if not found:
        cure = "Give latencies at two loads or more, or a `service_time`."
        raise InputError(f"service {profile.service}: its points give no quantity at two loads", cure=cure)
    return found


def _refuse_falling_points(name: str, quantity: Quantity, points: list[tuple[float, float]]) -> None:
    """Noise may bend a measured curve, which is then made monotone; one that ends below its start is no latency."""
    (low, first), (high, last) = points[0], points[-1]
    if last < first:
        text = (
            f"service {name}: {quantity} falls from {first:.4g} s at {low:.4g} per second to {last:.4g} s at"
            f" {high:.4g}: a negative slope"
        )
        raise InputError(text, cure="Profile it again at steady loads; an overloaded closed loop measures this.")


def _quantile_function(at: Mapping[Quantity, float]) -> tuple[tuple[float, ...], tuple[float, ...], str | None]:
    """Log-seconds at standard normal scores through the quantiles known at this load, and what had to be assumed.

    Between two quantiles the latency is lognormal (ours); with the mean and one quantile it is the lognormal that has
    both; with one figure alone it is exponential.
    """
    known = sorted((NormalDist().inv_cdf(SHARES[q]), value) for q, value in at.items() if q in SHARES)
    values = np.maximum.accumulate([value for _, value in known]) if known else np.zeros(0)
    if len(known) > 1:
        return tuple(z for z, _ in known), tuple(np.log(values).tolist()), None
    if known and "mean" in at:
        z, value = known[0]
        sigma = _sigma_through(at["mean"], z, value)
        return _lognormal(math.log(at["mean"]) - sigma * sigma / 2.0, sigma, None)
    if known:
        z, value = known[0]
        scale = value / -math.log(1.0 - NormalDist().cdf(z))
        return _exponential(scale, "only one quantile was measured: exponential assumed")
    return _exponential(at["mean"], "only the mean was measured: exponential assumed")


def _sigma_through(mean_s: float, z: float, value_s: float) -> float:
    """The smaller σ ≥ 0 with z σ − σ²/2 = ln(value/mean), clipped where no lognormal has both."""
    gap = math.log(value_s / mean_s)
    root = z * z - 2.0 * gap
    return max(z - math.sqrt(max(root, 0.0)), 0.0) if gap >= 0.0 else max(z + math.sqrt(root), 0.0)


def _lognormal(mu: float, sigma: float, note: str | None) -> tuple[tuple[float, ...], tuple[float, ...], str | None]:
    return (0.0, 1.0), (mu, mu + sigma), note


def _exponential(mean_s: float, note: str) -> tuple[tuple[float, ...], tuple[float, ...], str | None]:
    scores = np.linspace(-4.0, 4.0, 33)
    tails = np.asarray([1.0 - NormalDist().cdf(z) for z in scores.tolist()])
    return tuple(scores.tolist()), tuple(np.log(-np.log(tails) * mean_s).tolist()), note


def _beyond(name: str, load_per_s: float, limit_per_s: float, limited_by: str, replicas: int) -> InfeasibleError:
    need = math.ceil(load_per_s / limit_per_s * replicas * (1.0 - ROUNDING))
    what = (
        f"its curve was measured up to {limit_per_s:.4g} per second with {replicas} replicas"
        if limited_by == "measured range"
        else f"its curve ends at a capacity of {limit_per_s:.4g} per second with {replicas} replicas"
    )
    cure = f"Run {need} replicas, or profile it at higher load."
    return InfeasibleError(f"service {name}: it is asked {load_per_s:.4g} visits per second, and {what}", cure=cure)
