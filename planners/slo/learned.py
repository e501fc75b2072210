"""The graph network as a method: trained on drawn call graphs, kept as a document, adapted to the application."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from planners.slo.solve import Solver
from solvers.budgets import network as net
from solvers.budgets.dual import exact
from solvers.budgets.feasible import latencies
from solvers.budgets.problem import Costs, FloatArray, IntArray, Problem, Split, from_edges, linear_costs
from specs.base import Metadata
from specs.errors import InputError, MissingHardwareError
from specs.learned_model import LearnedModel, LearnedModelSpec, packed, unpacked
from specs.reading import read_document

TASK = "slo-budgets"
ROUNDS, SHOTS, SERVICES = 200, 4, (8, 40)
ADAPT_SHOTS, ADAPT_STEPS = 5, 60
LOAD_SHIFT = 0.3
HIDDEN_SPREAD = 0.8
"""σ of the lognormal factors on the slopes of each kind of service, which a task has and the features do not tell."""


def environment(seed: int, graphs: int) -> list[net.Example]:
    """Draw one task: ``graphs`` random call graphs under one hidden factor per kind of service, solved exactly.

    Synthetic: every service is called by up to two before it; latency is base + slope × load, bound 1.3 to 3 times the
    longest path of bases (ours).
    """
    rng = np.random.default_rng([seed, 29])
    factors, slack = rng.lognormal(0.0, HIDDEN_SPREAD, net.KINDS), float(rng.uniform(1.3, 3.0))
    return [_drawn(rng, factors, slack) for _ in range(graphs)]


def _drawn(rng: np.random.Generator, factors: FloatArray, slack: float) -> net.Example:
    n = int(rng.integers(*SERVICES))
    edges = [
        (int(p), j) for j in range(1, n) for p in rng.choice(j, size=min(int(rng.integers(1, 3)), j), replace=False)
    ]
    calls, base, area = from_edges(n, sorted(set(edges))), rng.uniform(0.5, 2.0, n), rng.lognormal(0.0, 1.0, n)
    kinds = rng.integers(0, net.KINDS, n)
    bound = slack * float(latencies(Problem(calls, linear_costs(area, base, np.inf), 1.0), base)[0])
    told = Problem(calls, linear_costs(area, base, bound), bound)
    true = Problem(calls, linear_costs(area * factors[kinds], base, bound), bound)
    return net.example(told, kinds, true, exact(true))


def train(seed: int, rounds: int = ROUNDS) -> LearnedModel:
    """Meta-learn the network by Reptile over ``rounds`` drawn tasks; its scores are of tasks it has not seen."""
    require_torch()
    model = net.reptile(net.network(seed), lambda k: environment(1_000_003 * seed + k, SHOTS), rounds)
    before, after = [], []
    for task in range(5):
        given = environment(1_000_003 * seed + rounds + task, ADAPT_SHOTS + 3)
        shots, unseen = given[:ADAPT_SHOTS], given[ADAPT_SHOTS:]
        before.append(net.regret(model, unseen))
        after.append(net.regret(net.adapt(model, shots, ADAPT_STEPS), unseen))
    digest = hashlib.sha256(f"{TASK} {rounds} {SHOTS} {SERVICES} {HIDDEN_SPREAD} {seed}".encode()).hexdigest()
    spec = LearnedModelSpec(
        task=TASK, seed=seed, data=f"drawn call graphs, sha256:{digest}", weights=packed(net.numbers(model)),
        scores={"regret": float(np.mean(before)), "regret_adapted": float(np.mean(after))},
    )  # fmt: skip
    return LearnedModel(metadata=Metadata(name=TASK), spec=spec)


def read_model(path: Path) -> LearnedModel:
    """Read a trained network; raises `InputError` where it is another's."""
    found = read_document(path, LearnedModel)
    if found.spec.task != TASK:
        raise InputError(f"{path}: a model of {found.spec.task!r}, {TASK!r} was expected", cure="Name another file.")
    return found


def solver_of(document: LearnedModel, seed: int) -> Solver:
    """The network as a solver: adapted to each problem by exact answers to it under shifted loads, then asked."""
    require_torch()
    try:
        model = net.with_numbers(unpacked(document.spec.weights))
    except ValueError as error:
        raise InputError(f"LearnedModel: {error}", cure="Train it again: name a file that does not exist.") from None
    return lambda problem: _proposed(model, problem, seed)


def _proposed(model: Any, problem: Problem, seed: int) -> Split:
    rng = np.random.default_rng([seed, 31])
    kinds = np.zeros(problem.calls.services, dtype=np.int64)
    shots = [_example(_shifted(problem, rng), kinds) for _ in range(ADAPT_SHOTS)]
    tuned = net.adapt(model, shots, ADAPT_STEPS)
    return net.propose(tuned, _unanswered(problem, kinds))


def _shifted(problem: Problem, rng: np.random.Generator) -> Problem:
    """The same application under loads drawn within ± 30 % of each service's."""
    costs = problem.costs
    factors = rng.uniform(1.0 - LOAD_SHIFT, 1.0 + LOAD_SHIFT, problem.calls.services)
    area = costs.area * np.repeat(factors, np.diff(costs.at))
    return Problem(problem.calls, Costs(costs.at, costs.low_s, costs.high_s, area, costs.base_s), problem.bound_s)


def _example(problem: Problem, kinds: IntArray) -> net.Example:
    return net.example(problem, kinds, problem, exact(problem))


def _unanswered(problem: Problem, kinds: IntArray) -> net.Example:
    """An example whose answer is not known: only its features are read."""
    nothing = Split(problem.costs.lowest_s, 0.0, np.zeros(problem.calls.services))
    return net.example(problem, kinds, problem, nothing)


def require_torch() -> None:
    """Raise `MissingHardwareError` where torch is not installed; let it use one thread."""
    if importlib.util.find_spec("torch") is None:
        text = "--method gcn needs torch, which is not installed"
        raise MissingHardwareError(text, cure="pip install 'tonnage[torch]'")
    import torch

    torch.set_num_threads(1)  # the graphs are small: threads would only wait for each other
