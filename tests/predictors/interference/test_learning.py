"""Interference is learnt: better than the mean, honest about what was held out, never falling with pressure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from predictors.interference import Trained, surfaces, train
from predictors.interference.estimate import estimate_interference
from predictors.interference.features import table_of
from predictors.interference.scores import folds_of
from specs.errors import InputError
from tests.predictors.interference.worlds import ALONE, SENSITIVE, rows


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(rows(), seed=0)


def test_the_trees_beat_the_mean_and_come_near_the_noise(trained: Trained) -> None:
    score = {(one.learner, one.split): one for one in trained.scores}
    assert score["boosted trees", "rows"].accuracy > 0.95
    assert score["boosted trees", "rows"].accuracy > score["application mean", "rows"].accuracy + 0.05
    assert score["boosted trees", "node type"].accuracy > score["application mean", "node type"].accuracy


def test_the_interval_holds_its_share(trained: Trained) -> None:
    assert trained.held == pytest.approx(0.9, abs=0.06)
    fresh = table_of(rows(5))
    ratio = trained.fitted.log_ratio(fresh.app, fresh.node_type, fresh.load, fresh.pressure, fresh.figures)
    error = ratio + trained.fitted.known.base[fresh.app, fresh.node_type] - fresh.log_value
    assert 0.8 < (np.abs(error) <= np.log(trained.factor)).mean() <= 1.0


def test_nothing_of_what_is_held_out_is_trained_on() -> None:
    table = table_of(rows())
    for split, keys in (("rows", table.group), ("application", table.app), ("node type", table.node_type)):
        folds = folds_of(table, split, 0)  # type: ignore[arg-type]
        assert folds
        for fold in folds:
            assert not set(keys[fold.train]) & set(keys[fold.test])
            assert not set(fold.calibration) & set(fold.test)
            assert table.low[fold.calibration].all()


def test_slowdown_is_the_laws_and_rises_with_pressure(trained: Trained) -> None:
    table = trained.table
    apps = np.array([table.apps.index(name) for name in SENSITIVE])
    figures = np.empty((2, 0))
    found = surfaces(trained.fitted, apps, np.full(len(apps), np.nan), np.arange(2), figures)
    assert (np.diff(found.slowdown, axis=2) >= 0).all()
    assert (found.slowdown >= 1).all()
    for c, name in enumerate(SENSITIVE):
        at = float(np.quantile(table.pressure[table.app == apps[c]], 0.7))  # within what it was seen under
        seen = float(np.interp(at, found.axes[0], found.slowdown[c, 0]))
        assert seen == pytest.approx(np.exp(SENSITIVE[name] * at / 2), rel=0.08)


def test_the_table_is_the_learner_within_what_was_seen_and_goes_on_beyond(trained: Trained) -> None:
    table = trained.table
    found = surfaces(trained.fitted, np.arange(4), np.full(4, np.nan), np.arange(2), np.empty((2, 0)))
    largest = float(table.pressure.max())
    assert found.reach == pytest.approx([largest])
    assert found.axes[0][-1] == pytest.approx(2 * largest)
    at = np.random.default_rng(0).uniform(0, largest, 200)
    errors = []
    for app in range(4):
        usual = np.full(201, trained.fitted.known.habits[app, 0])
        pressure = np.concatenate([[0.0], at])[:, None]
        kind = np.zeros(201, dtype=np.int64)
        logs = trained.fitted.log_ratio(np.full(201, app), kind, usual, pressure, np.empty((201, 0)))
        read = np.interp(at, found.axes[0], found.slowdown[app, 0])
        errors.append(read / np.exp(np.maximum(logs[1:] - logs[0], 0.0)) - 1)
    assert np.abs(errors).mean() < 0.01
    assert (found.slowdown[:, :, -1] >= found.slowdown[:, :, -2]).all()


def test_the_value_alone_is_found(trained: Trained) -> None:
    old = trained.table.node_types.index("old")
    table = trained.table
    for name, cpi in ALONE.items():
        app = table.apps.index(name)
        low = table.low & (table.app == app) & (table.node_type == old)
        law = np.median(np.log(cpi) + SENSITIVE[name] * table.pressure[low, 0] / 2)
        assert trained.fitted.known.base[app, old] == pytest.approx(law, abs=0.05)


def test_an_application_never_measured_is_the_mean_of_the_others(trained: Trained) -> None:
    unknown = surfaces(trained.fitted, np.array([-1]), np.array([np.nan]), np.array([0]), np.empty((1, 0)))
    every = surfaces(
        trained.fitted, np.arange(4), np.full(4, np.nan), np.array([0]), np.empty((1, 0))
    )  # fmt: skip
    mean = np.log(every.slowdown[:, 0]).mean(axis=0)
    np.testing.assert_allclose(np.log(unknown.slowdown[0, 0])[:-1], mean[:-1], atol=1e-9)  # the last is continued


def test_the_same_seed_gives_the_same_estimate() -> None:
    few = rows(windows=20)
    assert estimate_interference("x", few, seed=4) == estimate_interference("x", few, seed=4)


def test_too_few_rows_and_rows_without_neighbours_are_refused() -> None:
    with pytest.raises(InputError, match="at least 30"):
        train(rows(windows=3), seed=0)
    alone = rows()
    with pytest.raises(InputError, match="no row has a neighbour"):
        train(replace(alone, others={"cpu_cores": np.zeros(len(alone))}), seed=0)


def test_what_stands_in_for_cpi_is_said() -> None:
    found = estimate_interference("x", replace(rows(windows=20), quantity="cpu_delay", notes=("no counters",)))
    assert found.quantity == "cpu_delay"
    assert found.evidence[0].note == "no CPI: run-queue delay over CPU time"
    assert "no counters" in found.notes
