"""p99 of an application from windows in which allocations, served load and p99 were measured together (ours).

Two parts. A curve of the shortfall of served against offered load, which is physics and holds for allocations never
seen: what is not served waits. And a correction learned from the allocations, which counts only as far as the like was
measured: its share falls to nothing away from the measured settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from solvers.curves import isotonic

FloatArray = npt.NDArray[np.float64]
OFFERED_SHARE = 0.95
"""The offered load is taken to be this quantile of the served: what is served where the application keeps up."""
REACH = 0.3
"""Distance in log-allocations over which a measured setting speaks for another: a third more or less of one service."""
WINDOWS_OF_DOUBT = 0.1
"""Measured windows at which the correction counts half: one window of the same setting gives it ten elevenths."""
SEED = 0
ROWS = 256  # predicted at a time, so that distances fit in memory


@dataclass(frozen=True, kw_only=True)
class AllocationModel:
    """A fitted model; ``settings`` are the log-allocations it was fitted on, [windows, services]."""

    offered: float
    settings: FloatArray
    curve: tuple[FloatArray, FloatArray]  # shortfalls, rising, and the log p99 there
    by_setting: Any


def fit(allocation: FloatArray, served: FloatArray, p99: FloatArray, *, seed: int = SEED) -> AllocationModel:
    """Fit to windows: ``allocation`` [windows, services] > 0, ``served`` load and ``p99`` [windows], any units.

    Both parts are boosted trees for the median of log p99 (scikit-learn). The curve is then made monotone: p99 never
    falls as the shortfall grows. The correction's trees split so that p99 rises with no allocation and falls with no
    shortfall; the medians in their leaves may still break that a little. ValueError for arrays that do not match or
    are not positive.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    if not (len(allocation) == len(served) == len(p99) > 0):
        raise ValueError(f"{len(allocation)} allocations, {len(served)} loads and {len(p99)} latencies do not match")
    if not (np.all(allocation > 0.0) and np.all(served > 0.0) and np.all(p99 > 0.0)):
        raise ValueError("allocations, loads and latencies must be above 0")
    offered = float(np.quantile(served, OFFERED_SHARE))
    short, log_p99 = shortfall(served, offered), np.log(p99)
    rising = [1]
    curve = HistGradientBoostingRegressor(
        loss="absolute_error", max_iter=100, monotonic_cst=rising, early_stopping=False, random_state=seed
    )
    settings = HistGradientBoostingRegressor(
        loss="absolute_error", max_iter=300, learning_rate=0.06, early_stopping=False, random_state=seed,
        monotonic_cst=[-1] * allocation.shape[1] + rising,
    )  # fmt: skip
    return AllocationModel(
        offered=offered,
        settings=np.log(allocation),
        curve=_monotone(curve.fit(short[:, None], log_p99), short),
        by_setting=settings.fit(np.column_stack([allocation, short]), log_p99),
    )


def _monotone(trees: Any, short: FloatArray) -> tuple[FloatArray, FloatArray]:
    at, windows = np.unique(short, return_counts=True)
    return at, isotonic(trees.predict(at[:, None]), windows)


def shortfall(served: FloatArray, offered: float) -> FloatArray:
    """Share of the offered load that is not served; below 0 where more is."""
    return np.asarray(1.0 - served / offered, dtype=np.float64)


def predict(model: AllocationModel, allocation: FloatArray, served: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return p99 and how far it rests on measured settings like these, 0 … 1; [windows] each.

    The correction's share is K/(K + 0.1), K the measured windows at hand, each weighed by a Gaussian of its distance.
    """
    short = shortfall(served, model.offered)
    curve = np.interp(short, *model.curve)
    setting = model.by_setting.predict(np.column_stack([allocation, short]))
    share = known(model, allocation)
    return np.exp(curve + share * (setting - curve)), share


def known(model: AllocationModel, allocation: FloatArray) -> FloatArray:
    """How far these allocations were measured, 0 … 1; [windows]."""
    asked = np.log(allocation)
    mass = np.empty(len(asked))
    for at in range(0, len(asked), ROWS):
        apart = ((asked[at : at + ROWS, None, :] - model.settings[None]) ** 2).sum(axis=-1)
        mass[at : at + ROWS] = np.exp(-apart / (2.0 * REACH**2)).sum(axis=1)
    return np.asarray(mass / (mass + WINDOWS_OF_DOUBT))
