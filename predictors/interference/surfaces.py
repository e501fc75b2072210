"""Slowdown of each application on each node type as a table over its neighbours' pressure, for planners to look up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from predictors.interference.learners import Fitted
from specs.trace import FloatArray, IntArray

CELLS = 300_000  # predictions that all tables together take, as far as the least number of points allows
LEAST_POINTS, MOST_POINTS = 9, 20
"""Pressures per axis between which the slowdown is interpolated; three fifths of them equal steps, others quantiles."""
BEYOND = 2.0
"""How many times the largest pressure seen the table reaches: placement looks there."""


@dataclass(frozen=True, kw_only=True)
class Surfaces:
    """``axes``: K arrays of rising pressures from 0; ``slowdown`` [C, T, *lengths of the axes], at least 1.

    ``reach`` [K]: the largest pressure that was measured; the axes go on beyond it.
    """

    axes: tuple[FloatArray, ...]
    slowdown: FloatArray
    reach: FloatArray


def surfaces(fitted: Fitted, app: IntArray, load: FloatArray, node_type: IntArray, figures: FloatArray) -> Surfaces:
    """Return the slowdown of C services (``app``, −1 where never measured; ``load``) on T node types.

    ``node_type`` [T] indexes the node types measured, ``figures`` [T, M] are the nodes' numbers. The slowdown is the
    predicted value over that without neighbours, and rises with each pressure; beyond the largest pressure seen it goes
    on with the mean slope of the upper half of what was seen. [ours]
    """
    pressures = fitted.table.pressure.T
    each = (CELLS / (len(app) * len(node_type))) ** (1 / len(pressures))
    points = int(np.clip(each, LEAST_POINTS, MOST_POINTS))
    axes = tuple(axis(one, points) for one in pressures)
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    shape = tuple(len(one) for one in axes)
    found = np.empty((len(app), len(node_type), *shape))
    for c in range(len(app)):
        for t in range(len(node_type)):
            found[c, t] = _over(fitted, app[c], load[c], node_type[t], figures[t], grid).reshape(shape)
    reach = np.array([one[-1] for one in axes])
    for k, at in enumerate(axes):
        found = _continued(found, 2 + k, at)
    beyond = tuple(np.append(one, BEYOND * one[-1]) if one[-1] > 0 else one for one in axes)
    return Surfaces(axes=beyond, slowdown=found, reach=reach)


def axis(pressure: FloatArray, points: int) -> FloatArray:
    """Return 0, quantiles of a pressure as it was seen, and equal steps up to its largest."""
    steps = round(0.6 * points)
    quantiles = np.quantile(pressure, np.linspace(0, 1, points - steps))
    return np.unique(np.concatenate([np.linspace(0.0, pressure.max(), steps + 1), quantiles]))


def _continued(slowdown: FloatArray, k: int, at: FloatArray) -> FloatArray:
    """Return the table with one more entry along its axis ``k``, at BEYOND times the last of ``at``."""
    if at[-1] <= 0:
        return slowdown
    last = np.take(slowdown, -1, axis=k)
    middle = np.take(slowdown, int(np.searchsorted(at, at[-1] / 2)), axis=k)
    slope = (last - middle) / (at[-1] - at[np.searchsorted(at, at[-1] / 2)])
    more = last + slope * (BEYOND - 1.0) * at[-1]
    return np.concatenate([slowdown, np.expand_dims(more, k)], axis=k)


def _over(
    fitted: Fitted, app: int, load: float, node_type: int, figures: FloatArray, pressure: FloatArray
) -> FloatArray:  # fmt: skip
    """Return the slowdown [n] at pressures [n, K]; an application never measured is the mean of those that were."""
    apps = fitted.seen if app < 0 else np.array([app])
    at = np.vstack([np.zeros((1, pressure.shape[1])), pressure])
    logs = np.stack([_log_ratio(fitted, one, load, node_type, figures, at) for one in apps])
    ratio = logs.mean(axis=0)
    return np.asarray(np.exp(np.maximum(ratio[1:] - ratio[0], 0.0)))


def _log_ratio(
    fitted: Fitted, app: int, load: float, node_type: int, figures: FloatArray, pressure: FloatArray
) -> FloatArray:  # fmt: skip
    n = len(pressure)
    usual = fitted.known.habits[app, 0] if np.isnan(load) else load
    return fitted.log_ratio(
        np.full(n, app), np.full(n, node_type), np.full(n, usual), pressure, np.tile(figures, (n, 1))
    )
