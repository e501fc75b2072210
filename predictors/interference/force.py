"""How hard each application presses on its neighbours beyond what its own counters say, told by their slowdown.

Two applications with the same misses per second may want unlike shares of a cache, which no counter tells.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from predictors.interference.features import Known, Table, around, is_sum, known_of
from predictors.interference.law import Law, fit_law, own_of
from specs.trace import FloatArray, IntArray

SPREAD = 1.0
"""Prior standard deviation of the logarithm of a force. [ours]"""
ROUNDS = 3
POOLING = 30.0  # of the law that tells forces
MOST_APPLICATIONS = 200  # the design has rows × applications entries per pressure
LOWEST, HIGHEST = 0.1, 10.0
STEP = 0.02  # of a pressure's largest value, for the slope of the law


def told(table: Table) -> IntArray:
    """Return the pressures (columns) that are sums over the rows of a window, so that neighbours are known by name.

    CPU time is left out: it is what it is.
    """
    found = []
    for k, name in enumerate(table.pressures):
        if name == "cpu_cores" or name not in table.own_names:
            continue
        if is_sum(table.group, table.own[:, table.own_names.index(name)], table.pressure[:, k]):
            found.append(k)
    return np.array(found, dtype=np.int64)


def pressed(table: Table, force: FloatArray) -> Table:
    """Return the table with each application's intensities times its ``force`` [A, K], in its own and others' rows."""
    own, pressure = table.own.copy(), table.pressure.copy()
    for k in np.flatnonzero((force != 1.0).any(axis=0)):
        at = table.own_names.index(table.pressures[k])
        own[:, at] *= force[table.app, k]
        pressure[:, k] = around(table.group, own[:, at])
    return replace(table, own=own, pressure=pressure)


def forces(table: Table, rows: IntArray) -> FloatArray:
    """Return the force [A, K] of each application; all 1 where that tells windows left out of ``rows`` no worse."""
    ones = np.ones((len(table.apps), len(table.pressures)))
    if not len(told(table)) or not 2 <= len(np.unique(table.app[rows])) <= MOST_APPLICATIONS:
        return ones
    _, window = np.unique(table.group[rows], return_inverse=True)
    half = np.random.default_rng(len(rows)).permutation(window.max() + 1)[window] % 2
    errors = np.zeros(2)
    for number in (0, 1):
        kept, left = rows[half != number], rows[half == number]
        if len(kept) and len(left):
            errors += [_error(table, force, kept, left) for force in (ones, fitted_forces(table, kept))]
    return fitted_forces(table, rows) if errors[1] < errors[0] else ones


def _error(table: Table, force: FloatArray, kept: IntArray, left: IntArray) -> float:
    """Return the summed error of the logarithm of the rows ``left`` by the law of those ``kept``."""
    now = pressed(table, force)
    known, law, _, _ = _fitted(now, kept)
    app, node_type = table.app[left], table.node_type[left]
    own = own_of(now, known.habits, app, table.load[left])
    guess = law.log_ratio(app, node_type, own, now.pressure[left], table.figures[left]) + known.base[app, node_type]
    return float(np.nansum(np.abs(guess - table.log_value[left])))


def fitted_forces(table: Table, rows: IntArray) -> FloatArray:
    """Return the force [A, K] of each application, 1 where ``rows`` do not hold it.

    Gauss and Newton's steps on log force under the smooth law, each from the law fitted to the pressures of the step
    before; a normal prior keeps forces near 1 where little is told. [ours]
    """
    force = np.ones((len(table.apps), len(table.pressures)))
    columns, seen = told(table), np.unique(table.app[rows])
    for _ in range(ROUNDS):
        now = pressed(table, force)
        _, law, own, rest = _fitted(now, rows)
        design = np.hstack([_slope(now, law, own, rows, k)[:, None] * _of_each(now, rows, seen, k) for k in columns])
        noise = float(np.mean(rest**2))
        grown = np.log(force[np.ix_(seen, columns)]).T.ravel()
        left = np.eye(design.shape[1]) * noise / SPREAD**2
        found = np.linalg.solve(design.T @ design + left, design.T @ (rest + design @ grown))
        force[np.ix_(seen, columns)] = np.clip(np.exp(found.reshape(len(columns), -1).T), LOWEST, HIGHEST)
    return force


def _fitted(table: Table, rows: IntArray) -> tuple[Known, Law, FloatArray, FloatArray]:
    """Return what is known, the law of ``rows``, their own pressures, and what it leaves of their logarithms."""
    known = known_of(table, rows)
    app, node_type = table.app[rows], table.node_type[rows]
    target = table.log_value[rows] - known.base[app, node_type]
    law = fit_law(table, known, rows, target, POOLING)
    own = own_of(table, known.habits, app, table.load[rows])
    return known, law, own, target - law.log_ratio(app, node_type, own, table.pressure[rows], table.figures[rows])


def _slope(table: Table, law: Law, own: FloatArray, rows: IntArray, k: int) -> FloatArray:
    """Return by how much the logarithm rises per unit of a pressure [n]."""
    step = STEP * float(table.pressure[:, k].max())
    low, high = table.pressure[rows].copy(), table.pressure[rows].copy()
    low[:, k] = np.maximum(low[:, k] - step, 0.0)
    high[:, k] += step
    app, node_type, figures = table.app[rows], table.node_type[rows], table.figures[rows]
    rise = law.log_ratio(app, node_type, own, high, figures) - law.log_ratio(app, node_type, own, low, figures)
    return np.asarray(rise / (high[:, k] - low[:, k]))


def _of_each(table: Table, rows: IntArray, seen: IntArray, k: int) -> FloatArray:
    """Return the pressure of each application seen on each row [n, seen]."""
    own = table.own[:, table.own_names.index(table.pressures[k])]
    return np.column_stack([around(table.group, np.where(table.app == a, own, 0.0))[rows] for a in seen])
