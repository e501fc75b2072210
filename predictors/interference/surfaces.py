"""Slowdown of each application on each node type as a table over its neighbours' pressure, for planners to look up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from predictors.interference.learners import Fitted
from specs.trace import FloatArray, IntArray

POINTS = 7
"""Pressures per axis; between them the slowdown is interpolated."""


@dataclass(frozen=True, kw_only=True)
class Surfaces:
    """``axes``: K arrays of rising pressures from 0; ``slowdown`` [C, T, *lengths of the axes], at least 1."""

    axes: tuple[FloatArray, ...]
    slowdown: FloatArray


def surfaces(fitted: Fitted, app: IntArray, load: FloatArray, node_type: IntArray, figures: FloatArray) -> Surfaces:
    """Return the slowdown of C services (``app``, −1 where never measured; ``load``) on T node types.

    ``node_type`` [T] indexes the node types measured, ``figures`` [T, M] are the nodes' numbers. The slowdown is the
    predicted value over that without neighbours, and rises with each pressure.
    """
    axes = tuple(map(axis, fitted.table.pressure.T))
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    shape = tuple(len(one) for one in axes)
    found = np.empty((len(app), len(node_type), *shape))
    for c in range(len(app)):
        for t in range(len(node_type)):
            found[c, t] = _over(fitted, app[c], load[c], node_type[t], figures[t], grid).reshape(shape)
    return Surfaces(axes=axes, slowdown=found)


def axis(pressure: FloatArray) -> FloatArray:
    """Return 0 and the quantiles of a pressure as it was seen, up to its largest."""
    return np.unique(np.concatenate([[0.0], np.quantile(pressure, np.linspace(0, 1, POINTS))]))


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
