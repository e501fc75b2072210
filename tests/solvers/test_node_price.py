"""The integer programme of prices against a plain look at every placement, with and without rules."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from solvers.conflicts import Rules, broken
from solvers.node_price import Offer, cheapest, covering

SERVICES, NODES = 3, 3


def drawn(seed: int) -> Offer:
    rng = np.random.default_rng(seed)
    apart = np.zeros((SERVICES, SERVICES), dtype=bool)
    apart[0, 1] = apart[1, 0] = seed % 2 == 0
    together = np.zeros_like(apart)
    together[2, 0] = seed % 3 == 0
    rules = Rules(
        allowed=rng.random((SERVICES, NODES)) < 0.8, most=rng.integers(1, 3, SERVICES), apart=apart, together=together
    )
    return Offer(
        replicas=rng.integers(1, 3, SERVICES), need=rng.uniform(1.0, 2.0, (SERVICES, 2)),
        capacity=rng.uniform(3.0, 6.0, (NODES, 2)), money=rng.uniform(0.5, 1.0, NODES), rules=rules,
    )  # fmt: skip


def by_hand(offer: Offer) -> float:
    """The least money over every way; infinite where none is allowed."""
    service = np.repeat(np.arange(SERVICES), offer.replicas)
    best = np.inf
    for way in itertools.product(range(NODES), repeat=len(service)):
        count = np.zeros((SERVICES, NODES))
        np.add.at(count, (service, np.array(way)), 1.0)
        if (count.T @ offer.need <= offer.capacity + 1e-9).all() and broken(offer.rules, count[None])[0] == 0.0:
            best = min(best, sum(offer.money[n] for n in set(way)))
    return float(best)


@pytest.mark.parametrize("seed", range(12))
def test_the_programme_finds_the_least_money_and_says_when_there_is_no_way(seed: int) -> None:
    offer = drawn(seed)
    found, best = cheapest(offer), by_hand(offer)
    assert found.proven
    if np.isinf(best):
        assert found.count is None
        assert found.bound == np.inf
        return
    assert found.money == pytest.approx(best)
    assert found.bound == pytest.approx(best)
    assert covering(offer) <= best + 1e-9
    assert found.count is not None
    assert found.count.sum(axis=1).tolist() == offer.replicas.tolist()
    assert broken(offer.rules, found.count[None].astype(float))[0] == 0.0


def test_some_of_these_problems_have_a_way_and_some_have_none() -> None:
    best = [by_hand(drawn(seed)) for seed in range(12)]
    assert any(np.isinf(one) for one in best)
    assert any(np.isfinite(one) for one in best)


def test_more_replicas_may_be_taken_where_only_their_sum_is_asked() -> None:
    one = Offer(
        replicas=np.array([1]), need=np.array([[2.0]]), capacity=np.array([[3.0], [3.0], [8.0]]),
        money=np.array([1.0, 1.0, 3.0]),
    )  # fmt: skip
    assert cheapest(one).money == pytest.approx(1.0)
    assert cheapest(replace(one, at_least=4.0)).money == pytest.approx(2.0)
    assert cheapest(replace(one, at_least=6.0)).money == pytest.approx(3.0)
    assert cheapest(replace(one, at_least=13.0)).count is None


def test_a_programme_that_is_too_large_is_not_asked() -> None:
    offer = Offer(
        replicas=np.ones(60, dtype=np.int64), need=np.ones((60, 1)), capacity=np.full((60, 1), 4.0), money=np.ones(60)
    )
    found = cheapest(offer)
    assert (found.count, found.bound, found.proven) == (None, 0.0, False)
    assert covering(offer) == pytest.approx(15.0)
