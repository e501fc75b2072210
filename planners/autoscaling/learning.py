"""Learned and evolved policies: TD3 (after MSARS) and the genetic algorithm with it (after SealOS+), trained here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from planners.autoscaling.evolving import (
    Evolution,
    costs_of,
    evolve,
    first_population,
    following,
    injected,
    with_weights,
)
from planners.autoscaling.families import lowest, most_replicas
from planners.autoscaling.reinforcing import Learner, require
from planners.autoscaling.scoring import Stretch
from predictors.autoscaling.looking import DAY_S
from predictors.autoscaling.state import FloatArray
from specs.policies import Forecasting, PolicySpec
from specs.writing import write_atomically

SEGMENT_STEPS, SEGMENTS = 500, 6
GENERATIONS, ROUNDS, SHORT_STEPS = 12, 3, 400
"""TD3: six segments of 500 decisions. The hybrid: three rounds of twelve generations and 400 decisions."""
SYNC_S = 60.0
STEP_SHARE = 0.2
"""The largest change at once, as a share of the largest number of replicas."""


def blank(kind: Literal["td3", "ga-rl"], stretch: Stretch) -> PolicySpec:
    """The policy without weights: bounds, step and what it is told of the time to come."""
    most = most_replicas(stretch.load, stretch.scaling, float(stretch.view.rate_per_s[: stretch.last].max()))
    return PolicySpec(
        kind=kind, min_replicas=lowest(stretch.scaling), max_replicas=most, sync_s=max(SYNC_S, stretch.view.tick_s),
        metrics_window_s=stretch.scaling.metrics_window_s,
        max_step=stretch.scaling.max_step or max(round(STEP_SHARE * most), 2),
        forecast=Forecasting(season_s=stretch.view.season_s or DAY_S, quantile=0.9, lead_s=0.0,
                             late_share=stretch.load.late_share),
    )  # fmt: skip


def learn(
    kind: Literal["td3", "ga-rl"], stretch: Stretch, training: Path | None, seed: int,
    on_step: Callable[[str], None] = lambda what: None,
) -> PolicySpec:  # fmt: skip
    """Train on the stretch and return the best policy seen; raises `MissingHardwareError` without the extra `torch`."""
    require()
    policy = blank(kind, stretch)
    folder = training / _key(kind, stretch, policy, seed) if training else None
    weights = (
        _td3(stretch, policy, folder, seed, on_step)
        if kind == "td3"
        else _hybrid(stretch, policy, folder, seed, on_step)
    )
    return with_weights(policy, np.array([float(f"{w:.9g}") for w in weights]))


def _key(kind: str, stretch: Stretch, policy: PolicySpec, seed: int) -> str:
    """A folder of its own for every training: what is trained, on what, and from which seed."""
    digest = hashlib.sha256(stretch.view.rate_per_s[: stretch.last].tobytes())
    digest.update(policy.model_dump_json().encode())
    digest.update(stretch.scaling.model_dump_json().encode())
    digest.update(f"{stretch.load.capacity.per_s} {stretch.load.bound_s} {stretch.load.late_share}".encode())
    return f"{kind}-{stretch.load.name}-seed{seed}-{digest.hexdigest()[:12]}"


def _td3(
    stretch: Stretch, policy: PolicySpec, folder: Path | None, seed: int, on_step: Callable[[str], None]
) -> FloatArray:
    """The best actor after any segment, by its cost on the whole stretch; it begins with one that follows the load."""
    learner = Learner(stretch, policy, seed, folder)
    best, cost = _kept(folder)
    if learner.segment == 0:
        learner.begin_with(following())
    while learner.segment < SEGMENTS:
        on_step(f"{stretch.load.name}: td3, segment {learner.segment + 1} of {SEGMENTS}")
        weights = learner.learn(SEGMENT_STEPS)
        found = float(costs_of(stretch, policy, weights[None, :])[0])
        if found < cost:
            best, cost = weights, found
            _keep(folder, best, cost)
    assert best is not None
    return best


def _kept(folder: Path | None) -> tuple[FloatArray | None, float]:
    if folder is None or not (folder / "best.json").exists():
        return None, np.inf
    kept = json.loads((folder / "best.json").read_text())
    return np.array(kept["weights"]), float(kept["cost"])


def _keep(folder: Path | None, weights: FloatArray, cost: float) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "best.json", json.dumps({"weights": weights.tolist(), "cost": cost}), force=True)


def _hybrid(
    stretch: Stretch, policy: PolicySpec, folder: Path | None, seed: int, on_step: Callable[[str], None]
) -> FloatArray:
    """Rounds of generations, then of TD3 begun with the best network, whose actor joins the population."""
    population, learner = _population(folder) or first_population(stretch, policy, seed), None
    while population.generation < GENERATIONS * ROUNDS:
        on_step(f"{stretch.load.name}: ga-rl, generation {population.generation} of {GENERATIONS * ROUNDS}")
        population = evolve(stretch, policy, population, GENERATIONS, seed)
        learner = learner or Learner(stretch, policy, seed, folder)
        learner.begin_with(population.weights[0])
        population = injected(stretch, policy, population, learner.learn(SHORT_STEPS))
        _save_population(folder, population)
    return np.asarray(population.weights[0])


def _population(folder: Path | None) -> Evolution | None:
    if folder is None or not (folder / "population.npz").exists():
        return None
    with np.load(folder / "population.npz") as kept:
        return Evolution(weights=kept["weights"], costs=kept["costs"], generation=int(kept["generation"]))


def _save_population(folder: Path | None, population: Evolution) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "new-population.npz", weights=population.weights, costs=population.costs,
                 generation=population.generation)  # fmt: skip
        (folder / "new-population.npz").replace(folder / "population.npz")
