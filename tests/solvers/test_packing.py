"""The cheapest packing is what trying every assignment finds, and greedy never beats it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers.packing import FloatArray, IntArray, _greedy, cheapest_packing, is_packing


def drawn(seed: int) -> dict[str, FloatArray | IntArray]:
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 7, (4, 2)).astype(float)
    size[rng.random((4, 2)) < 0.1] = np.inf
    return {
        "size": size,
        "load": np.round(rng.uniform(0.05, 0.6, (4, 2)), 2),
        "patience": np.round(rng.uniform(0.0, 0.9, (4, 2)), 2),
        "kind": np.array([0, 0, 1, 1]),
        "capacity": rng.integers(5, 12, 2).astype(float),
        "cost": np.array([1.0, 1.7]),
    }


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_cheapest_packing_is_that_of_brute_force(seed: int) -> None:
    problem = drawn(seed)
    kind, cost = problem["kind"], problem["cost"]
    shape = {name: problem[name] for name in ("size", "load", "patience", "kind", "capacity")}
    best = np.inf
    for machine in itertools.product(range(4), repeat=4):
        chosen = np.array(machine)
        if is_packing(chosen, apart=((0, 1),), **shape):
            best = min(best, float(cost[kind[np.unique(chosen)]].sum()))
    found = cheapest_packing(apart=((0, 1),), **problem)
    assert (found is None) == np.isinf(best)
    if found is not None:
        assert found.cost == pytest.approx(best)
        assert found.gap == pytest.approx(0.0, abs=1e-5)
        assert is_packing(found.machine, apart=((0, 1),), **shape)
        greedy = _greedy(**problem, apart=((0, 1),))
        assert greedy is None or float(cost[kind[np.unique(greedy)]].sum()) >= found.cost - 1e-9


def test_an_item_that_bears_nobody_is_alone() -> None:
    one, none = np.full((2, 1), 0.1), np.array([[0.05], [0.9]])
    found = cheapest_packing(
        np.ones((2, 1)), one, none, kind=np.array([0, 0]), capacity=np.array([9.0]), cost=np.array([1.0])
    )
    assert found is not None
    assert (found.cost, len(set(found.machine.tolist()))) == (2.0, 2)
