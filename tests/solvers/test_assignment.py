"""Placements against a plain count of every way, and what must hold of any of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from solvers import assignment
from solvers.assignment import Problem, costs, least_money, place


def drawn(seed: int, replicas: int = 6, nodes: int = 3) -> Problem:
    rng = np.random.default_rng(seed)
    services = 3
    call_s = np.full((nodes, nodes), 0.002) * (1.0 - np.eye(nodes))
    return Problem(
        service=np.sort(np.arange(replicas) % services), need=rng.uniform(0.5, 2.0, (services, 2)),
        capacity=rng.uniform(6.0, 9.0, (nodes, 2)), money=rng.uniform(0.5, 1.0, nodes), cores=np.full(nodes, 8.0),
        traffic=rng.uniform(0.0, 300.0, (services, services)) * np.triu(np.ones((services, services)), 1),
        call_s=call_s, busy=rng.uniform(0.2, 1.0, services), slowdown=rng.uniform(0.0, 0.5, services),
    )  # fmt: skip


def by_hand(problem: Problem, node: tuple[int, ...]) -> float:
    """The cost in plain loops; infinite where a node is overfull."""
    replicas, nodes = range(len(node)), range(len(problem.capacity))
    each = np.bincount(problem.service)
    load = [sum(problem.busy[problem.service[r]] for r in replicas if node[r] == n) for n in nodes]
    for n, d in itertools.product(nodes, range(2)):
        if sum(problem.need[problem.service[r], d] for r in replicas if node[r] == n) > problem.capacity[n, d] + 1e-9:
            return float("inf")
    money = sum(problem.money[n] for n in set(node))
    network = sum(
        problem.traffic[problem.service[a], problem.service[b]] * problem.call_s[node[a], node[b]]
        / (each[problem.service[a]] * each[problem.service[b]])
        for a, b in itertools.product(replicas, replicas)
    )  # fmt: skip
    lost = sum(
        problem.busy[s] * problem.slowdown[s] * (load[node[r]] - problem.busy[s]) / problem.cores[node[r]]
        for r, s in zip(replicas, problem.service.tolist(), strict=True)
    )
    mean = sum(load) / sum(problem.cores[n] for n in set(node))
    uneven = sum((load[n] / problem.cores[n] - mean) ** 2 * problem.cores[n] for n in set(node))
    return float(problem.money_weight * money + network + lost + problem.balance_weight * uneven)


@pytest.mark.parametrize("seed", range(4))
def test_exact_is_the_best_of_every_way_and_genetic_is_near(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = drawn(seed)
    best = min(by_hand(problem, way) for way in itertools.product(range(3), repeat=6))
    found = place(problem)
    assert (found.method, found.feasible) == ("exact", True)
    assert found.cost == pytest.approx(best, rel=1e-9)
    monkeypatch.setattr(assignment, "EXACT_WAYS", 0)
    evolved = place(problem, seed=seed)
    assert evolved.method == "genetic with swaps"
    assert best - 1e-9 <= evolved.cost <= 1.02 * best
    assert evolved.bound <= found.money + 1e-9


def test_a_large_placement_holds_and_is_the_same_for_a_seed() -> None:
    problem = drawn(7, replicas=30, nodes=10)
    first, again = place(problem, seed=3), place(problem, seed=3)
    assert first.feasible
    assert first.node.tolist() == again.node.tolist()
    assert least_money(problem) <= first.money
    spread = (np.arange(30) % 10)[None]
    assert first.cost <= costs(problem, spread)[0]


def test_services_that_talk_are_put_together_where_they_fit() -> None:
    problem = Problem(
        service=np.array([0, 1, 2, 3]), need=np.ones((4, 1)), capacity=np.full((2, 1), 2.0), money=np.ones(2),
        cores=np.full(2, 2.0), busy=np.full(4, 0.5), slowdown=np.zeros(4),
        traffic=np.array([[0, 0, 0, 900.0], [0, 0, 800.0, 0], [0, 0, 0, 1.0], [0, 0, 0, 0]]),
        call_s=0.001 * (1.0 - np.eye(2)),
    )  # fmt: skip
    node = place(problem).node
    assert node[0] == node[3] != node[1] == node[2]


def test_what_does_not_fit_is_said() -> None:
    problem = drawn(1, replicas=60)
    found = place(problem)
    assert not found.feasible
    assert least_money(problem) == np.inf
