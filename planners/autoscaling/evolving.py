"""A genetic algorithm over the weights of a small network that scales; each generation runs compiled, all at once.

After the hybrid of SealOS+ (arXiv 2505.23258; its operators are not public): tournament, uniform crossover, Gaussian
mutation and elitism are textbook [std], the cost and the exchange with reinforcement learning are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planners.autoscaling.scoring import Stretch, run
from predictors.autoscaling.state import WEIGHTS, FloatArray
from specs.policies import PolicySpec

POPULATION, ELITE, TOURNAMENT = 24, 4, 3
CROSSOVER, MUTATED, FIRST_SIGMA, SIGMA_DECAY, LEAST_SIGMA = 0.7, 0.2, 0.5, 0.95, 0.05
BREAK_PENALTY = 10.0
"""How much dearer a policy counts for each time that it is late more often than allowed."""


@dataclass(frozen=True, kw_only=True)
class Evolution:
    """A population [POPULATION, WEIGHTS] with its costs, best first, and how many generations it has seen."""

    weights: FloatArray
    costs: FloatArray
    generation: int = 0


def with_weights(policy: PolicySpec, weights: FloatArray) -> PolicySpec:
    """The policy with these weights."""
    return policy.model_copy(update={"weights": tuple(float(w) for w in weights)})


def costs_of(stretch: Stretch, policy: PolicySpec, weights: FloatArray) -> FloatArray:
    """Replica-hours of each row of ``weights``, made dearer by as much as it breaks the promise."""
    traces = run(stretch, [with_weights(policy, row) for row in weights])
    late = np.array([max(trace.violations, trace.violations_after_loss) for trace in traces])
    hours = np.array([trace.replica_hours for trace in traces])
    return np.asarray(hours * (1.0 + BREAK_PENALTY * np.maximum(late / stretch.load.late_share - 1.0, 0.0)))


def first_population(stretch: Stretch, policy: PolicySpec, seed: int) -> Evolution:
    """Networks drawn at random, one of which does nothing and one of which follows the load (ours)."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(0.0, 0.5, (POPULATION, WEIGHTS))
    weights[0] = 0.0
    weights[1] = following()
    return ranked(weights, costs_of(stretch, policy, weights), 0)


def following() -> FloatArray:
    """A network that grows where the load, or its forecast, uses more than 60 % of the replicas, and shrinks below."""
    weights = np.zeros(WEIGHTS)
    weights[0:6] = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    weights[48] = -1.2
    weights[56] = 1.0
    return weights


def ranked(weights: FloatArray, costs: FloatArray, generation: int) -> Evolution:
    """The best `POPULATION` of them, best first."""
    order = np.argsort(costs, kind="stable")[:POPULATION]
    return Evolution(weights=weights[order], costs=costs[order], generation=generation)


def evolve(stretch: Stretch, policy: PolicySpec, population: Evolution, generations: int, seed: int) -> Evolution:
    """So many generations more; each draws from the seed and its own number, so that it can be taken up anywhere."""
    for _ in range(generations):
        rng = np.random.default_rng([seed, population.generation])
        children = offspring(population, rng)
        weights = np.concatenate([population.weights[:ELITE], children])
        costs = np.concatenate([population.costs[:ELITE], costs_of(stretch, policy, children)])
        population = ranked(weights, costs, population.generation + 1)
    return population


def offspring(population: Evolution, rng: np.random.Generator) -> FloatArray:
    """Children of parents that won tournaments [POPULATION − ELITE, WEIGHTS]."""
    count = POPULATION - ELITE
    draws = rng.integers(0, POPULATION, (2, count, TOURNAMENT))
    parents = population.weights[draws.min(axis=2)]  # best first, so the lowest number wins
    mixed = np.where(rng.random((count, WEIGHTS)) < 0.5, parents[0], parents[1])
    children = np.where(rng.random((count, 1)) < CROSSOVER, mixed, parents[0])
    sigma = max(FIRST_SIGMA * SIGMA_DECAY**population.generation, LEAST_SIGMA)
    mutated = rng.random((count, WEIGHTS)) < MUTATED
    return np.asarray(children + np.where(mutated, rng.normal(0.0, sigma, (count, WEIGHTS)), 0.0))


def injected(stretch: Stretch, policy: PolicySpec, population: Evolution, weights: FloatArray) -> Evolution:
    """The population with one network more, if it is good enough to stay."""
    costs = np.append(population.costs, costs_of(stretch, policy, weights[None, :]))
    return ranked(np.vstack([population.weights, weights]), costs, population.generation)
