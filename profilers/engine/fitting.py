"""Fits the step model to engine steps by least squares with no negative term, and scores it out of sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from profilers.engine.steps import Steps
from specs.engine import Fit, Seen, StepModel
from specs.errors import InputError
from specs.trace import FloatArray

TERMS = ("base_s", "per_sequence_s", "per_context_token_s", "per_prompt_s", "per_attended_pair_s")
SMOOTHNESS = 0.3  # how far slopes of neighbours are drawn together [assumed; 0.02 to 1 differ little out of fold]
FOLDS = 5
BLOCK_STEPS = 16  # about the output of a short answer: what a TPOT averages over [assumed]
FEWEST = 12  # windows below which nothing is fitted [assumed]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A step model with its error and the overhead of a request in seconds, None where no window shows it."""

    model: StepModel
    fit: Fit
    request_overhead_s: float | None


def fit_steps(steps: Steps, grid: FloatArray, seen: Seen) -> Fitted:
    """Fit the step model whose token curve bends at ``grid``.

    Absolute seconds are fitted, so that sums over many steps come out right where single steps are noisy. The error
    is of blocks of consecutive windows, each predicted by a fit of the other folds. Raises `InputError` for too few
    windows. [ours]
    """
    if len(steps) < FEWEST:
        raise InputError(
            f"{len(steps)} engine steps or requests were seen, {FEWEST} are needed for a fit",
            cure="Allow more: --max-requests, --max-seconds, or a longer run.",
        )
    block = BLOCK_STEPS if seen != "requests" else 1
    errors, found_s = _out_of_fold(steps, grid, block)
    model, overhead_s = _solve(steps, grid)
    return Fitted(
        model=model,
        request_overhead_s=overhead_s if steps.idle.any() else None,
        fit=Fit(
            seen=seen, observations=len(steps), folds=FOLDS, block_steps=block,
            error=_digits(np.quantile(np.abs(errors), 0.9)), bias=_digits(found_s.sum() / steps.seconds.sum() - 1.0),
            median_step_error=_digits(np.median(np.abs(found_s / steps.seconds - 1.0))),
        ),
    )  # fmt: skip


def predicted_s(model: StepModel, overhead_s: float, steps: Steps) -> FloatArray:
    """Return [n] seconds of each window by ``model``."""
    values = [getattr(model, term) for term in TERMS]
    columns = (steps.steps, steps.sequences, steps.context_tokens, steps.prompts, steps.pairs)
    total = np.sum([value * column for value, column in zip(values, columns, strict=True)], axis=0)
    found: FloatArray = total + steps.tokens @ np.diff(model.tokens_s) + overhead_s * steps.idle
    return found


def _out_of_fold(steps: Steps, grid: FloatArray, block: int) -> tuple[FloatArray, FloatArray]:
    """Return the relative errors of blocks, dealt to the folds in turn, and the predicted seconds of each window."""
    blocks = np.minimum(np.arange(len(steps)) // block, max(0, len(steps) // block - 1))  # the rest joins the last
    fold = blocks % FOLDS
    found = np.zeros(len(steps))
    for number in range(FOLDS):
        held = fold == number
        if held.any() and not held.all():
            found[held] = predicted_s(*_solve(steps.at(~held), grid), steps.at(held))
    sums = np.bincount(blocks, found) / np.bincount(blocks, steps.seconds)
    return sums - 1.0, found


def _solve(steps: Steps, grid: FloatArray) -> tuple[StepModel, float]:
    """Least squares over the terms, the rises of the token curve and the overhead, none of them negative."""
    from scipy.optimize import nnls  # half a second to import: not before there is something to fit

    terms = [steps.steps, steps.sequences, steps.context_tokens, steps.prompts, steps.pairs, steps.idle]
    rises = steps.tokens[:, 1:]  # from 0 to 1 token is part of the base
    matrix = np.column_stack([*terms, rises])
    scale = np.maximum(np.linalg.norm(matrix, axis=0), 1e-12)
    smooth = _smoothness(grid, len(terms)) * SMOOTHNESS * float(np.sqrt(len(steps)))
    rows = np.vstack([matrix, smooth])
    target = np.concatenate([steps.seconds, np.zeros(len(smooth))])
    solution, _ = nnls(rows / scale, target, maxiter=200 * matrix.shape[1])
    values = solution / scale
    curve = np.concatenate([[0.0, 0.0], np.cumsum(values[len(terms) :])])
    named = {term: _digits(value) for term, value in zip(TERMS, values, strict=False)}
    model = StepModel(
        tokens=tuple(map(float, grid)), tokens_s=tuple(_digits(value) for value in curve), **named
    )  # fmt: skip
    return model, float(values[len(terms) - 1])


def _smoothness(grid: FloatArray, terms: int) -> FloatArray:
    """Rows that draw the slopes of neighbouring intervals together, from the second interval on."""
    widths = np.diff(grid)[1:]
    rows = np.zeros((max(0, len(widths) - 1), terms + len(widths)))
    for row in range(len(rows)):
        rows[row, terms + row] = -widths[row + 1] / widths[row]
        rows[row, terms + row + 1] = 1.0
    return rows


def _digits(value: float) -> float:
    """Keep six digits: more than any measurement is worth."""
    return float(f"{float(value):.6g}")
