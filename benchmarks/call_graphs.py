"""Call graphs and costs drawn at random, as the SLO benchmarks use them: synthetic, by seed."""

from __future__ import annotations

import itertools

import numpy as np

from solvers.budgets.feasible import latencies
from solvers.budgets.problem import Calls, Problem, chain, from_edges, linear_costs

SHAPES = ("chain", "fan-out", "shared", "random")
SLACK = 2.0  # the bound over the longest path of base latencies
BASE_MS = (0.5, 2.0)
SPREAD = 1.0  # σ of the lognormal of price × load × slope


def draw(shape: str, services: int, seed: int, slack: float = SLACK) -> Problem:
    """A graph of one of `SHAPES` with latency base + slope × load per replica at every service.

    ``shared``: five tiers, each service called by two of the tier above. ``random``: every service is called by two
    drawn uniformly from all before it, so that there are two calls per service.
    """
    rng = np.random.default_rng(seed)
    calls = _calls(shape, services, rng)
    area, base = rng.lognormal(0.0, SPREAD, services), rng.uniform(*BASE_MS, services)
    costs = linear_costs(area, base, np.inf)
    bound = slack * float(latencies(Problem(calls, costs, 1.0), base)[0])
    return Problem(calls, linear_costs(area, base, bound), bound)


def _calls(shape: str, services: int, rng: np.random.Generator) -> Calls:
    if shape == "chain":
        return chain(services)
    if shape == "fan-out":
        return from_edges(services, [(0, j) for j in range(1, services)])
    if shape == "shared":
        return from_edges(services, _tiers(services, rng))
    edges = [(int(p), j) for j in range(1, services) for p in rng.choice(j, size=min(2, j), replace=False)]
    return from_edges(services, edges)


def _tiers(services: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Services 1 … in five tiers of equal size below the root; two callers each from the tier above."""
    edges = [np.arange(1), *np.array_split(np.arange(1, services), min(5, services - 1))]
    found = []
    for above, below in itertools.pairwise(edges):
        for j in below.tolist():
            callers = rng.choice(above, size=min(2, len(above)), replace=False)
            found += [(int(p), j) for p in callers.tolist()]
        silent = set(above.tolist()) - {caller for caller, _ in found}
        found += [(int(p), int(rng.choice(below))) for p in silent]
    return sorted(set(found))
