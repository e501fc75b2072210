"""Latency against load: piecewise linear, M/G/c and universal-scalability forms, their fits, and the choice of one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from solvers.curves import Curve, monotone_curve
from solvers.queues import erlang_c, mmc_response_tail

FloatArray = npt.NDArray[np.float64]
SERVERS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
"""Numbers of servers that the M/G/c form is tried with; between them the curve hardly changes."""
MOST_KNOTS = 12
"""Knots of the piecewise form: so many that each holds several of the points of a usual load test."""
FOLDS = 5
HIGHEST_UTILISATION = 0.999  # where the dimensionless tables end
_TABLE = np.concatenate([np.linspace(0.0, 0.9, 46), 1.0 - np.geomspace(0.095, 1.0 - HIGHEST_UTILISATION, 60)])


@dataclass(frozen=True)
class LatencyCurve:
    """One fitted form. ``quantile`` is 0 < q < 1, or None for the mean; ``knots`` are (per second, seconds).

    ``parameters`` of `mgc`: base_s, scale_s, capacity_per_s, servers; of `usl`: one_per_s, contention, coherency,
    scale. `piecewise` has knots alone. ``error``: mean |predicted/measured − 1| over points that the fit had not seen,
    NaN where there were too few to leave any out; ``errors`` has it for every form that was tried.
    """

    form: str
    quantile: float | None
    parameters: dict[str, float] = field(default_factory=dict)
    knots: tuple[tuple[float, float], ...] = ()
    error: float = math.nan
    errors: dict[str, float] = field(default_factory=dict)

    def __call__(self, rate_per_s: npt.ArrayLike) -> FloatArray:
        """Seconds at ``rate_per_s`` (any shape); infinite from the capacity that the form finds."""
        return evaluate(self.form, self.parameters, self.knots, self.quantile, rate_per_s)


def evaluate(
    form: str,
    parameters: Mapping[str, float],
    knots: tuple[tuple[float, float], ...],
    quantile: float | None,
    rate_per_s: npt.ArrayLike,
) -> FloatArray:
    """Seconds of the curve with these parameters at ``rate_per_s``; ValueError for a form that is not known."""
    rates = np.asarray(rate_per_s, dtype=np.float64)
    if form == "piecewise":
        at, value = np.asarray(knots, dtype=np.float64).T
        return Curve(at, value)(rates)
    if form == "mgc":
        load = rates / parameters["capacity_per_s"]
        busy: FloatArray = parameters["base_s"] + parameters["scale_s"] * response(
            load, int(parameters["servers"]), quantile
        )
        return np.where(load < 1.0, busy, np.inf)
    if form == "usl":
        return _usl(rates, *(parameters[name] for name in ("one_per_s", "contention", "coherency", "scale")))
    raise ValueError(f"form {form!r} is none of {', '.join(FORMS)}")


def response(utilisation: npt.ArrayLike, servers: int, quantile: float | None) -> FloatArray:
    """Response time of M/M/c in units of its service time at ``utilisation`` < 1 (std; Erlang).

    The mean, 1 + C/(c(1 − ρ)), or a quantile of the response, from a table with relative error below 1 %.
    """
    rho = np.asarray(utilisation, dtype=np.float64)
    spare = np.maximum(1.0 - rho, 1.0 - HIGHEST_UTILISATION)
    table = _table(servers, quantile)
    scaled = np.interp(np.minimum(rho, HIGHEST_UTILISATION), _TABLE, table)
    return np.asarray(scaled / spare, dtype=np.float64)


def fit(rate_per_s: npt.ArrayLike, latency_s: npt.ArrayLike, quantile: float | None = None) -> LatencyCurve:
    """Fit every form to points in any order and return the one with the least error on points left out (ours).

    Points come in levels of load; whole levels are left out, in up to five interleaved folds, never the lowest and the
    highest, which would measure extrapolation. ValueError for fewer than two distinct loads, or for points that are
    not positive and finite.
    """
    rates, latencies = _points(rate_per_s, latency_s)
    errors = {form: _left_out(fitter, rates, latencies, quantile) for form, fitter in FORMS.items()}
    known = {form: error for form, error in errors.items() if math.isfinite(error)}
    best = min(known, key=known.__getitem__) if known else "piecewise"
    curve = FORMS[best](rates, latencies, quantile)
    return LatencyCurve(best, quantile, curve.parameters, curve.knots, known.get(best, math.nan), known)


def fit_piecewise(rates: FloatArray, latencies: FloatArray, quantile: float | None) -> LatencyCurve:
    """Non-decreasing line through the medians of up to twelve groups of neighbouring loads."""
    order = np.argsort(rates, kind="stable")
    groups = np.array_split(order, min(MOST_KNOTS, np.unique(rates).size))
    if np.unique(rates).size <= MOST_KNOTS:
        curve = monotone_curve(rates, latencies)
    else:
        medians = [(float(np.median(rates[g])), float(np.median(latencies[g]))) for g in groups]
        curve = monotone_curve([m[0] for m in medians], [m[1] for m in medians])
    return LatencyCurve("piecewise", quantile, knots=tuple(zip(curve.x.tolist(), curve.y.tolist(), strict=True)))


def fit_mgc(rates: FloatArray, latencies: FloatArray, quantile: float | None) -> LatencyCurve:
    """base + scale × response of M/M/c at rate/capacity: M/G/c as Allen and Cunneen scale it (std), with a fixed part.

    For each number of servers the capacity is searched on a grid and refined; base and scale ≥ 0 are least squares of
    relative errors.
    """
    highest = float(rates.max())
    best = (math.inf, 0.0, 0.0, 0.0, 0.0)
    for servers in SERVERS:
        grid = highest * (1.0 + np.geomspace(0.002, 30.0, 40))
        for _ in range(3):
            shapes = response(rates[None, :] / grid[:, None], servers, quantile)
            base, scale, loss = _non_negative(shapes, latencies)
            at = int(np.argmin(loss))
            best = min(best, (float(loss[at]), float(base[at]), float(scale[at]), float(grid[at]), float(servers)))
            grid = np.geomspace(grid[max(at - 1, 0)], grid[min(at + 1, grid.size - 1)], 9)
    parameters = dict(zip(("base_s", "scale_s", "capacity_per_s", "servers"), best[1:], strict=True))
    return LatencyCurve("mgc", quantile, parameters)


def fit_usl(rates: FloatArray, latencies: FloatArray, quantile: float | None) -> LatencyCurve:
    """Gunther's universal scalability law (std), turned into latency by Little's law: R = scale × N(rate)/rate.

    N is the smaller root of X(N) = one·N/(1 + σ(N − 1) + κN(N − 1)); ``scale`` ≥ 0 lets a quantile follow the mean.
    κ ≤ σ, without which the latency of less than one client on average would fall with load (ours).
    """
    from scipy.optimize import least_squares

    slow, highest = 1e3 * float(np.min(latencies)), float(rates.max())
    lowest, largest = np.log([highest * 1e-3, 1e-6, 1e-9]), np.log([highest * 50.0, 0.999, 1.0])

    def residuals(log_parameters: FloatArray) -> FloatArray:
        one, contention, coherency = _usl_parameters(log_parameters)
        shape = np.nan_to_num(_usl(rates, one, contention, coherency, 1.0), posinf=slow)
        return np.asarray(_scale(shape, latencies) * shape / latencies - 1.0, dtype=np.float64)

    best = None
    for share in (0.02, 0.2, 1.0):
        start = np.log([highest * share, 0.1, 1e-3])
        found = least_squares(residuals, start, bounds=(lowest, largest), max_nfev=200)
        if best is None or found.cost < best.cost:
            best = found
    assert best is not None
    one, contention, coherency = _usl_parameters(best.x)
    shape = np.nan_to_num(_usl(rates, one, contention, coherency, 1.0), posinf=slow)
    parameters = {"one_per_s": one, "contention": contention, "coherency": coherency, "scale": _scale(shape, latencies)}
    return LatencyCurve("usl", quantile, parameters)


Fitter = Callable[[FloatArray, FloatArray, float | None], LatencyCurve]
FORMS: dict[str, Fitter] = {"mgc": fit_mgc, "usl": fit_usl, "piecewise": fit_piecewise}
"""Each form and what fits it; the first wins a tie."""


def _points(rate_per_s: npt.ArrayLike, latency_s: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    rates, latencies = (np.asarray(a, dtype=np.float64).ravel() for a in (rate_per_s, latency_s))
    if rates.shape != latencies.shape:
        raise ValueError(f"{rates.size} loads but {latencies.size} latencies")
    if not (np.isfinite(rates).all() and np.isfinite(latencies).all() and (rates > 0).all() and (latencies > 0).all()):
        raise ValueError("loads and latencies must be positive and finite")
    if np.unique(rates).size < 2:
        raise ValueError("a curve needs two distinct loads")
    return rates, latencies


def _left_out(fitter: Fitter, rates: FloatArray, latencies: FloatArray, quantile: float | None) -> float:
    levels = np.unique(rates)
    inner = levels[1:-1]
    if inner.size < 2:
        return math.nan
    errors: list[float] = []
    for fold in range(min(FOLDS, inner.size)):
        left = np.isin(rates, inner[fold :: min(FOLDS, inner.size)])
        predicted = fitter(rates[~left], latencies[~left], quantile)(rates[left])
        errors += np.abs(predicted / latencies[left] - 1.0).tolist()
    return float(np.mean(errors))


def _non_negative(shapes: FloatArray, latencies: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Least relative squares of ``base + scale × shape`` with both ≥ 0, one per row: bases, scales, losses."""
    ones, slopes = 1.0 / latencies, shapes / latencies
    a, p = float(ones @ ones), float(ones.sum())
    b, c, q = slopes @ ones, np.einsum("ij,ij->i", slopes, slopes), slopes.sum(axis=1)
    determinant = a * c - b * b
    sound = determinant > 1e-12 * a * c
    base = np.divide(p * c - q * b, determinant, out=np.full(c.shape, p / a), where=sound)
    scale = np.divide(q * a - p * b, determinant, out=np.zeros(c.shape), where=sound)
    base, scale = np.where(scale < 0.0, p / a, base), np.maximum(scale, 0.0)
    base, scale = np.maximum(base, 0.0), np.where(base < 0.0, q / c, scale)
    losses = np.sum((base[:, None] * ones + scale[:, None] * slopes - 1.0) ** 2, axis=1)
    return base, scale, losses


def _scale(shape: FloatArray, latencies: FloatArray) -> float:
    ratio = shape / latencies
    return float(ratio.sum() / (ratio @ ratio))


def _usl_parameters(logs: FloatArray) -> tuple[float, float, float]:
    """Clients' rate alone, contention and coherency, which is fitted as a share of the contention."""
    one, contention, share = np.exp(logs).tolist()
    return one, contention, contention * share


def _usl(rates: FloatArray, one: float, contention: float, coherency: float, scale: float) -> FloatArray:
    a = coherency * rates
    b = one - rates * (contention - coherency)
    c = rates * (1.0 - contention)
    root = b * b - 4.0 * a * c
    with np.errstate(invalid="ignore", divide="ignore"):
        clients = 2.0 * c / (b + np.sqrt(root))
        latency = np.where(rates > 0.0, scale * clients / rates, scale * (1.0 - contention) / one)
    return np.where((root >= 0.0) & (b > 0.0), latency, np.inf)


@lru_cache(maxsize=256)
def _table(servers: int, quantile: float | None) -> FloatArray:
    """Response × (1 − ρ) at the utilisations of the table: bounded, so that it can be interpolated."""
    return np.array([_response_at(float(rho), servers, quantile) * (1.0 - rho) for rho in _TABLE])


def _response_at(rho: float, servers: int, quantile: float | None) -> float:
    if quantile is None:
        return 1.0 + erlang_c(servers, rho * servers) / (servers * (1.0 - rho))
    low, high = 0.0, -math.log(1.0 - quantile) * (1.0 + 1.0 / (servers * (1.0 - rho))) + 1.0
    while mmc_response_tail(rho * servers, 1.0, servers, high) > 1.0 - quantile:
        low, high = high, 2.0 * high
    for _ in range(60):
        middle = (low + high) / 2.0
        above = mmc_response_tail(rho * servers, 1.0, servers, middle) > 1.0 - quantile
        low, high = (middle, high) if above else (low, middle)
    return (low + high) / 2.0
