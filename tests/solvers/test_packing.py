"""Packing with interference against brute force, its exact optimum and its lower bound."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers.packing import Packing, Placement, best_fit, evaluate, pack, spread_least_allocated
from solvers.packing_bound import lower_bound
from solvers.packing_exact import exact

EFFORT = 0.02  # small problems need few proposals


def problem(
    seed: int, *, stock: tuple[int, ...] = (2, 2, 1), nodes: tuple[int, ...] = (2, 1), axes: int = 2
) -> Packing:
    """A random problem: slowdowns that rise along every axis, some classes best effort."""
    rng = np.random.default_rng(seed)
    classes, types, points = len(stock), len(nodes), 4
    cores = np.array([8.0, 16.0])[:types]
    low = rng.random(classes) < 0.3
    asked = np.column_stack([rng.uniform(0.5, 4, classes), rng.uniform(1, 8, classes)])
    used = asked * rng.uniform(0.3, 0.9, (classes, 2))
    rises = rng.gamma(0.5, 0.3, (classes, types, *(points,) * axes))
    for d in range(axes):
        rises = np.cumsum(rises, axis=2 + d)
    return Packing(
        need=np.column_stack([np.where(low[:, None], 0.0, asked), np.ones(classes)]),
        share=np.where(low[:, None], asked, used), is_low=low, most=np.array(stock),
        apart=np.zeros((classes, classes), dtype=np.bool_), together=np.zeros((classes, classes), dtype=np.bool_),
        allowed=np.ones((classes, types), dtype=np.bool_),
        room=np.column_stack([cores, 4 * cores, np.full(types, 9.0)]),
        batch_room=np.column_stack([0.6 * cores, 0.65 * 4 * cores]), weight=np.where(low, 0.2, 1.0) * used[:, 0],
        emits=np.column_stack([used[:, 0], *(rng.gamma(1, 2, classes) for _ in range(axes - 1))]),
        axes=tuple(np.array([0.0, 2.0, 5.0, 12.0]) for _ in range(axes)), excess=rises, stock=np.array(stock),
        nodes=np.array(nodes), node_cost=0.1 * cores,
    )  # fmt: skip


def allowed(packing: Packing, where: np.ndarray) -> bool:
    """Whether a placement keeps every rule, told apart from the kernel by plain sums."""
    for n, t in enumerate(packing.kind):
        here = packing.pod_class[where == n]
        if (packing.need[here].sum(axis=0) > packing.room[t] + 1e-9).any() or not packing.allowed[here, t].all():
            return False
        if packing.is_low[here].any() and (packing.share[here].sum(axis=0) > packing.batch_room[t] + 1e-9).any():
            return False
        if any((here == c).sum() > packing.most[c] for c in here) or packing.apart[np.ix_(here, here)].any():
            return False
        if any(packing.together[c, d] and d not in here for c in here for d in range(len(packing.stock))):
            return False
    return True


def brute_force(packing: Packing) -> float:
    """The least cost over every assignment of pods to nodes."""
    pods, nodes = len(packing.pod_class), len(packing.kind)
    every = (np.array(where) for where in itertools.product(range(nodes), repeat=pods))
    return min((evaluate(packing, where, "").cost for where in every if allowed(packing, where)), default=np.inf)


@pytest.mark.parametrize("seed", range(6))
def test_the_exact_optimum_is_that_of_brute_force(seed: int) -> None:
    packing = problem(seed)
    found = exact(packing, pack(packing, effort=EFFORT))
    assert found is not None
    assert found.proven
    assert found.placement is not None
    assert found.placement.cost == pytest.approx(brute_force(packing), rel=1e-9)
    assert found.bound <= found.placement.cost + 1e-9


def test_rules_between_pods_hold_in_the_optimum_as_in_brute_force() -> None:
    for seed in range(6):
        packing = problem(seed)
        apart, together = packing.apart.copy(), packing.together.copy()
        apart[0, 1] = apart[1, 0] = True
        together[2, 0] = True
        packing = replace(packing, apart=apart, together=together, most=np.array([1, 2, 1]))
        found, best = exact(packing, pack(packing, effort=EFFORT)), brute_force(packing)
        assert found is not None
        if found.placement is None:
            assert best == np.inf
        else:
            assert allowed(packing, found.placement.where)
            assert found.placement.cost == pytest.approx(best, rel=1e-9)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000))
def test_search_keeps_the_rules_and_lies_between_bound_and_baselines(seed: int) -> None:
    packing = problem(seed, stock=(4, 3, 3, 2), nodes=(3, 2), axes=1 + seed % 3)
    found = pack(packing, seed=seed, effort=EFFORT)
    if len(found.unplaced):
        return
    assert allowed(packing, found.where)
    assert lower_bound(packing, rounds=4) <= found.cost + 1e-9
    for other in (spread_least_allocated(packing), best_fit(packing)):
        assert len(other.unplaced) or found.cost <= other.cost + 1e-9


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000))
def test_more_capacity_is_never_worse(seed: int) -> None:
    packing = problem(seed)
    larger = replace(packing, room=1.5 * packing.room, batch_room=1.5 * packing.batch_room, nodes=packing.nodes + 1)
    less, more = _best(packing), _best(larger)
    assert more <= less + 1e-9


def _best(packing: Packing) -> float:
    found = exact(packing, pack(packing, effort=EFFORT))
    assert found is not None
    return np.inf if found.placement is None else found.placement.cost


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000))
def test_no_bound_exceeds_the_optimum(seed: int) -> None:
    packing = problem(seed, axes=1 + seed % 3)
    assert lower_bound(packing, rounds=8) <= _best(packing) + 1e-7


def test_the_bound_of_pods_that_do_not_disturb_is_nodes_in_parts() -> None:
    packing = problem(3, stock=(8, 8), nodes=(9,))
    still = replace(packing, excess=np.zeros_like(packing.excess), is_low=np.array([False, False]))
    asked = still.stock @ still.need[:, :3]
    by_resource = (asked / still.room[0]).max()
    assert lower_bound(still) == pytest.approx(by_resource * still.node_cost[0], rel=1e-6)


def test_the_same_seed_gives_the_same_placement() -> None:
    packing = problem(5, stock=(6, 6, 6), nodes=(4, 3))
    first, second = pack(packing, seed=3, effort=EFFORT), pack(packing, seed=3, effort=EFFORT)
    np.testing.assert_array_equal(first.where, second.where)
    assert first.cost == second.cost


def test_pods_that_fit_nowhere_are_left_over_by_search_and_refused_by_the_optimum() -> None:
    packing = problem(1, stock=(40, 2, 1), nodes=(1, 1))
    found: Placement = pack(packing, effort=EFFORT)
    assert len(found.unplaced) > 0
    assert lower_bound(packing) == np.inf


def test_slowdown_between_the_points_is_interpolated_and_flat_beyond() -> None:
    packing = problem(0, stock=(2,), nodes=(1,), axes=1)
    line = replace(
        packing, excess=np.array([[[0.0, 0.2, 0.5, 1.2]]]), emits=np.array([[3.5]]), is_low=np.array([False]),
        need=np.array([[1.0, 1.0, 1.0]]), weight=np.array([1.0]), most=np.array([2]),
    )  # fmt: skip
    both = evaluate(line, np.array([0, 0]), "")
    np.testing.assert_allclose(both.excess, 0.2 + 0.3 * 1.5 / 3.0)
    far = evaluate(replace(line, emits=np.array([[50.0]])), np.array([0, 0]), "")
    np.testing.assert_allclose(far.excess, 1.2)
