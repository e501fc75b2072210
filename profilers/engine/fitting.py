"""Fits the step model to engine steps by least squares, in which only small batches' curve may fall; scores it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from profilers.engine.steps import Steps
from specs.engine import MAY_FALL_TOKENS, Fit, Seen, StepModel
from specs.errors import InputError
from specs.trace import FloatArray

TERMS = ("base_s", "per_sequence_s", "per_context_token_s", "per_prompt_s", "per_attended_pair_s")
# How far slopes of neighbours are drawn together [assumed; a third or three times as much differs little out of fold].
# A request is a sum over many steps, and tells little of any of them.
SMOOTHNESS: dict[Seen, float] = {"probes": 0.03, "step log": 0.03, "requests": 0.3}
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
    smoothness = SMOOTHNESS[seen]
    errors, found_s = _out_of_fold(steps, grid, block, smoothness)
    model, overhead_s = _solve(steps, grid, smoothness)
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


def _out_of_fold(steps: Steps, grid: FloatArray, block: int, smoothness: float) -> tuple[FloatArray, FloatArray]:
    """Return the relative errors of blocks, dealt to the folds in turn, and the predicted seconds of each window."""
    blocks = np.minimum(np.arange(len(steps)) // block, max(0, len(steps) // block - 1))  # the rest joins the last
    fold = blocks % FOLDS
    found = np.zeros(len(steps))
    for number in range(FOLDS):
        held = fold == number
        if held.any() and not held.all():
            found[held] = predicted_s(*_solve(steps.at(~held), grid, smoothness), steps.at(held))
    sums = np.bincount(blocks, found) / np.bincount(blocks, steps.seconds)
    return sums - 1.0, found


def _solve(steps: Steps, grid: FloatArray, smoothness: float) -> tuple[StepModel, float]:
    """Least squares over the terms, the overhead and the rises of the token curve: none negative but small batches'.

    Kernels change with the batch: four sequences may take less than two.
    """
    from scipy.optimize import nnls  # half a second to import: not before there is something to fit

    terms = [steps.steps, steps.sequences, steps.context_tokens, steps.prompts, steps.pairs, steps.idle]
    rises = steps.tokens[:, 1:]  # from 0 to 1 token is part of the base
    small = int(np.sum(grid[2:] <= MAY_FALL_TOKENS))
    matrix = np.column_stack([*terms, rises, -rises[:, :small]])
    scale = np.maximum(np.linalg.norm(matrix, axis=0), 1e-12)
    smooth = _smoothness(grid, len(terms)) * smoothness * float(np.sqrt(len(steps)))
    falls = -smooth[:, len(terms) : len(terms) + small]
    rows = np.vstack([matrix, np.hstack([smooth, falls])])
    target = np.concatenate([steps.seconds, np.zeros(len(smooth))])
    solution, _ = nnls(rows / scale, target, maxiter=200 * matrix.shape[1])
    values, rise, fall = np.split(solution / scale, [len(terms), len(terms) + rises.shape[1]])
    rise[:small] -= fall
    return _model(values, np.concatenate([[0.0, 0.0], np.cumsum(rise)]), grid), float(values[-1])


def _model(values: FloatArray, curve: FloatArray, grid: FloatArray) -> StepModel:
    """Name the terms; where the curve falls below that of one token, the base gives way: neither is negative."""
    named = dict(zip(TERMS, values, strict=False))
    shift = min(named["base_s"], max(0.0, -float(curve.min())))
    named["base_s"] -= shift
    seconds = np.append(0.0, np.maximum(curve[1:] + shift, 0.0))
    return StepModel(
        tokens=tuple(map(float, grid)), tokens_s=tuple(_digits(value) for value in seconds),
        **{term: _digits(value) for term, value in named.items()},
    )  # fmt: skip


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
