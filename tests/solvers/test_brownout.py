"""Algorithm 1 gives the paper's worked example, keeps every token, and its two forms agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solvers.brownout import accesses, assign, group_of, inclusion, route, united_experts

WORKED = (2, 4, 1, 5, 2, 1, 2, 3)
COUNTS = st.lists(st.integers(0, 30), min_size=1, max_size=24).filter(lambda counts: sum(counts) > 0)
THRESHOLD = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.6, 0.9, 1.0])
WAY = st.sampled_from([2, 3, 4, 8])


def test_the_worked_example_of_the_paper() -> None:
    found = assign(WORKED, 0.6, 4)
    assert [expert for expert, _ in found.original] == [1, 3, 7]
    assert sum(tokens for _, tokens in found.original) == 12
    assert found.united == ((0, (0, 2), 3), (1, (4, 5, 6), 5))
    assert found.accesses == 5
    assert assign(WORKED, 1.0, 4).accesses == 8


def test_an_expert_alone_in_its_group_serves_itself() -> None:
    found = assign((9, 0, 0, 0, 1, 0), 0.5, 2)
    assert found.original == ((0, 9), (4, 1))
    assert found.united == ()


def test_full_brownout_drops_the_rest() -> None:
    found = assign(WORKED, 0.6, None)
    assert (found.accesses, found.dropped) == (3, 8)


@given(COUNTS, THRESHOLD, WAY)
def test_every_token_is_served_once(counts: list[int], threshold: float, way: int) -> None:
    found = assign(counts, threshold, way)
    served = sum(tokens for _, tokens in found.original) + sum(tokens for *_, tokens in found.united)
    assert served == sum(counts)
    assert all(group_of(expert, way) == group for group, members, _ in found.united for expert in members)
    assert all(len(members) > 1 for _, members, _ in found.united)


@given(COUNTS, THRESHOLD, st.one_of(WAY, st.none()))
def test_the_two_forms_agree(counts: list[int], threshold: float, way: int | None) -> None:
    found = assign(counts, threshold, way)
    original, united = accesses([counts, counts], threshold, way)
    assert (original[1], united[1]) == (len(found.original), len(found.united))


@given(COUNTS, THRESHOLD)
def test_the_prefix_is_the_shortest_of_the_most_popular(counts: list[int], threshold: float) -> None:
    """Brute force: no smaller set of experts reaches the threshold."""
    kept = assign(counts, threshold, None).original
    need = threshold * sum(counts) - 1e-6
    assert sum(tokens for _, tokens in kept) >= need
    assert sum(sorted(counts, reverse=True)[: max(len(kept) - 1, 0)]) < max(need, 1e-9) or not kept


@given(COUNTS, WAY)
def test_less_threshold_never_needs_more_experts_than_full_service(counts: list[int], way: int) -> None:
    found = [assign(counts, threshold, way).accesses for threshold in (0.0, 0.3, 0.7, 1.0)]
    assert max(found) == found[-1] == sum(count > 0 for count in counts)
    assert found[0] <= min(united_experts(len(counts), way), found[-1])


@pytest.mark.parametrize(
    ("counts", "threshold", "way"), [([-1, 2], 0.5, 2), ([1, 2], 1.5, 2), ([1, 2], float("nan"), 2), ([1, 2], 0.5, 0)]
)
def test_what_is_no_assignment_is_refused(counts: list[int], threshold: float, way: int) -> None:
    with pytest.raises(ValueError, match=r"expected|must"):
        assign(counts, threshold, way)


@given(st.lists(st.integers(1, 100), min_size=4, max_size=12), st.integers(1, 4))
def test_chances_add_up_and_keep_the_order(weights: list[int], top_k: int) -> None:
    chance = inclusion(weights, top_k)
    assert chance.sum() == pytest.approx(top_k)
    assert chance.max() <= 1.0 + 1e-12
    assert all(np.diff(chance[np.argsort(weights)]) >= -1e-12)


def test_routing_draws_each_expert_by_its_share_and_none_twice() -> None:
    rng = np.random.default_rng(0)
    weights = np.arange(1.0, 11.0)
    drawn = np.array([route(weights, 3, 200, rng) for _ in range(50)])
    assert (drawn.sum(axis=1) == 600).all()
    assert drawn.max() <= 200
    assert drawn.mean(axis=0) / 200 == pytest.approx(inclusion(weights, 3), abs=0.02)


@pytest.mark.parametrize("weights", [[float("nan"), 1, 1], [0, 0, 0], [1, -1, 2], [1]])
def test_what_is_no_popularity_is_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="popularity"):
        inclusion(weights, 2)
