"""Placements against a plain count of every way, and what must hold of any of them."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from solvers import assignment
from solvers.assignment import Problem, costs, offer, place
from solvers.conflicts import Rules, broken
from solvers.node_price import covering


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
    assert covering(offer(problem)) <= first.bound <= first.money
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
    assert covering(offer(problem)) == np.inf


def ruled(seed: int, replicas: int = 6, nodes: int = 3) -> Problem:
    """Service 0 apart from 1, 2 beside 0, and 1 on every node but the first, one at a time."""
    problem = drawn(seed, replicas, nodes)
    apart, together = np.zeros((3, 3), dtype=bool), np.zeros((3, 3), dtype=bool)
    apart[0, 1] = apart[1, 0] = together[2, 0] = True
    allowed = np.ones((3, nodes), dtype=bool)
    allowed[1, 0] = False
    most = np.array([replicas, max(replicas // 6, 1), replicas])
    return replace(problem, rules=Rules(allowed=allowed, most=most, apart=apart, together=together))


def against(problem: Problem, node: tuple[int, ...]) -> float:
    count = np.zeros((3, len(problem.capacity)))
    np.add.at(count, (problem.service, np.array(node)), 1.0)
    return float(broken(problem.rules, count[None])[0])


@pytest.mark.parametrize("seed", range(4))
def test_rules_are_kept_by_both_ways_and_exact_is_the_best_that_keeps_them(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = ruled(seed)
    kept = [way for way in itertools.product(range(3), repeat=6) if against(problem, way) == 0.0]
    assert 0 < len(kept) < 3**6
    best = min(by_hand(problem, way) for way in kept)
    found = place(problem)
    if np.isinf(best):
        assert not found.feasible
        return
    assert found.feasible
    assert found.cost == pytest.approx(best, rel=1e-9)
    monkeypatch.setattr(assignment, "EXACT_WAYS", 0)
    evolved = place(problem, seed=seed)
    assert evolved.feasible
    assert best - 1e-9 <= evolved.cost <= 1.05 * best


def test_rules_are_kept_where_there_are_many_replicas() -> None:
    problem = ruled(5, replicas=30, nodes=12)
    found = place(problem, seed=1)
    assert found.feasible
    assert against(problem, tuple(found.node.tolist())) == 0.0
    assert found.money >= found.bound >= place(replace(problem, rules=None), seed=1).bound - 1e-9


def test_the_price_of_every_way_is_bound_by_the_cheapest_of_them() -> None:
    problem = drawn(2)
    least = min(
        sum(problem.money[n] for n in set(way))
        for way in itertools.product(range(3), repeat=6)
        if np.isfinite(by_hand(problem, way))
    )
    assert place(problem).bound == pytest.approx(least)
