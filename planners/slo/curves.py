"""Latency of one visit against load per replica, from what was measured of a service."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from solvers.budgets.problem import FloatArray
from solvers.latency_curves import evaluate
from specs.application import LatencyCurveSpec, Service, ServiceProfileSpec
from specs.errors import InputError

KNOTS = 25
"""Knots that a curve with parameters is drawn through: 25 keep an M/M/c curve within 0.5 % up to 90 % load."""
HIGHEST_LOAD = 0.98  # of the capacity that a form finds, where the measured range ends beyond it
LEVELS = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True)
class Curve:
    """Knots of load per replica (1/s) and latency (s) at one percentile; ``notes`` say what was assumed."""

    rate_per_s: FloatArray
    latency_s: FloatArray
    error: float | None
    notes: tuple[str, ...] = field(default=())


def curve_of(service: Service, profile: ServiceProfileSpec, quantile: float, calls_others: bool, where: str) -> Curve:
    """Return the curve of ``service`` at ``quantile``, or None where its profile has none.

    Where the profile knows the service's self time, latency is taken down to its own work; interference scales what
    load adds. Between and beyond the percentiles that were measured, the tail is exponential (ours). Raises
    `InputError` for slopes that fall or capacities that are not positive.
    """
    levels = sorted(
        (LEVELS[curve.quantity], curve) for curve in profile.curves if curve.quantity in LEVELS
    )
    notes: list[str] = []
    replicas = _replicas(service, profile, notes)
    rates = _grid(levels[-1][1], where)
    drawn = [(q, _drawn(curve, rates, where)) for q, curve in levels]
    latency = _at(quantile, drawn, notes)
    latency = np.maximum.accumulate(latency)
    latency = _own(latency, profile, quantile, calls_others, service.name, notes)
    latency = latency[0] + _interference(service, levels[-1][1]) * (latency - latency[0])
    if levels[-1][1].form != "piecewise" and levels[-1][1].loads < 2:
        notes.append(f"{service.name}: its curve rests on one load")
    return Curve(rates / replicas, latency, levels[-1][1].error, tuple(notes))


def has_curve(profile: ServiceProfileSpec) -> bool:
    """Say whether a latency percentile against load is known."""
    return any(curve.quantity in LEVELS for curve in profile.curves)


def _replicas(service: Service, profile: ServiceProfileSpec, notes: list[str]) -> float:
    if profile.replicas is not None and profile.replicas.mean > 0.0:
        return profile.replicas.mean
    if service.replicas is not None:
        notes.append(f"{service.name}: measured with the {service.replicas} replicas of the application (assumed)")
        return float(service.replicas)
    notes.append(f"{service.name}: measured with one replica (assumed)")
    return 1.0


def _grid(curve: LatencyCurveSpec, where: str) -> FloatArray:
    """Loads of all replicas together: the knots, or a grid over the measured range that is finer toward its end."""
    if curve.form == "piecewise":
        rates = np.array([rate for rate, _ in curve.knots])
        if np.any(np.diff(rates) <= 0.0) or np.any(rates < 0.0):
            raise InputError(f"{where}: a curve's knots must rise in load", cure="Sort them, and drop equal loads.")
        return rates
    high = curve.high_per_s
    if curve.form == "mgc":
        high = min(high, HIGHEST_LOAD * curve.parameters.get("capacity_per_s", high))
    low = min(curve.low_per_s, 0.5 * high)
    return high - (high - low) * np.linspace(1.0, 0.0, KNOTS) ** 2


def _drawn(curve: LatencyCurveSpec, rates: FloatArray, where: str) -> FloatArray:
    try:
        found = evaluate(curve.form, curve.parameters, curve.knots, LEVELS[curve.quantity], rates)
    except KeyError as error:
        raise InputError(
            f"{where}: curve {curve.quantity}: parameter {error} is missing", cure="Profile it again."
        ) from None
    falls = np.flatnonzero(np.diff(found) < -1e-9 * np.abs(found[:-1]))
    if falls.size or np.any(found <= 0.0):
        at = int(falls[0]) if falls.size else int(np.argmin(found))
        raise InputError(
            f"{where}: curve {curve.quantity} falls with load at {rates[at]:.4g} /s (negative slope)",
            cure="Latency must not fall as load grows: measure again at steady loads, or drop the points below.",
        )
    if not np.all(np.isfinite(found)):
        raise InputError(
            f"{where}: curve {curve.quantity} has its capacity within its measured range", cure="Profile it again."
        )
    return found


def _at(quantile: float, drawn: list[tuple[float, FloatArray]], notes: list[str]) -> FloatArray:
    """Latency at ``quantile``: linear in −ln(1 − q) between and beyond the measured percentiles, through 0 where one."""
    found = {q: values for q, values in drawn}
    if quantile in found:
        return found[quantile]
    depth = [(-math.log1p(-q), values) for q, values in drawn]
    wanted = -math.log1p(-quantile)
    if len(depth) == 1:
        notes.append(f"p{100 * quantile:.4g} from p{100 * drawn[0][0]:.4g}: exponential tail through 0 (assumed)")
        return depth[0][1] * wanted / depth[0][0]
    below = [one for one in depth[:-1] if one[0] <= wanted] or [depth[0]]
    (d1, v1) = below[-1]
    (d2, v2) = next(one for one in depth if one[0] > d1)
    notes.append(f"p{100 * quantile:.4g} from measured percentiles: exponential tail (assumed)")
    return np.maximum(v1 + (v2 - v1) * (wanted - d1) / (d2 - d1), 1e-3 * v1)


def _own(
    latency: FloatArray, profile: ServiceProfileSpec, quantile: float, calls_others: bool, name: str, notes: list[str]
) -> FloatArray:
    """Latency without the time waited for others, by the share of self time that traces saw."""
    if not calls_others:
        return latency
    levels = [q for q in LEVELS if q in profile.self_time_s and q in profile.latency_s]
    if not levels:
        notes.append(f"{name}: its curve is taken as its own work, because no traces tell the time it waits for others")
        return latency
    nearest = min(levels, key=lambda q: abs(LEVELS[q] - quantile))
    share = min(profile.self_time_s[nearest] / profile.latency_s[nearest], 1.0)  # type: ignore[index]
    return latency * max(share, 1e-3)


def _interference(service: Service, curve: LatencyCurveSpec) -> float:
    """How much steeper the curve is beside other work than where it was measured (code; Erms: slope αu + βm + c)."""
    found, now = curve.interference, service.neighbours
    if found is None or now is None:
        return 1.0
    measured = 1.0 + found.cpu_slope * found.cpu + found.memory_slope * found.memory
    return (1.0 + found.cpu_slope * now.cpu + found.memory_slope * now.memory) / measured
