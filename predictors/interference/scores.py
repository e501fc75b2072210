"""How well interference is predicted: cross-validation by rows, applications and node types, intervals, importance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from predictors.interference.features import Table, feature_names, matrix
from predictors.interference.learners import (
    CANDIDATES,
    LEARNERS,
    TOGETHER,
    Basis,
    Fitted,
    begin,
    fit,
    together,
)
from specs.interference import Importance, Learner, Score, Split
from specs.trace import FloatArray, IntArray

FOLDS = 5
LEAST_ROWS = 30
COVERAGE = 0.9
ACCURACY_IS = "1 − mean |predicted / measured − 1| over rows held out"
OnProgress = Callable[[float, float, str], None]


@dataclass(frozen=True)
class Fold:
    """Indices of the rows trained on, of those that tell a held-out application's value alone, and of those scored."""

    train: IntArray
    calibration: IntArray
    test: IntArray


@dataclass(frozen=True)
class Held:
    """Predictions of rows held out: ``rows`` [n], ``error`` [n] = log(predicted / measured), ``fold`` [n]."""

    rows: IntArray
    error: FloatArray
    fold: IntArray
    fitted: tuple[Fitted, ...]
    folds: tuple[Fold, ...]


def folds_of(table: Table, split: Split, seed: int) -> list[Fold]:
    """Return the folds of a split; none where fewer than two applications or node types were measured.

    Windows are never split between training and scoring. Of what is held out as a whole, the rows with least pressure
    are known, and are not scored.
    """
    keys = {"rows": table.group, "application": table.app, "node type": table.node_type}[split]
    names = np.unique(keys)
    if len(names) < 2:
        return []
    count = min(FOLDS, len(names))
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = np.empty(len(names), dtype=np.int64)
    fold_of[order] = np.arange(len(names)) % count
    fold = fold_of[np.searchsorted(names, keys)]
    every = np.arange(len(table))
    return [_fold(table, split, every[fold != number], every[fold == number]) for number in range(count)]


def _fold(table: Table, split: Split, train: IntArray, held: IntArray) -> Fold:
    if split != "rows":
        low = table.low[held]
        return Fold(train, held[low], held[~low])
    pairs = np.unique(np.column_stack([table.app[train], table.node_type[train]]), axis=0)
    mine = np.column_stack([table.app[held], table.node_type[held]])
    known = (mine[:, None, :] == pairs[None, :, :]).all(axis=2).any(axis=1)
    return Fold(train, np.empty(0, dtype=np.int64), held[known])


def held_out(
    table: Table, folds: Sequence[Fold], bases: Sequence[Basis], learner: Learner, *, seed: int
) -> Held:  # fmt: skip
    """Train on each fold, of which there is one at least, and predict what it holds out."""
    fitted = [
        fit(table, fold.train, learner, seed=seed, basis=one) for fold, one in zip(folds, bases, strict=True)
    ]  # fmt: skip
    errors = [one.log_value(fold.test) - table.log_value[fold.test] for one, fold in zip(fitted, folds, strict=True)]
    return Held(
        np.concatenate([fold.test for fold in folds]),
        np.concatenate(errors),
        np.concatenate([np.full(len(fold.test), number) for number, fold in enumerate(folds)]),
        tuple(fitted),
        tuple(folds),
    )


def _held_together(parts: Sequence[Held]) -> Held:
    """Return the mean of what its parts predicted of the same rows."""
    first = parts[0]
    fitted = tuple(together(each) for each in zip(*(one.fitted for one in parts), strict=True))
    return replace(first, error=np.mean([one.error for one in parts], axis=0), fitted=fitted)


def score(table: Table, held: Held, learner: Learner, split: Split) -> Score:
    """Return accuracy, R² of the logarithm and the 90th percentile of the relative error."""
    relative = np.abs(np.exp(held.error) - 1.0)
    truth = table.log_value[held.rows]
    spread = float(((truth - truth.mean()) ** 2).sum())
    return Score(
        learner=learner, split=split, accuracy=rounded(1.0 - float(relative.mean())),
        r_squared=rounded(1.0 - float((held.error**2).sum()) / spread) if spread > 0 else None,
        p90_error=rounded(float(np.quantile(relative, 0.9))), rows=len(held.rows),
    )  # fmt: skip


def scores(table: Table, *, seed: int, quick: bool, on_progress: OnProgress) -> Iterator[tuple[Score, Held]]:
    """Yield the score of every learner on every split that is possible.

    ``quick``: of those that may be chosen on windows held out, and of the chosen one on applications held out.
    """
    splits: tuple[Split, ...] = ("rows", "application") if quick else ("rows", "application", "node type")
    learners, done = CANDIDATES if quick else LEARNERS, 0
    by_rows: list[Score] = []
    for split in splits:
        folds = [fold for fold in folds_of(table, split, seed) if len(fold.test) and len(fold.train)]
        if not folds:
            continue
        bases = [begin(table, fold.train, fold.calibration) for fold in folds]
        found: dict[Learner, Held] = {}
        for learner in learners:
            on_progress(done, len(splits) * len(LEARNERS), f"{learner}, {split} held out")
            done += 1
            if learner == "trees with additive" and found.keys() >= set(TOGETHER):
                found[learner] = _held_together([found[one] for one in TOGETHER])
            else:
                found[learner] = held_out(table, folds, bases, learner, seed=seed)
            scored = score(table, found[learner], learner, split)
            by_rows += [scored] if split == "rows" else []
            yield scored, found[learner]
        if quick and by_rows:
            learners = (chosen(by_rows),)


def chosen(scores: Sequence[Score]) -> Learner:
    """Return which of the candidates predicts windows held out best. [ours]"""
    rated = {one.learner: one.accuracy for one in scores if one.split == "rows" and one.learner in CANDIDATES}
    return max(CANDIDATES, key=lambda learner: rated.get(learner, -np.inf))


def interval(held: Held) -> tuple[float, float | None]:
    """Return the factor within which 90 % of values held out lie, and the share that held on folds left out of it.

    Split conformal on |log(predicted / measured)|: the ⌈0.9 (n + 1)⌉-th smallest, and the largest where n is too small.
    [Vovk et al. 2005; the check by fold is ours]
    """
    numbers = np.unique(held.fold)
    shares = [
        (np.abs(held.error[held.fold == one]) <= _quantile(held.error[held.fold != one])).mean() for one in numbers
    ]
    checked = float(np.mean(shares)) if len(numbers) > 1 else None
    return float(np.exp(_quantile(held.error))), None if checked is None else rounded(checked)


def _quantile(error: FloatArray) -> float:
    ordered = np.sort(np.abs(error))
    return float(ordered[min(int(np.ceil(COVERAGE * (len(ordered) + 1))), len(ordered)) - 1])


def importance(table: Table, held: Held, *, seed: int) -> list[Importance]:
    """Return by how many percentage points the error of rows held out grows when a feature is shuffled, largest first.

    [Breiman 2001, on held-out rows]
    """
    rng = np.random.default_rng(seed)
    names = feature_names(table)
    grown = np.zeros(len(names))
    for fitted, fold in zip(held.fitted, held.folds, strict=True):
        rows = fold.test
        features = matrix(
            table, fitted.known, table.app[rows], table.node_type[rows], table.load[rows],
            fitted.table.pressure[rows], table.figures[rows], seen=fitted.seen,
        )  # fmt: skip
        truth = table.log_value[rows] - fitted.known.base[table.app[rows], table.node_type[rows]]
        plain = _mape(fitted.model.predict(features) - truth)
        for column in range(len(names)):
            shuffled = features.copy()
            shuffled[:, column] = rng.permutation(shuffled[:, column])
            grown[column] += (_mape(fitted.model.predict(shuffled) - truth) - plain) * len(rows) / len(held.rows)
    found = [Importance(feature=name, points=rounded(100 * float(by))) for name, by in zip(names, grown, strict=True)]
    return sorted(found, key=lambda one: -one.points)


def _mape(error: FloatArray) -> float:
    return float(np.abs(np.exp(error) - 1.0).mean()) if len(error) else 0.0


def rounded(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")
