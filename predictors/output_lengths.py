"""How long answers will be: classes and quantiles from what is known when a request arrives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from predictors.threads import one_thread
from specs.trace import FloatArray, IntArray

FITTED_SHARE = 0.6
"""The first part of the requests, in order of arrival, is fitted; the rest scores the fit."""
FEWEST = 200
"""With fewer requests no regressor is fitted."""
MOST_FITTED = 20_000
"""Of more requests every second, third, … is fitted."""
BETTER = 0.02
"""A regressor is used where its loss on the later part is this share below that of the workload's own quantile."""
MEDIAN = 0.5


@dataclass(frozen=True, kw_only=True)
class OutputLengths:
    """Predicted output tokens of every request [n], and how good they are on the part that was not fitted.

    ``median`` orders requests, ``upper`` is the quantile that memory is set aside for, before its margin.
    ``class_accuracy``: share whose class (2^(k−1), 2^k] the median prediction names. ``pinball`` and
    ``pinball_constant``: loss at the quantile of the predictor and of the workload's own quantile, in tokens.
    """

    kind: str
    features: tuple[str, ...]
    quantile: float
    median: FloatArray
    upper: FloatArray
    scored: IntArray
    class_accuracy: float
    pinball: float
    pinball_constant: float


def length_class(tokens: FloatArray | IntArray) -> IntArray:
    """Class k of each length: the smallest with tokens ≤ 2^k (ours, after UELLM's and S3's classes)."""
    return np.asarray(np.ceil(np.log2(np.maximum(tokens, 1))), dtype=np.int64)


def predict_output_lengths(
    prompt_tokens: IntArray,
    output_tokens: IntArray,
    *,
    class_index: IntArray | None = None,
    session: IntArray | None = None,
    quantile: float = 0.9,
    seed: int = 0,
) -> OutputLengths:
    """Fit on the first 60 % of the requests and score on the rest; the workload's own quantiles where that is no worse.

    Features: prompt tokens, class of request, and in a session the turn and the answer before. The regressor is
    boosted trees on the pinball loss (scikit-learn). (ours; UELLM fine-tunes an LLM on the text, which no trace has)
    """
    features, names = _features(prompt_tokens, output_tokens, class_index, session)
    n = len(output_tokens)
    fitted = max(1, int(n * FITTED_SHARE))
    scored = np.arange(fitted, n) if n > fitted else np.arange(n)
    own = {q: np.full(n, float(np.quantile(output_tokens[:fitted], q))) for q in (MEDIAN, quantile)}
    constant = pinball_loss(output_tokens[scored], own[quantile][scored], quantile)
    used: tuple[str, ...] = ()
    chosen, kind, loss = own, "workload quantiles", constant
    if n >= FEWEST and np.ptp(features, axis=0).any():
        learned = {q: _regress(features, output_tokens, fitted, q, seed) for q in (MEDIAN, quantile)}
        own_loss = pinball_loss(output_tokens[scored], learned[quantile][scored], quantile)
        if own_loss < constant * (1.0 - BETTER):
            chosen, kind, loss, used = learned, "quantile regressor", own_loss, names
    hit = length_class(chosen[MEDIAN][scored]) == length_class(output_tokens[scored])
    return OutputLengths(
        kind=kind, features=used, quantile=quantile, median=chosen[MEDIAN], upper=chosen[quantile], scored=scored,
        class_accuracy=float(hit.mean()), pinball=loss, pinball_constant=constant,
    )  # fmt: skip


def pinball_loss(actual: IntArray, predicted: FloatArray, quantile: float) -> float:
    """Mean pinball (quantile) loss, in the unit of its arguments (std)."""
    short = actual - predicted
    return float(np.mean(np.maximum(quantile * short, (quantile - 1.0) * short)))


def _features(
    prompt: IntArray, output: IntArray, class_index: IntArray | None, session: IntArray | None
) -> tuple[FloatArray, tuple[str, ...]]:
    columns, names = [np.log(prompt.astype(np.float64))], ["prompt_tokens"]
    if class_index is not None and np.ptp(class_index) > 0:
        columns.append(class_index.astype(np.float64))
        names.append("class")
    if session is not None:
        turn, before = _session_features(session, output)
        columns += [turn, before]
        names += ["turn", "answer before"]
    return np.column_stack(columns), tuple(names)


def _session_features(session: IntArray, output: IntArray) -> tuple[FloatArray, FloatArray]:
    """The turn of each request in its session, and the answer of the turn before (0 for the first)."""
    order = np.argsort(session, kind="stable")
    first = np.concatenate([[True], np.diff(session[order]) != 0])
    start = np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
    turn, before = np.empty(len(order)), np.empty(len(order))
    turn[order] = np.arange(len(order)) - start
    before[order] = np.where(first, 0.0, np.concatenate([[0.0], np.log1p(output[order][:-1])]))
    return turn, before


def _regress(features: FloatArray, output: IntArray, fitted: int, quantile: float, seed: int) -> FloatArray:
    from sklearn.ensemble import HistGradientBoostingRegressor

    model = HistGradientBoostingRegressor(
        loss="quantile", quantile=quantile, max_iter=60, max_leaf_nodes=8, min_samples_leaf=20, random_state=seed
    )
    every = max(1, fitted // MOST_FITTED)
    with one_thread():
        model.fit(features[:fitted:every], output[:fitted:every])
        return np.maximum(np.asarray(model.predict(features), dtype=np.float64), 1.0)
