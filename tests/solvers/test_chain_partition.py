"""The best split of a chain is what brute force over every cut and every order of devices finds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers.chain_partition import Chain, Split, best_splits, most_devices, pipelined_splits


def every_split(chain: Chain) -> Iterator[tuple[tuple[int, ...], list[float]]]:
    """Every feasible split: how many devices of each class it uses, and the cost of each run."""
    classes, units = chain.cost.shape
    for parts in range(1, min(units, chain.most) + 1):
        for cuts in itertools.combinations(range(1, units), parts - 1):
            edges = (0, *cuts, units)
            for order in itertools.product(range(classes), repeat=parts):
                used = [order.count(c) for c in range(classes)]
                if any(used[c] > chain.available[c] for c in range(classes)):
                    continue
                costs, seen = [], [0] * classes
                for at, (c, start, stop) in enumerate(zip(order, edges, edges[1:], strict=False)):
                    if chain.size[c, start:stop].sum() > chain.capacity[c]:
                        break
                    link = 0.0
                    if at:
                        link = chain.within[c, seen[c] - 1] if order[at - 1] == c else chain.between[order[at - 1], c]
                    seen[c] += 1
                    costs.append(float(chain.cost[c, start:stop].sum()) + float(link))
                else:
                    yield tuple(used), costs


def drawn(seed: int, units: int, classes: int) -> Chain:
    rng = np.random.default_rng(seed)
    return Chain(
        cost=rng.integers(1, 9, (classes, units)).astype(float),
        size=np.repeat(rng.integers(1, 5, (1, units)).astype(float), classes, axis=0),
        capacity=rng.integers(3, 12, classes).astype(float),
        available=rng.integers(1, 3, classes),
        between=rng.integers(0, 6, (classes, classes)).astype(float),
        within=rng.integers(0, 4, (classes, 4)).astype(float),
        most=3,
    )


def least(found: list[tuple[tuple[int, ...], list[float]]], used: tuple[int, ...], batches: int | None) -> float:
    costs = [costs for counts, costs in found if counts == used]
    values = [max(one) if batches is None else sum(one) + (batches - 1) * max(one) for one in costs]
    return min(values, default=math.inf)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), units=st.integers(1, 8), classes=st.integers(1, 3))
def test_each_multiset_of_devices_has_the_split_that_brute_force_finds(seed: int, units: int, classes: int) -> None:
    chain = drawn(seed, units, classes)
    found = list(every_split(chain))
    sums, slowest = best_splits(chain, "sum"), best_splits(chain, "slowest")
    pipelined = pipelined_splits(chain, 4)
    for state, counts in enumerate(sums.counts.tolist()):
        used = tuple(counts)
        if not any(used):
            continue
        assert sums.value[state] == pytest.approx(least(found, used, 1))
        assert slowest.value[state] == pytest.approx(least(found, used, None))
        assert pipelined.value[state] == pytest.approx(least(found, used, 4))
        if math.isfinite(pipelined.value[state]):
            split = pipelined.split(state)
            valid(chain, split, used)
            assert split.total + 3 * split.slowest == pytest.approx(pipelined.value[state])
            valid(chain, sums.split(state), used)
            assert sums.split(state).total == pytest.approx(sums.value[state])
            assert slowest.split(state).slowest == pytest.approx(slowest.value[state])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_tolerance_is_kept(seed: int) -> None:
    chain = drawn(seed, 7, 2)
    exact, near = pipelined_splits(chain, 4).value, pipelined_splits(chain, 4, tolerance=0.05).value
    assert (near[1:] <= exact[1:] * 1.05 + 1e-9).all()
    assert (near[1:] >= exact[1:] - 1e-9).all()


def valid(chain: Chain, split: Split, used: tuple[int, ...]) -> None:
    assert [run.start for run in split.runs[1:]] == [run.stop for run in split.runs[:-1]]
    assert (split.runs[0].start, split.runs[-1].stop) == (0, chain.cost.shape[1])
    assert tuple(sum(run.device_class == c for run in split.runs) for c in range(len(used))) == used
    for run in split.runs:
        assert chain.size[run.device_class, run.start : run.stop].sum() <= chain.capacity[run.device_class]


def test_a_chain_that_fits_nowhere_has_no_split() -> None:
    front = best_splits(drawn(3, 8, 2).__class__(**{**vars(drawn(3, 8, 2)), "capacity": np.array([0.5, 0.5])}))
    assert not np.isfinite(front.value[1:]).any()
    with pytest.raises(ValueError, match="no split"):
        front.split(1)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_more_memory_never_costs_more(seed: int) -> None:
    chain = drawn(seed, 7, 2)
    roomy = Chain(**{**vars(chain), "capacity": chain.capacity * 2})
    assert (best_splits(roomy).value <= best_splits(chain).value + 1e-9).all()


def test_eighty_layers_on_sixteen_gpus_of_four_classes() -> None:
    rng = np.random.default_rng(1)
    best_splits(drawn(1, 4, 2))  # compiles
    chain = Chain(
        cost=rng.uniform(1, 3, (4, 80)), size=np.ones((4, 80)), capacity=np.array([6.0, 10.0, 16.0, 26.0]),
        available=np.full(4, 4), between=rng.uniform(0, 1, (4, 4)), within=rng.uniform(0, 0.1, (4, 4)), most=16,
    )  # fmt: skip
    assert np.isfinite(best_splits(chain).value).any()


def test_devices_are_limited_to_what_the_table_holds() -> None:
    assert most_devices(4, 80, np.full(4, 4), 16) == 16
    assert most_devices(8, 80, np.full(8, 16), 16) < 16
