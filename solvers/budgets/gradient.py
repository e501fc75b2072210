"""Gradient descent on path multipliers, projected onto the bound, and its update under a changed load (after LSRAM)."""

from __future__ import annotations

import numpy as np

from solvers.budgets.dual import ascend
from solvers.budgets.feasible import answer, latencies, safe_step, shares_of
from solvers.budgets.problem import FloatArray, Problem, Split

ITERATIONS = 300
UPDATE_ITERATIONS = 40
UNCHANGED = 0.01
"""Relative change of load up to which an old split is kept as long as it holds (ours)."""
REMEMBERED = 30.0
"""Iterations' worth of an old split that an update starts with: fewer forget it, more hold on to it (ours)."""


def gradient(problem: Problem, iterations: int = ITERATIONS) -> Split:
    """Return a split near the cheapest by descent, without a proof; `NoSplitError` where there is none.

    Each way through the calls has a multiplier; they move along the gradient (how much the way is too long with the
    budgets that are cheapest at these multipliers), exponentiated so that they stay shares of one flow; at the end the
    budgets are projected onto the bound. That a split is found by gradient descent on resources, under a model from
    partial to end-to-end tails, is the paper's (abs; LSRAM, arXiv 2411.11493); its equations are not public, these
    are ours.
    """
    return _descend(problem, np.zeros(problem.calls.services), iterations)


def update(problem: Problem, old: Split, load_change: float, iterations: int = UPDATE_ITERATIONS) -> Split:
    """The second stage: ``old`` carried over to a changed ``problem`` (ours; after LSRAM's update model).

    ``load_change``: the largest relative change of a service's load. Up to UNCHANGED the old split is returned where
    it still holds; else a short descent starts from multipliers by the old budgets. `NoSplitError` where nothing holds.
    """
    step = safe_step(problem)
    if load_change <= UNCHANGED and float(latencies(problem, old.budget_s)[0]) <= problem.bound_s * (1.0 + 1e-12):
        kept = answer(problem, old.budget_s, "gradient")
        if np.isfinite(kept.cost):
            return kept
    return _descend(problem, REMEMBERED * step * old.budget_s, iterations)


def _descend(problem: Problem, theta: FloatArray, iterations: int) -> Split:
    step = safe_step(problem)
    budget = ascend(theta, 0.0, problem.bound_s, step, 0.0, iterations, iterations, shares_of(problem), *problem.flat)[
        0
    ]
    return answer(problem, budget, "gradient", iterations)
