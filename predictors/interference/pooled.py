"""Slopes per application, not negative and drawn to those of all, and a level per application and node type."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predictors.interference.features import Table
from specs.trace import FloatArray, IntArray

INNER = 3  # folds
ROUNDS, SWEEPS = 40, 4
"""Of slopes and levels in turn, and of coordinate descent in each; both go on from where they were."""


def best_pooling(
    table: Table, rows: IntArray, ramps: FloatArray, unit: FloatArray, target: FloatArray, choices: Sequence[float]
) -> float:  # fmt: skip
    """Return the pooling with the least squared error on windows left out of ``rows``; the least for one application.

    Pooling is in rows: noise over variance between applications.
    """
    app, node_type = table.app[rows], table.node_type[rows]
    if len(np.unique(app)) < 2:
        return choices[0]
    _, window = np.unique(table.group[rows], return_inverse=True)
    fold = np.random.default_rng(len(rows)).permutation(window.max() + 1)[window] % INNER
    errors = np.zeros(len(choices))
    for number in range(INNER):
        kept, left = fold != number, fold == number
        if not kept.any() or not left.any():
            continue
        for i, one in enumerate(choices):
            slopes, level = solve(table, app[kept], node_type[kept], ramps[kept], unit[kept], target[kept], one)
            guess = (ramps[left] * slopes[app[left]]).sum(axis=1) + level[app[left], node_type[left]] * unit[left]
            errors[i] += ((guess - target[left]) ** 2).sum()
    return choices[int(errors.argmin())]


def solve(
    table: Table, app: IntArray, node_type: IntArray, ramps: FloatArray, unit: FloatArray, target: FloatArray,
    pooling: float,
) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    """Return slopes [A, F] ≥ 0 (the mean for those not seen) and levels [A, T] of least squared error and pooling.

    Of the error ``ramps`` · slopes + ``unit`` · level − ``target`` [n]; a level is drawn to 0 as by one row.
    """
    apps, types, width = len(table.apps), len(table.node_types), ramps.shape[1]
    seen, pair = np.unique(app), app * types + node_type
    count = np.bincount(pair, unit**2, minlength=apps * types)
    gram = np.stack([ramps[app == a].T @ ramps[app == a] for a in seen]) + pooling * np.eye(width)
    slopes, common, level = np.zeros((len(seen), width)), np.zeros(width), np.zeros((apps, types))
    at = np.searchsorted(seen, app)
    for _ in range(ROUNDS):
        left = ramps * (target - level[app, node_type] * unit)[:, None]
        right = np.stack([np.bincount(at, left[:, f], len(seen)) for f in range(width)], axis=1)
        _descend(gram, right + pooling * common, slopes)
        common = slopes.mean(axis=0)
        rest = np.bincount(pair, (target - (ramps * slopes[at]).sum(axis=1)) * unit, apps * types)
        level = (rest / (count + 1.0)).reshape(apps, types)
    every = np.tile(common, (apps, 1))
    every[seen] = slopes
    return every, level


def _descend(gram: FloatArray, right: FloatArray, x: FloatArray) -> None:
    """Lower x'Gx / 2 − r'x over x ≥ 0 by coordinate descent, for all applications at once, in place. [std]"""
    for _ in range(SWEEPS):
        for f in range(x.shape[1]):
            step = (right[:, f] - (gram[:, f] * x).sum(axis=1)) / gram[:, f, f]
            x[:, f] = np.maximum(x[:, f] + step, 0.0)
