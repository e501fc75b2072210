"""One method's answer: budgets by its solver, bounds adjusted to the composition, whole replicas."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from planners.slo.compose import Composer
from planners.slo.graph import problem_calls
from solvers.budgets.closed_form import closed_form
from solvers.budgets.dual import exact
from solvers.budgets.gradient import gradient, update
from solvers.budgets.greedy import units
from solvers.budgets.problem import FloatArray, IntArray, NoSplitError, Problem, Split
from solvers.budgets.rules import equal, proportional
from solvers.budgets.whole import Whole, whole

Method = Literal["exact", "gradient", "units", "equal", "proportional"]
ROUNDS = 8
LEAST_FACTOR = 0.5
STRIDE = 0.3  # of its distance to the least latencies that a bound keeps at least from one round to the next
CLOSE = 1e-3  # how closely the composed latencies must meet their bounds from below


@dataclass(frozen=True)
class Solved:
    """A split with its whole replicas; bounds are those that the solver was given, one per entrance.

    ``composed_s``: latency at each entrance with the whole replicas, by the composition asked for.
    """

    method: str
    problem: Problem
    split: Split
    whole: Whole
    bounds_s: tuple[float, ...]
    composed_s: FloatArray
    cpu_s: float


Solver = Callable[[Problem], Split]


def best(problem: Problem) -> Split:
    """The exact split: in closed form where that applies, else by the dual programme."""
    return closed_form(problem) or exact(problem)


SOLVERS: dict[str, Solver] = {
    "exact": best, "gradient": gradient, "units": units, "equal": equal, "proportional": proportional,
}  # fmt: skip


def solve(composer: Composer, solver: Solver, method: str, factors: Sequence[float]) -> Solved:
    """Solve until what the budgets compose to meets every bound times its factor; `NoSplitError` where nothing does.

    The solver adds budgets up. Where the composition or a percentile of its own gives an entrance another latency
    than that sum, its bound is scaled by their ratio at the last answer and the split is made again, up to eight
    times. [ours]
    """
    started = time.process_time()
    question = composer.question
    wanted = np.array([one.bound_s * f for one, f in zip(question.entrances, factors, strict=True)])
    least = composer.least
    shortest, floor = composer.values(least), composer.reference(least)
    if np.any(shortest >= wanted):
        worst = int(np.argmax(shortest / wanted))
        raise NoSplitError(composer.path(worst), float(shortest[worst]))
    bounds = wanted * floor / shortest
    for _ in range(ROUNDS):
        calls, longest = problem_calls(question.graph, question.among, question.entrances, bounds.tolist())
        problem = Problem(calls, composer.costs, longest)
        split = solver(problem)
        rates = rates_at(composer, split.budget_s)
        ratio = composer.values(rates) / np.maximum(composer.reference(rates), 1e-300)
        following = wanted / ratio
        following = np.maximum(following, floor + STRIDE * (bounds - floor))
        settled = np.abs(following / bounds - 1.0) < CLOSE
        if np.all(settled):
            break
        bounds = np.where(settled, bounds, following)
    found = whole(problem, composer.stations, split, split.lower + float(composer.fixed.sum()))
    if found is None:  # a curve that is not convex lies above its hull: more room is needed
        if min(factors) < LEAST_FACTOR:
            raise NoSplitError(composer.path(0), float(shortest[0]))
        return solve(composer, solver, method, [0.95 * f for f in factors])
    own = composer.stations.load_per_s / found.replicas
    seconds = time.process_time() - started
    return Solved(method, problem, split, found, tuple(bounds.tolist()), composer.values(own), seconds)


def rates_at(composer: Composer, budget_s: FloatArray) -> FloatArray:
    """Load per replica at which each service's latency is its budget; its own load where one replica keeps it."""
    given = composer.stations
    found = np.zeros(len(budget_s))
    for i in range(1, len(budget_s)):
        knots = slice(int(given.at[i]), int(given.at[i + 1]))
        value = given.latency_s[knots]
        rising = value + 1e-12 * value[-1] * np.arange(len(value))
        found[i] = min(float(np.interp(budget_s[i], rising, given.rate_per_s[knots])), float(given.load_per_s[i]))
    return found


def updated(old: Split, change: float) -> Solver:
    """The gradient's second stage as a solver: ``old`` carried over to the problem it is given."""
    return lambda problem: update(problem, old, change)


def replicas_of(composer: Composer, solved: Solved) -> IntArray:
    """Whole replicas of every service of the application; those that nobody waits for at their highest load."""
    question = composer.question
    found = np.zeros(len(question.graph.names), dtype=np.int64)
    for i, curve in enumerate(question.curves):
        if curve is not None:
            found[i] = max(int(np.ceil(question.graph.load_per_s[i] / curve.rate_per_s[-1] - 1e-9)), 1)
    found[question.among.services] = solved.whole.replicas[1:]
    return found
