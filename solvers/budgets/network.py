"""A graph network that proposes budgets from what is known of services, trained on exact splits and meta-learned.

Needs torch, which is imported where it is used.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.budgets.feasible import answer, latencies, shares_of, slack_of, toward_bound
from solvers.budgets.problem import FloatArray, IntArray, Problem, Split

HIDDEN, LAYERS = 32, 3
KINDS = 3
"""Kinds of services that an environment may treat differently, such as by runtime; one feature each."""
FEATURES = 6 + KINDS
INNER_STEP, INNER_STEPS = 0.02, 8
META_STEP = 0.3


@dataclass(frozen=True)
class Example:
    """A problem as the network sees it: features [services, FEATURES], mixing weights of neighbours, and the answer.

    ``target``: logarithm of each budget's excess over the least, by the bound. ``problem`` is the true one, whose costs
    may differ from what the features tell.
    """

    features: FloatArray
    rows: IntArray
    columns: IntArray
    weights: FloatArray
    target: FloatArray
    problem: Problem
    lower: float


def example(told: Problem, kinds: IntArray, true: Problem, best: Split) -> Example:
    """Put ``told`` (what is known beforehand) and ``best`` (the exact split of ``true``) into an example."""
    rows, columns, weights = _neighbours(told)
    excess = np.maximum(best.budget_s - true.costs.lowest_s, 1e-9 * true.bound_s)
    return Example(
        _features(told, kinds), rows, columns, weights, np.log(excess / true.bound_s), true, best.lower
    )  # fmt: skip


def _features(problem: Problem, kinds: IntArray) -> FloatArray:
    costs = problem.costs
    first = costs.at[:-1]
    root = np.sqrt(np.maximum(costs.area[first], 1e-12))
    slack = np.maximum(slack_of(problem), 1e-9 * problem.bound_s)
    latency = latencies(problem, costs.lowest_s)
    calls = np.bincount(problem.calls.callee, minlength=problem.calls.services)
    plain = [
        np.log(root / root.mean()), np.log(shares_of(problem)), np.log(slack / problem.bound_s),
        costs.lowest_s / problem.bound_s, latency / problem.bound_s, np.log1p(calls),
    ]  # fmt: skip
    return np.concatenate([np.stack(plain, axis=1), np.eye(KINDS)[kinds]], axis=1)


def _neighbours(problem: Problem) -> tuple[IntArray, IntArray, FloatArray]:
    """Entries of D^-½ (A + Aᵀ + I) D^-½ (std; Kipf and Welling)."""
    calls, n = problem.calls, problem.calls.services
    groups = np.repeat(np.arange(n), np.diff(calls.group_at))
    callers = np.repeat(groups, np.diff(calls.call_at))
    own = np.arange(n)
    rows = np.concatenate([callers, calls.callee, own])
    columns = np.concatenate([calls.callee, callers, own])
    degree = np.bincount(rows, minlength=n).astype(np.float64)
    return rows, columns, 1.0 / np.sqrt(degree[rows] * degree[columns])


def network(seed: int) -> Any:
    """An untrained network: graph convolutions H' = relu(Â H W + H U), then one number per service (std)."""
    import torch

    torch.manual_seed(seed)

    pairs = list(itertools.pairwise([FEATURES, *[HIDDEN] * LAYERS]))
    mixed = [torch.nn.Linear(a, b) for a, b in pairs]
    own = [torch.nn.Linear(a, b, bias=False) for a, b in pairs]
    return torch.nn.ModuleList([*mixed, *own, torch.nn.Linear(HIDDEN + FEATURES, 1)])


def loss_of(model: Any, given: Sequence[Example]) -> Any:
    """Mean squared error of the log excess, every service alike."""
    import torch

    parts = [torch.mean((_raw(model, one) - torch.tensor(one.target, dtype=torch.float32)) ** 2) for one in given]
    return torch.stack(parts).mean()


def _raw(model: Any, one: Example) -> Any:
    import torch

    places = torch.tensor(np.stack([one.rows, one.columns]))
    size = (len(one.features), len(one.features))
    values = torch.tensor(one.weights, dtype=torch.float32)
    matrix = torch.sparse_coo_tensor(places, values, size, check_invariants=False)
    features = torch.tensor(one.features, dtype=torch.float32)
    h = features
    for mixed, own in zip(model[:LAYERS], model[LAYERS : 2 * LAYERS], strict=True):
        h = torch.relu(mixed(torch.sparse.mm(matrix, h)) + own(h))
    return model[-1](torch.cat([h, features], dim=1)).squeeze(1)


def adapt(
    model: Any, shots: Sequence[Example], steps: int, step: float = INNER_STEP,
    watch: Callable[[int, Any], bool] = lambda done, model: False,
) -> Any:  # fmt: skip
    """Return a copy of ``model`` after ``steps`` of Adam on ``shots``; ``watch(steps done, model)`` may end it."""
    import torch

    found = copy.deepcopy(model)
    descent = torch.optim.Adam(found.parameters(), lr=step)
    for done in range(steps):
        if watch(done, found):
            return found
        descent.zero_grad()
        loss_of(found, shots).backward()
        descent.step()
    watch(steps, found)
    return found


def reptile(model: Any, draw: Callable[[int], Sequence[Example]], rounds: int) -> Any:
    """Meta-learn: θ ← θ + β(θ_τ − θ), θ_τ after a few steps on the task ``draw(round)`` (std; Reptile)."""
    import torch

    found = copy.deepcopy(model)
    for k in range(rounds):
        tuned = adapt(found, draw(k), INNER_STEPS)
        beta = META_STEP * (1.0 - k / rounds)
        with torch.no_grad():
            for mine, theirs in zip(found.parameters(), tuned.parameters(), strict=True):
                mine += beta * (theirs - mine)
    return found


def propose(model: Any, one: Example) -> Split:
    """The network's split of the true problem: its excesses, projected onto the bound, slack given back."""
    import torch

    with torch.no_grad():
        excess = np.exp(_raw(model, one).numpy().astype(np.float64)) * one.problem.bound_s
    costs = one.problem.costs
    budget = np.minimum(costs.lowest_s + excess, np.maximum(costs.highest_s, costs.lowest_s))
    return answer(one.problem, toward_bound(one.problem, budget), "gcn")


def regret(model: Any, given: Sequence[Example]) -> float:
    """Mean of cost over the exact optimum, less one."""
    return float(np.mean([propose(model, one).cost / one.lower - 1.0 for one in given]))


def numbers(model: Any) -> list[FloatArray]:
    """The trained parameters, in the order of the network's own list."""
    return [each.detach().numpy() for each in model.parameters()]


def with_numbers(values: Sequence[FloatArray]) -> Any:
    """A network with these parameters; ValueError where they do not fit."""
    import torch

    found = network(0)
    own = list(found.parameters())
    if [tuple(each.shape) for each in own] != [tuple(np.shape(value)) for value in values]:
        raise ValueError("the parameters are of another network")
    with torch.no_grad():
        for mine, value in zip(own, values, strict=True):
            mine.copy_(torch.tensor(np.asarray(value, dtype=np.float32)))
    return found
