"""LSRAM's 17 % fewer resources: gradient descent against simpler splits on the same graphs."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

import numpy as np

from benchmarks.call_graphs import SHAPES, draw
from benchmarks.line import Line, Result
from solvers.budgets.dual import exact
from solvers.budgets.gradient import gradient
from solvers.budgets.greedy import units
from solvers.budgets.problem import Problem, Split
from solvers.budgets.rules import equal, proportional

CLAIM = 0.17
LINE = Line(
    name="lsram",
    what="resources saved by gradient descent against equal, proportional and units splits on the same graphs",
    bar="LSRAM's 17 % beside ours; no more than 0.1 % above the exact optimum",
    data="synthetic",
    best="17 % (LSRAM, its own testbed)",
)
SERVICES = (10, 30, 100)
SEEDS = 10
SLACKS = (1.2, 1.5, 2.0, 3.0, 5.0)
"""The bound over the longest path of base latencies: from tight to loose."""
NOTES = (
    "Synthetic graphs and costs as in `slo-cost`. The claim is from LSRAM's abstract, which names neither its opponents"
    " nor its application or SLO; the full text was not available, so the conditions cannot be matched.",
    "Saved: 1 − cost(gradient)/cost(opponent), real numbers of replicas, medians over shapes, sizes and seeds;"
    " `_at_least_17` is the share of graphs on which 17 % or more is saved.",
)
OPPONENTS = {"equal": equal, "proportional": proportional, "units": units}


def run() -> Result:
    """Savings against each opponent by how tight the bound is, and where the claim's 17 % lies among them."""
    rows = [_row(slack) for slack in SLACKS]
    by_shape = [_shape_row(shape) for shape in SHAPES]
    over = max(float(row["over_exact"]) for row in rows)
    saved = {name: median(float(row[name]) for row in rows) for name in OPPONENTS}
    return Result(
        holds=over <= 1.001,
        text=(
            f"saves {saved['equal']:.0%} against equal, {saved['proportional']:.0%} against proportional,"
            f" {saved['units']:.1%} against units (LSRAM claims 17 %); {over:.5f} × the exact optimum"
        ),
        figures={**{f"saved_{name}": value for name, value in saved.items()}, "over_exact": over, "claim": CLAIM},
        detail=tuple(dict(row) for row in (*rows, *by_shape)),
        notes=NOTES,
    )


def _problems(shapes: tuple[str, ...], slacks: tuple[float, ...]) -> Iterator[Problem]:
    for slack in slacks:
        for shape in shapes:
            for services in SERVICES:
                for seed in range(SEEDS):
                    yield draw(shape, services, 1_000 + seed, slack)


def _row(slack: float) -> dict[str, float | str]:
    return {"slack": slack, **_savings(SHAPES, (slack,))}


def _shape_row(shape: str) -> dict[str, float | str]:
    return {"shape": shape, **_savings((shape,), SLACKS)}


def _savings(shapes: tuple[str, ...], slacks: tuple[float, ...]) -> dict[str, float | str]:
    saved: dict[str, list[float]] = {name: [] for name in OPPONENTS}
    over = []
    for problem in _problems(shapes, slacks):
        ours = gradient(problem)
        over.append(ours.cost / exact(problem).lower)
        for name, opponent in OPPONENTS.items():
            other: Split = opponent(problem)
            saved[name].append(1.0 - ours.cost / other.cost)
    shares = {f"{name}_at_least_17": float(np.mean(np.array(values) >= CLAIM)) for name, values in saved.items()}
    return {**{name: median(values) for name, values in saved.items()}, **shares, "over_exact": max(over)}
