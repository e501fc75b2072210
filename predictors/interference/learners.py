"""The learners of interference: smooth laws, trees alone or on their rest, all of these together, a ridge, the mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from predictors.interference.additive import Additive, fit_additive
from predictors.interference.features import Known, Table, known_of, matrix, monotone
from predictors.interference.force import forces, pressed
from predictors.interference.law import Law, fit_law, own_of
from predictors.threads import one_thread
from specs.interference import Learner
from specs.trace import FloatArray, IntArray

TOGETHER: tuple[Learner, ...] = ("boosted trees", "additive law")
"""Whose mean logarithm is `trees with additive`: trees are flat beyond what was measured, a law is stiff within it."""
CANDIDATES: tuple[Learner, ...] = ("law and trees", *TOGETHER, "pressure law", "trees with additive")
"""What is used is the one of these that predicts windows held out best."""
LAWS: tuple[Learner, ...] = ("pressure law", "additive law")
LEARNERS: tuple[Learner, ...] = (*CANDIDATES, "linear", "application mean")
REST_ROUNDS = 100  # trees on what the law leaves
ROUNDS = 300
RATE = 0.06
LEAVES = 15
RIDGE = 1.0
MOST_CATEGORIES = 255  # what the trees can hold


@dataclass(frozen=True, kw_only=True)
class Basis:
    """The table with pressures as they press, what is known of applications, and the ``force`` [A, K] of each."""

    table: Table
    known: Known
    force: FloatArray


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """One learner after training: it predicts the logarithm of the value over that with least pressure."""

    basis: Basis
    learner: Learner
    model: Any
    seen: IntArray
    law: Law | Additive | None = None
    parts: tuple[Fitted, ...] = ()

    @property
    def table(self) -> Table:
        """The rows as they press: each application's intensities times its force."""
        return self.basis.table

    @property
    def known(self) -> Known:
        """What is known of applications."""
        return self.basis.known

    def log_ratio(
        self, app: IntArray, node_type: IntArray, load: FloatArray, pressure: FloatArray, figures: FloatArray,
        beside: FloatArray | None = None,
    ) -> FloatArray:  # fmt: skip
        """Return log(value / value alone) of rows given by their columns; ``pressure`` [N, K], ``figures`` [N, M].

        ``beside`` [N, A]: the neighbours' CPU by application; those of the rows trained on where None.
        """
        if self.parts:
            each = [one.log_ratio(app, node_type, load, pressure, figures, beside) for one in self.parts]
            return np.asarray(np.mean(each, axis=0))
        if self.learner == "application mean":
            found: FloatArray = self.model[app, node_type]
            return found
        if self.learner in LAWS:
            return self.law_ratio(app, node_type, load, pressure, figures, beside)
        features = matrix(self.table, self.known, app, node_type, load, pressure, figures, seen=self.seen)
        if self.learner == "linear":
            weights, centre, scale = self.model
            return _design(self.table, features, centre, scale) @ weights  # type: ignore[no-any-return]
        with one_thread():
            trees = np.asarray(self.model.predict(features))
        return trees if self.law is None else trees + self.law_ratio(app, node_type, load, pressure, figures, beside)

    def law_ratio(
        self, app: IntArray, node_type: IntArray, load: FloatArray, pressure: FloatArray, figures: FloatArray,
        beside: FloatArray | None = None,
    ) -> FloatArray:  # fmt: skip
        """Return the part of the law; 0 where the learner has none."""
        if self.law is None:
            return np.zeros(len(app))
        own = own_of(self.table, self.known.habits, app, load)
        return self.law.log_ratio(app, node_type, own, pressure, figures, beside)

    def log_value(self, rows: IntArray) -> FloatArray:
        """Return the predicted log of the value of rows of the table."""
        t = self.table
        beside = t.beside[rows] if t.beside.shape[1] else None
        ratio = self.log_ratio(t.app[rows], t.node_type[rows], t.load[rows], t.pressure[rows], t.figures[rows], beside)
        return ratio + self.known.base[t.app[rows], t.node_type[rows]]


def begin(table: Table, rows: IntArray, calibration: IntArray | None = None) -> Basis:
    """Return what every learner of ``rows`` begins with. ``calibration``: rows that tell the value alone of others."""
    force = forces(table, rows)
    seen_as = pressed(table, force)
    every = rows if calibration is None else np.concatenate([rows, calibration])
    return Basis(table=seen_as, known=known_of(seen_as, every), force=force)


def fit(table: Table, rows: IntArray, learner: Learner, *, seed: int, basis: Basis | None = None) -> Fitted:
    """Train on ``rows``; ``basis`` is what `begin` returned of them, found anew where None."""
    begun = basis if basis is not None else begin(table, rows)
    table, known, seen = begun.table, begun.known, np.unique(table.app[rows])
    if learner == "trees with additive":
        parts = tuple(fit(table, rows, one, seed=seed, basis=begun) for one in TOGETHER)
        return together(parts)
    app, node_type, figures = table.app[rows], table.node_type[rows], table.figures[rows]
    columns = (app, node_type, table.load[rows], table.pressure[rows], figures)
    target = table.log_value[rows] - known.base[app, node_type]
    law = _law(table, known, rows, target, learner)
    if law is not None:
        own = own_of(table, known.habits, app, table.load[rows])
        target = target - law.log_ratio(app, node_type, own, table.pressure[rows], figures, table.beside[rows])
    model: Any = None
    if learner == "application mean":
        model = _means(table, rows, target)
    elif learner == "linear":
        model = _ridge(table, matrix(table, known, *columns, seen=seen), target)
    elif learner not in LAWS:
        rounds = ROUNDS if law is None else REST_ROUNDS
        model = _boosted(table, matrix(table, known, *columns, seen=seen), target, seed, rounds)
    return Fitted(basis=begun, learner=learner, model=model, seen=seen, law=law)


def together(parts: tuple[Fitted, ...]) -> Fitted:
    """Return the learner whose logarithm is the mean of that of its parts."""
    first = parts[0]
    return Fitted(basis=first.basis, learner="trees with additive", model=None, seen=first.seen, parts=parts)


def _law(table: Table, known: Known, rows: IntArray, target: FloatArray, learner: Learner) -> Law | Additive | None:
    if learner in ("pressure law", "law and trees"):
        return fit_law(table, known, rows, target)
    if learner == "additive law":
        return fit_additive(table, known, rows, target)
    return None


def _means(table: Table, rows: IntArray, target: FloatArray) -> FloatArray:
    """Return the mean of the target [A, T]; of all where an application was never trained on."""
    means = np.full((len(table.apps), len(table.node_types)), target.mean())
    for app, node_type in np.unique(np.column_stack([table.app[rows], table.node_type[rows]]), axis=0):
        means[app, node_type] = target[(table.app[rows] == app) & (table.node_type[rows] == node_type)].mean()
    return means


def _ridge(
    table: Table, features: FloatArray, target: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:  # fmt: skip
    """Return the weights of a ridge regression with the means and scales of its numeric columns. [std]"""
    numeric = features[:, 2:]
    known = ~np.isnan(numeric)
    count = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, numeric, 0.0).sum(axis=0) / count
    scale = np.sqrt(np.where(known, (numeric - centre) ** 2, 0.0).sum(axis=0) / count)
    scale[scale == 0] = 1.0
    design = _design(table, features, centre, scale)
    penalty = RIDGE * np.eye(design.shape[1])
    penalty[0, 0] = 0.0
    weights = np.asarray(np.linalg.solve(design.T @ design + penalty, design.T @ target), dtype=np.float64)
    return weights, np.asarray(centre, dtype=np.float64), np.asarray(scale, dtype=np.float64)


def _design(table: Table, features: FloatArray, centre: FloatArray, scale: FloatArray) -> FloatArray:
    numbers = np.nan_to_num((features[:, 2:] - centre) / scale)
    apps = features[:, :1] == np.arange(len(table.apps))
    types = features[:, 1:2] == np.arange(len(table.node_types))
    return np.hstack([np.ones((len(features), 1)), apps, types, numbers])


def _boosted(table: Table, features: FloatArray, target: FloatArray, seed: int, rounds: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    categories = [len(table.apps) <= MOST_CATEGORIES, len(table.node_types) <= MOST_CATEGORIES]
    categories += [False] * (features.shape[1] - 2)
    model = HistGradientBoostingRegressor(
        max_iter=rounds, learning_rate=RATE, max_leaf_nodes=LEAVES, l2_regularization=1.0,
        min_samples_leaf=min(max(len(target) // 60, 3), 20), monotonic_cst=monotone(table),
        categorical_features=categories, early_stopping=False, random_state=seed,
    )  # fmt: skip
    known = np.where(np.isnan(features).all(axis=0), 0.0, features)  # the trees cannot bin a column without a value
    with one_thread():
        return model.fit(known, target)
