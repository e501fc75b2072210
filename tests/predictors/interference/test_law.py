"""The law of pressure: what it sums, that it rises, what an unseen application gets, and when it is chosen."""

from __future__ import annotations

import numpy as np
import pytest

from predictors.interference.features import table_of
from predictors.interference.law import ramps_of
from predictors.interference.learners import CANDIDATES, fit
from predictors.interference.scores import chosen
from specs.interference import Score
from tests.predictors.interference.worlds import SENSITIVE, rows


def test_ramps_say_how_much_of_each_piece_the_neighbours_fill() -> None:
    knots = (np.array([0.0, 1.0, 3.0]),)
    found = ramps_of(knots, np.array([[0.0], [0.5], [2.0]]), np.array([[2.0], [0.5], [5.0]]), -1)
    assert found.tolist() == [[1.0, 0.5], [0.5, 0.0], [0.0, 0.5]]


def test_cpus_wanted_by_three_that_are_always_ready_make_each_three_times_as_slow() -> None:
    found = ramps_of((np.array([0.0, 3.0]),), np.ones((3, 1)), np.array([[0.0], [1.0], [2.0]]), 0)
    assert found[:, -1] == pytest.approx(np.log([1.0, 2.0, 3.0]))


def test_the_law_finds_each_applications_slope_and_never_falls() -> None:
    table = table_of(rows(windows=120))
    fitted = fit(table, np.arange(len(table)), "pressure law", seed=0)
    pressure = np.linspace(0.0, 5.0, 11)[:, None]
    for name, slope in SENSITIVE.items():
        app = np.full(11, table.apps.index(name))
        usual = fitted.known.habits[app, 0]
        found = fitted.log_ratio(app, np.zeros(11, dtype=np.int64), usual, pressure, np.empty((11, 0)))
        assert (np.diff(found) >= 0).all()
        assert found[-1] - found[0] == pytest.approx(slope / 2 * 5.0, rel=0.12, abs=0.04)  # pooled: drawn to the mean


def test_an_application_never_trained_on_has_the_mean_of_the_others_slopes() -> None:
    table = table_of(rows())
    new = table.apps.index("cache")
    fitted = fit(table, np.flatnonzero(table.app != new), "pressure law", seed=0)
    assert fitted.law is not None
    others = [a for a in range(len(table.apps)) if a != new]
    assert fitted.law.slopes[new] == pytest.approx(fitted.law.slopes[others].mean(axis=0))


def test_what_predicts_windows_held_out_best_is_chosen() -> None:
    scores = [
        Score(learner=name, split="rows", accuracy=accuracy, p90_error=0.1, rows=100)
        for name, accuracy in zip((*CANDIDATES, "linear"), (0.90, 0.91, 0.91, 0.93, 0.92, 0.99), strict=True)
    ]
    assert chosen(scores) == "pressure law"
