"""Services as stations: latency against load per replica as knots, and the convex costs that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from solvers.budgets.problem import Costs, FloatArray, IntArray

Piece = tuple[float, float, float, float]
"""Lowest and highest budget, area and base of one piece."""


@dataclass(frozen=True)
class Stations:
    """Knots ``at[i]:at[i + 1]`` of service ``i``: load per replica (1/s, rising) and latency there (s, not falling).

    ``load_per_s``: what all replicas of a service get together; ``price`` of one replica. A replica is planned
    between its lowest and its highest knot; below the lowest its latency is taken as there.
    """

    at: IntArray
    rate_per_s: FloatArray
    latency_s: FloatArray
    load_per_s: FloatArray
    price: FloatArray

    @property
    def fewest(self) -> IntArray:
        """The least whole number of replicas that keeps each service within its highest knot."""
        found = np.ceil(self.load_per_s / self.rate_per_s[self.at[1:] - 1] - 1e-9)
        return np.maximum(found, 1).astype(np.int64)


def stations(
    curves: Sequence[tuple[FloatArray, FloatArray]], load_per_s: Sequence[float], price: Sequence[float]
) -> Stations:
    """Put the knots (rates, latencies) of every service into one structure; ValueError for knots that fall."""
    for rates, latencies in curves:
        if np.any(np.diff(rates) <= 0.0) or np.any(np.diff(latencies) < 0.0):
            raise ValueError("rates must rise and latencies must not fall")
    at = np.concatenate([[0], np.cumsum([len(rates) for rates, _ in curves])]).astype(np.int64)
    return Stations(
        at, np.concatenate([rates for rates, _ in curves]), np.concatenate([values for _, values in curves]),
        np.asarray(load_per_s, dtype=np.float64), np.asarray(price, dtype=np.float64),
    )  # fmt: skip


def costs_of(found: Stations) -> tuple[Costs, FloatArray]:
    """Cost against budget of every station with at least one replica, and what its last replica costs in any case.

    The lower convex hull of the knots is taken, so that the cheapest split over these costs is a lower bound whatever
    the curve's form; for a convex curve it is the curve. The second array is the cost of a station whose load one
    replica carries at its lowest knot: a single piece of area 0, to be added to every answer.
    """
    at: list[int] = [0]
    found_pieces: list[Piece] = []
    fixed: list[float] = []
    for i in range(len(found.load_per_s)):
        knots = slice(int(found.at[i]), int(found.at[i + 1]))
        pieces, least = _pieces(
            found.rate_per_s[knots], found.latency_s[knots], float(found.load_per_s[i]), float(found.price[i])
        )
        found_pieces += pieces
        at.append(len(found_pieces))
        fixed.append(least)
    low, high, area, base = np.array(found_pieces, dtype=np.float64).T.copy()
    return Costs(np.array(at, dtype=np.int64), low, high, area, base), np.array(fixed)


def hull(rate_per_s: FloatArray, latency_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The knots on the lower convex hull of a curve (std; Andrew's monotone chain)."""
    kept: list[int] = []
    for k in range(len(rate_per_s)):
        while len(kept) > 1 and _above(rate_per_s, latency_s, kept[-2], kept[-1], k):
            kept.pop()
        kept.append(k)
    return rate_per_s[kept], latency_s[kept]


def _above(x: FloatArray, y: FloatArray, i: int, j: int, k: int) -> bool:
    return bool((y[j] - y[i]) * (x[k] - x[i]) >= (y[k] - y[i]) * (x[j] - x[i]))


def _pieces(rates: FloatArray, latencies: FloatArray, load: float, price: float) -> tuple[list[Piece], float]:
    x, y = hull(rates, latencies)
    if load < x[-1]:  # one replica carries it all: beyond its load nothing gets cheaper
        end = float(np.interp(load, x, y))
        kept = x < load
        x, y = np.append(x[kept], load), np.append(y[kept], end)
    found: list[Piece] = []
    for k in range(len(x) - 1):
        slope = (y[k + 1] - y[k]) / (x[k + 1] - x[k])
        if y[k + 1] > y[k] * (1.0 + 1e-12):
            found.append((float(y[k]), float(y[k + 1]), float(price * load * slope), float(y[k] - slope * x[k])))
    if found:
        return found, 0.0
    return [(float(y[-1]), float(y[-1]), 0.0, float(y[-1]))], float(price * (load / x[-1] if x[-1] > 0.0 else 1.0))
