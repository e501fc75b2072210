from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers.covering import cheapest_cover, relaxed_cost

RATE = st.lists(st.floats(0.1, 5.0), min_size=2, max_size=3)
SEED = st.integers(0, 10_000)


def brute(rate: np.ndarray, throughput: np.ndarray, cost: np.ndarray) -> float:
    """Every assignment of cells to types, each with the fewest machines."""
    best = np.inf
    for assigned in itertools.product(range(len(cost)), repeat=len(rate)):
        if any(throughput[i, j] == 0 for i, j in enumerate(assigned)):
            continue
        load = np.zeros(len(cost))
        for i, j in enumerate(assigned):
            load[j] += rate[i] / throughput[i, j]
        best = min(best, float((np.ceil(load - 1e-9) * cost).sum()))
    return best


@settings(max_examples=30, deadline=None)
@given(rates=RATE, seed=SEED)
def test_the_cover_costs_what_brute_force_finds(rates: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    rate, cost = np.array(rates), rng.uniform(1, 5, 3)
    throughput = rng.uniform(0.3, 4, (len(rates), 3)) * (rng.random((len(rates), 3)) > 0.2)
    found, expected = cheapest_cover(rate, throughput, cost), brute(rate, throughput, cost)
    if found is None:
        assert expected == np.inf
        return
    assert found.cost == pytest.approx(expected, abs=1e-6)
    assert relaxed_cost(rate, throughput, cost) <= found.cost + 1e-9
    for j in range(3):
        mine = found.assigned == j
        assert (rate[mine] / throughput[mine, j]).sum() <= found.machines[j] + 1e-6


def test_resources_bound_the_machines() -> None:
    rate, throughput, cost = np.array([4.0]), np.array([[1.0, 1.0]]), np.array([1.0, 3.0])
    use = np.array([[2.0, 0.0], [0.0, 1.0]])  # the cheap type takes two of the first resource
    assert cheapest_cover(rate, throughput, cost) is not None
    bounded = cheapest_cover(rate, throughput, cost, use=use, available=np.array([6.0, 9.0]))
    assert bounded is not None
    assert list(bounded.machines) == [0, 4]
    assert cheapest_cover(rate, throughput, cost, use=use, available=np.array([6.0, 3.0])) is None


def test_a_cell_that_nothing_serves_has_no_cover() -> None:
    assert cheapest_cover(np.array([1.0]), np.array([[0.0]]), np.array([1.0])) is None
    assert relaxed_cost(np.array([1.0]), np.array([[0.0]]), np.array([1.0])) == np.inf


def test_nothing_is_written_to_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(3)
    for _ in range(40):
        cheapest_cover(rng.uniform(0.1, 9, 8), rng.uniform(0.1, 9, (8, 6)), rng.uniform(1, 30, 6))
    assert capfd.readouterr().out == ""
