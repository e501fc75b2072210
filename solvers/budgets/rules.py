"""Simple splits to compare with: equal slack, and in proportion to the least budgets."""

from __future__ import annotations

import numpy as np

from solvers.budgets.feasible import answer, latencies, shares_of, slack_of
from solvers.budgets.problem import FloatArray, Problem, Split


def equal(problem: Problem) -> Split:
    """Each service gets its least budget and an equal part of the slack of the longest way through it (std)."""
    slack = slack_of(problem)
    return _within(problem, problem.costs.lowest_s + slack / shares_of(problem), "equal")


def proportional(problem: Problem) -> Split:
    """Each service gets a part of the bound in proportion to its least budget (after GrandSLAm's stage slack; std)."""
    least = problem.costs.lowest_s
    slack, latency = slack_of(problem), latencies(problem, problem.costs.lowest_s)
    through = latency[0] - (slack - slack[0])  # at the root; exact where no call counts more than once
    return _within(problem, least * problem.bound_s / np.maximum(through, latency), "proportional")


def _within(problem: Problem, budget_s: FloatArray, method: str) -> Split:
    """The split as the rule gives it, no budget beyond what makes it cheaper; scaled where calls count many times."""
    found = np.minimum(budget_s, problem.costs.highest_s)
    over = float(latencies(problem, found)[0])
    if over > problem.bound_s:
        low = float(latencies(problem, problem.costs.lowest_s)[0])
        found = problem.costs.lowest_s + (problem.bound_s - low) / (over - low) * (found - problem.costs.lowest_s)
    return answer(problem, found, method)
