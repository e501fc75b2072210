"""Latency of one visit at any percentile against load per replica, from what is known of a service."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from predictors.application.stations import SHARES, Z_P99, Queue, sigma_of, station
from solvers.budgets.problem import FloatArray
from solvers.curves import monotone_curve
from solvers.latency_curves import evaluate
from solvers.queues import erlang_c
from specs.application import LatencyCurveSpec, Quantity, Service, ServiceProfileSpec
from specs.errors import InputError
from specs.profile import Basis

KNOTS = 25
"""Loads at which a curve with parameters is read: so many keep an M/M/c curve within 0.5 % up to 90 % load."""
HIGHEST_UTILISATION = 0.95
"""Of a queue whose limit is its capacity: beyond it waits grow faster than any figure here is known (ours)."""
_SCORES = np.linspace(-6.0, 6.0, 81)
_WEIGHTS = np.exp(-(_SCORES**2) / 2.0) / np.exp(-(_SCORES**2) / 2.0).sum()


@dataclass(frozen=True)
class Curve:
    """Load per replica (1/s, rising) and, at standard normal scores, latency (s): [loads, scores], rising in both.

    Between and beyond the scores latency is lognormal, as the simulation has it.
    """

    rate_per_s: FloatArray
    scores: FloatArray
    latency_s: FloatArray
    error: float | None
    basis: Basis
    read: bool = False  # from curves or points of a profile
    notes: tuple[str, ...] = ()

    def at(self, quantile: float) -> FloatArray:
        """Latency at ``quantile`` for every load."""
        z = NormalDist().inv_cdf(quantile)
        k = int(np.clip(np.searchsorted(self.scores, z) - 1, 0, len(self.scores) - 2))
        logs = np.log(self.latency_s[:, k : k + 2])
        slope = (logs[:, 1] - logs[:, 0]) / (self.scores[k + 1] - self.scores[k])
        return np.asarray(np.maximum.accumulate(np.exp(logs[:, 0] + slope * (z - self.scores[k]))), dtype=np.float64)


def curve_of(service: Service, profile: ServiceProfileSpec | None, load_per_s: float, waits: bool) -> Curve | None:
    """Return the curve of ``service`` under ``load_per_s`` in all, None where nothing says how long a visit takes.

    ``waits``: it calls others and waits for them; where its profile knows its self time, latency is then taken down to
    its own work by their ratio (ours). `InputError` for curves that fall with load, with its place.
    """
    if service.service_time is None and profile is not None and (profile.curves or len(profile.points) > 1):
        return _measured(service, profile, waits)
    if service.service_time is None and (profile is None or "mean" not in profile.self_time_s):
        return None
    return _queue(service, profile, load_per_s)


def _queue(service: Service, profile: ServiceProfileSpec | None, load_per_s: float) -> Curve:
    """M/G/c at whole replicas: waits exponential with Allen and Cunneen's mean (std), plus the service time."""
    one = station(service, profile, 0.0, 1)
    assert isinstance(one, Queue)
    fewest = max(math.ceil(load_per_s * one.mean_s / (one.servers * HIGHEST_UTILISATION) - 1e-9), 1)
    counts = [fewest + k for k in range(12)] + [math.ceil(fewest * f) + 12 for f in (1.3, 1.7, 2.2, 3.0, 4.0)]
    counts = sorted(set(counts), reverse=True)
    scores = np.array([NormalDist().inv_cdf(q) for q in (0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999)])
    latency = np.array([_mgc_quantiles(one, n, load_per_s, scores) for n in counts])
    rates = np.array([max(load_per_s, 1e-12) / n for n in counts])
    latency = np.maximum.accumulate(np.maximum.accumulate(latency, axis=0), axis=1)
    basis: Basis = "measured" if service.service_time is None else "assumed"
    return Curve(rates, scores, latency, None, basis)


def _mgc_quantiles(one: Queue, replicas: int, load_per_s: float, scores: FloatArray) -> FloatArray:
    servers = one.servers * replicas
    busy = load_per_s * one.mean_s
    waiting = erlang_c(servers, busy) if busy > 0.0 else 0.0
    rate = (servers / one.mean_s - load_per_s) * 2.0 / (1.0 + one.cv**2)
    times, weights = _service_times(one)
    tails = np.array([1.0 - NormalDist().cdf(z) for z in scores.tolist()])
    low = np.zeros(len(tails))
    high = np.full(len(tails), float(times.max()) + 20.0 / rate)
    for _ in range(32):
        middle = (low + high) / 2.0
        left = middle[:, None] - times[None, :]
        beyond = np.where(left < 0.0, 1.0, waiting * np.exp(-rate * np.maximum(left, 0.0))) @ weights
        low, high = np.where(beyond > tails, middle, low), np.where(beyond > tails, high, middle)
    return np.asarray((low + high) / 2.0, dtype=np.float64)


def _service_times(one: Queue) -> tuple[FloatArray, FloatArray]:
    if one.distribution == "deterministic":
        return np.array([one.mean_s]), np.ones(1)
    if one.distribution == "exponential":
        share = np.array([NormalDist().cdf(-z) for z in _SCORES.tolist()])
        return -one.mean_s * np.log(share), _WEIGHTS
    sigma = math.sqrt(math.log1p(one.cv**2))
    return one.mean_s * np.exp(sigma * _SCORES - sigma * sigma / 2.0), _WEIGHTS


def _measured(service: Service, profile: ServiceProfileSpec, waits: bool) -> Curve:
    curves = {curve.quantity: curve for curve in profile.curves} or _tables(profile)
    where = f"profile of {service.name}"
    measured_on = max(round(profile.replicas.p50), 1) if profile.replicas else 1
    rates = _rates(curves, where)
    found = {quantity: _drawn(curve, rates, where) for quantity, curve in curves.items()}
    share, notes = _own_share(service.name, profile, waits)
    steeper = _steeper(service, next(iter(curves.values())))
    found = {q: share * (values[0] + steeper * (values - values[0])) for q, values in found.items()}
    scores, latency = _quantiles(found)
    error = max((curve.error for curve in curves.values() if curve.error is not None), default=None)
    return Curve(rates / measured_on, scores, latency, error, "measured", True, notes)


def _tables(profile: ServiceProfileSpec) -> dict[Quantity, LatencyCurveSpec]:
    """A rising line through the points of each quantity: the table itself as a curve."""
    found: dict[Quantity, LatencyCurveSpec] = {}
    for quantity in ("mean", *SHARES):
        given = [(p.rate_per_s, p.latency_s[quantity]) for p in profile.points if quantity in p.latency_s]
        if len({rate for rate, _ in given}) > 1:
            line = monotone_curve(*zip(*given, strict=True))
            found[quantity] = LatencyCurveSpec(
                quantity=quantity, form="piecewise", knots=tuple(zip(line.x.tolist(), line.y.tolist(), strict=True)),
                low_per_s=float(line.x[0]), high_per_s=float(line.x[-1]), loads=len(line.x),
            )  # fmt: skip
    return found


def _rates(curves: dict[Quantity, LatencyCurveSpec], where: str) -> FloatArray:
    """Loads of all measured replicas: the knots, and for forms with parameters a grid finer toward its end."""
    low, high = max(c.low_per_s for c in curves.values()), min(_limit(c) for c in curves.values())
    if not low <= high:
        raise InputError(
            f"{where}: its curves share no load: one starts at {low:.4g} /s, one ends at {high:.4g} /s",
            cure="Profile all percentiles over the same loads.",
        )
    grid = high - (high - low) * np.linspace(1.0, 0.0, KNOTS) ** 2
    if all(curve.form == "piecewise" for curve in curves.values()):
        knots = np.array([rate for curve in curves.values() for rate, _ in curve.knots])
        grid = np.concatenate([knots[(knots > low) & (knots < high)], [low, high]])
    return np.unique(grid)


def _limit(curve: LatencyCurveSpec) -> float:
    """The highest load that a plan may rest on: what was measured, or close to the capacity where that is less."""
    capacity = curve.parameters.get("capacity_per_s", math.inf) if curve.form == "mgc" else math.inf
    return min(curve.high_per_s, HIGHEST_UTILISATION * capacity)


def _drawn(curve: LatencyCurveSpec, rates: FloatArray, where: str) -> FloatArray:
    cure = "Latency must not fall as load grows: measure again at steady loads, or drop the points below."
    if curve.form == "piecewise" and np.any(np.diff([value for _, value in curve.knots]) < 0.0):
        at = int(np.flatnonzero(np.diff([value for _, value in curve.knots]) < 0.0)[0])
        text = f"{where}: curve {curve.quantity} falls after {curve.knots[at][0]:.4g} /s (negative slope)"
        raise InputError(text, cure=cure)
    try:
        found = evaluate(curve.form, curve.parameters, curve.knots, SHARES.get(curve.quantity), rates)
    except (KeyError, ValueError) as error:
        text = f"{where}: curve {curve.quantity} ({curve.form}) cannot be read: {error}"
        raise InputError(text, cure="Profile it again (`tonnage profile services`).") from None
    falls = np.flatnonzero(np.diff(found) < -1e-6 * np.abs(found[:-1]))
    if falls.size:
        text = f"{where}: curve {curve.quantity} falls after {rates[falls[0]]:.4g} /s (negative slope)"
        raise InputError(text, cure=cure)
    if not np.all(np.isfinite(found) & (found > 0.0)):
        text = f"{where}: curve {curve.quantity} is not positive and finite within its measured range"
        raise InputError(text, cure="Profile it again (`tonnage profile services`).")
    return np.maximum.accumulate(found)


def _quantiles(found: dict[Quantity, FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Standard normal scores and latencies there, by the simulation's own rules (`predictors.application`)."""
    known = [quantity for quantity in SHARES if quantity in found]
    if len(known) > 1:
        scores = np.array([NormalDist().inv_cdf(SHARES[quantity]) for quantity in known])
        return scores, np.maximum.accumulate(np.stack([found[q] for q in known], axis=1), axis=1)
    if known and "mean" in found:
        z, values, mean = NormalDist().inv_cdf(SHARES[known[0]]), found[known[0]], found["mean"]
        sigma = np.array([_sigma(m, z, v) for m, v in zip(mean.tolist(), values.tolist(), strict=True)])
        middle = np.log(mean) - sigma**2 / 2.0
        return np.array([0.0, 1.0]), np.exp(np.stack([middle, middle + sigma], axis=1))
    scores = np.linspace(-4.0, 4.0, 33)
    tails = np.array([NormalDist().cdf(-z) for z in scores.tolist()])
    scale = found["mean"] if not known else found[known[0]] / -math.log1p(-SHARES[known[0]])
    return scores, scale[:, None] * -np.log(tails)[None, :]


def _sigma(mean_s: float, z: float, value_s: float) -> float:
    if abs(z - Z_P99) < 1e-9 and value_s >= mean_s:
        return sigma_of(mean_s, value_s)
    gap = math.log(value_s / mean_s)
    root = math.sqrt(max(z * z - 2.0 * gap, 0.0))
    return max(z - root, 0.0) if gap >= 0.0 else max(z + root, 0.0)


def _own_share(name: str, profile: ServiceProfileSpec, waits: bool) -> tuple[float, tuple[str, ...]]:
    """Share of its latency that a service works itself, by traces; 1 where it waits for nobody or that is unknown."""
    if not waits:
        return 1.0, ()
    levels = [q for q in ("p99", "p95", "p90", "p50", "mean") if q in profile.self_time_s and q in profile.latency_s]
    if not levels:
        return 1.0, (f"{name}: its curve is taken as its own work, since no self times tell what it waits for others",)
    level = levels[0]
    share = min(profile.self_time_s[level] / profile.latency_s[level], 1.0)
    return max(share, 1e-3), (f"{name}: {share:.0%} of its latency is its own work (self time at {level})",)


def _steeper(service: Service, curve: LatencyCurveSpec) -> float:
    """How much more load adds to latency than where it was measured (code; Erms: slope αu + βm + c)."""
    found, now = curve.interference, service.neighbours
    if found is None or now is None:
        return 1.0
    measured = 1.0 + found.cpu_slope * found.cpu + found.memory_slope * found.memory
    return (1.0 + found.cpu_slope * now.cpu + found.memory_slope * now.memory) / measured


def as_profile(curve: Curve, profile: ServiceProfileSpec) -> ServiceProfileSpec:
    """The profile whose curves are what was planned with: for the simulation that confirms the plan."""
    measured_on = max(round(profile.replicas.p50), 1) if profile.replicas else 1
    rates = curve.rate_per_s * measured_on
    curves = tuple(
        LatencyCurveSpec(
            quantity=quantity, form="piecewise",
            knots=tuple(zip(rates.tolist(), curve.at(share).tolist(), strict=True)),
            low_per_s=float(rates[0]), high_per_s=float(rates[-1]), loads=len(rates), error=curve.error,
        )
        for quantity, share in SHARES.items()
    )  # fmt: skip
    return profile.model_copy(update={"curves": curves, "points": ()})
