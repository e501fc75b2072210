"""How hard each application presses is told by its neighbours' slowdown, and only where neighbours are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from predictors.interference.features import table_of
from predictors.interference.force import forces, pressed, told
from predictors.interference.learners import begin, fit
from tests.predictors.interference.worlds import hidden_force, rows

FORCE = {"web": 3.0, "cache": 1.0, "batch": 0.4, "search": 1.5}


def test_forces_that_no_counter_shows_are_found() -> None:
    table = table_of(hidden_force(3, FORCE))
    column = table.pressures.index("llc_misses_per_s")
    found = forces(table, np.arange(len(table)))
    truth = np.array([FORCE[name] for name in table.apps])
    assert np.argsort(found[:, column]).tolist() == np.argsort(truth).tolist()
    assert np.corrcoef(np.log(found[:, column]), np.log(truth))[0, 1] > 0.9  # a common factor cannot be told
    assert (found[:, table.pressures.index("cpu_cores")] == 1).all()


def test_fresh_windows_are_predicted_better_with_forces_than_without() -> None:
    table, fresh = table_of(hidden_force(3, FORCE)), table_of(hidden_force(4, FORCE))
    every = np.arange(len(table))
    errors = []
    for force in (begin(table, every).force, np.ones((4, len(table.pressures)))):
        basis = replace(begin(table, every), force=force, table=pressed(table, force))
        fitted, new = fit(table, every, "pressure law", seed=0, basis=basis), pressed(fresh, force)
        logs = fitted.log_ratio(new.app, new.node_type, new.load, new.pressure, new.figures)
        errors.append(np.abs(logs + fitted.known.base[new.app, new.node_type] - new.log_value).mean())
    assert errors[0] < 0.7 * errors[1]


def test_sums_that_are_not_those_of_the_windows_rows_tell_no_force() -> None:
    one = hidden_force(3, FORCE)
    elsewhere = replace(one, others=one.others | {"llc_misses_per_s": one.others["llc_misses_per_s"] + 5e6})
    assert not len(told(table_of(elsewhere)))
    assert (forces(table_of(elsewhere), np.arange(len(one))) == 1).all()
    assert (forces(table_of(rows()), np.arange(len(rows()))) == 1).all()  # CPU alone


def test_an_application_not_trained_on_keeps_its_counters() -> None:
    table = table_of(hidden_force(3, FORCE))
    new = table.apps.index("web")
    found = forces(table, np.flatnonzero(table.app != new))
    assert (found[new] == 1).all()
    assert (found != 1).any()
