"""The cheapest packing is what trying every assignment finds, and greedy never beats it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers.item_packing import FloatArray, _greedy, cheapest_packing, is_packing


def drawn(seed: int) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Sizes, loads and patience of four items on two types, and the types' capacities."""
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 7, (4, 2)).astype(float)
    size[rng.random((4, 2)) < 0.1] = np.inf
    load = np.round(rng.uniform(0.05, 0.6, (4, 2)), 2)
    patience = np.round(rng.uniform(0.0, 0.9, (4, 2)), 2)
    return size, load, patience, rng.integers(5, 12, 2).astype(float)


KIND, COST, APART = np.array([0, 0, 1, 1]), np.array([1.0, 1.7]), ((0, 1),)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), most_load=st.sampled_from([0.7, 1.0, 4.0]))
def test_the_cheapest_packing_is_that_of_brute_force(seed: int, most_load: float) -> None:
    size, load, patience, capacity = drawn(seed)
    best = np.inf
    for machine in itertools.product(range(4), repeat=4):
        chosen = np.array(machine)
        if is_packing(chosen, size, load, patience, KIND, capacity, APART, most_load):
            best = min(best, float(COST[KIND[np.unique(chosen)]].sum()))
    found = cheapest_packing(
        size, load, patience, kind=KIND, capacity=capacity, cost=COST, apart=APART, most_load=most_load
    )
    assert (found is None) == np.isinf(best)
    if found is not None:
        assert found.cost == pytest.approx(best)
        assert found.gap == pytest.approx(0.0, abs=1e-5)
        assert is_packing(found.machine, size, load, patience, KIND, capacity, APART, most_load)
        greedy = _greedy(size, load, patience, KIND, capacity, COST, APART, most_load)
        assert greedy is None or float(COST[KIND[np.unique(greedy)]].sum()) >= found.cost - 1e-9


def test_an_item_that_bears_nobody_is_alone() -> None:
    one, none = np.full((2, 1), 0.1), np.array([[0.05], [0.9]])
    found = cheapest_packing(
        np.ones((2, 1)), one, none, kind=np.array([0, 0]), capacity=np.array([9.0]), cost=np.array([1.0])
    )
    assert found is not None
    assert (found.cost, len(set(found.machine.tolist()))) == (2.0, 2)
