"""The additive law: what it sums, that it goes on beyond what was measured, and that it never falls."""

from __future__ import annotations

import numpy as np
import pytest

from predictors.interference.additive import columns_of
from predictors.interference.features import table_of
from predictors.interference.learners import Fitted, fit
from specs.contention import ContentionRows
from specs.interference import Learner
from tests.predictors.interference.worlds import rows, time_sharing


def test_columns_are_lines_their_two_parts_products_and_the_time_share() -> None:
    found = columns_of(np.array([1.5, 0.0]), np.array([[1.0, 0.0]]), np.array([[2.0, 3.0]]), 0)
    assert found[0].tolist() == [2.0, 0.5, 1.5, 3.0, 0.0, 3.0, 6.0, 2.0]


def _trained(learner: Learner, known: ContentionRows) -> Fitted:
    table = table_of(known)
    return fit(table, np.arange(len(table)), learner, seed=0)


def _accuracy(fitted: Fitted, fresh: ContentionRows) -> float:
    new = table_of(fresh)
    logs = fitted.log_ratio(new.app, new.node_type, new.load, new.pressure, new.figures, new.beside)
    return float(1 - np.abs(np.exp(logs + fitted.known.base[new.app, new.node_type] - new.log_value) - 1).mean())


def test_mixes_larger_than_any_that_was_measured_are_told_by_the_additive_law_alone() -> None:
    known, larger = time_sharing(1, others=(0, 0, 1, 2)), time_sharing(2, others=(4, 5))
    assert _accuracy(_trained("additive law", known), larger) > 0.90
    assert _accuracy(_trained("boosted trees", known), larger) < 0.70
    assert _accuracy(_trained("pressure law", known), larger) < 0.70


def test_the_additive_law_never_falls_and_an_unseen_application_has_the_mean_slopes() -> None:
    table = table_of(rows())
    new = table.apps.index("cache")
    fitted = fit(table, np.flatnonzero(table.app != new), "additive law", seed=0)
    assert fitted.law is not None
    others = [a for a in range(len(table.apps)) if a != new]
    assert fitted.law.slopes[new] == pytest.approx(fitted.law.slopes[others].mean(axis=0))
    pressure = np.linspace(0.0, 20.0, 21)[:, None]
    for app in others:
        usual = np.full(21, fitted.known.habits[app, 0])
        at = (np.full(21, app), np.zeros(21, dtype=np.int64), usual, pressure, np.empty((21, 0)))
        assert (np.diff(fitted.log_ratio(*at)) >= 0).all()
