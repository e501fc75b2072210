from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from planners.serving.candidates import Layout, capacity_of, layouts, lost_with_a_node, spare_for, stranded_gpus
from specs.catalog import find_device, find_model
from specs.cluster import Pool
from specs.deployment import Parallel

TAKEN = st.lists(st.integers(0, 4), min_size=1, max_size=4)


def pool_of(taken: list[int]) -> Pool:
    return Pool(name="p", device="h100-sxm", nodes=len(taken), gpus_per_node=4, taken_gpus=tuple(taken))


def layout_of(taken: list[int], tp: int) -> Layout:
    pool = pool_of(taken)
    parallel = Parallel(tp=tp)
    return Layout(pool=pool, device=find_device("h100-sxm"), parallel=parallel, capacity=capacity_of(pool, parallel))


@given(taken=TAKEN, tp=st.sampled_from([1, 2, 4]))
def test_replicas_stay_within_nodes_and_fragments_are_left(taken: list[int], tp: int) -> None:
    pool = pool_of(taken)
    free = pool.free_by_node()
    assert capacity_of(pool, Parallel(tp=tp)) * tp + stranded_gpus(pool, Parallel(tp=tp)) == sum(free)


@given(taken=TAKEN, tp=st.sampled_from([1, 2]), replicas=st.integers(1, 8))
def test_the_worst_node_takes_as_few_replicas_as_any_placement_allows(taken: list[int], tp: int, replicas: int) -> None:
    layout = layout_of(taken, tp)
    if replicas > layout.capacity:
        return
    slots = [free // tp for free in layout.pool.free_by_node()]
    placements = itertools.product(*(range(slot + 1) for slot in slots))
    best = min(max(placed) for placed in placements if sum(placed) == replicas)
    assert lost_with_a_node(layout, replicas) == best


@given(taken=TAKEN, replicas=st.integers(1, 6))
def test_what_survives_a_node_is_what_was_counted_on(taken: list[int], replicas: int) -> None:
    layout = layout_of(taken, 1)
    spare = spare_for(layout, replicas, "node")
    if replicas + spare <= layout.capacity:
        assert replicas + spare - lost_with_a_node(layout, replicas + spare) >= replicas


def test_tp_divides_the_heads_and_fits_a_node() -> None:
    pool = Pool(name="p", device="l40s", nodes=2, gpus_per_node=4)
    found = layouts(pool, find_model("llama-3.1-70b"), find_device("l40s"))
    assert {one.parallel.tp for one in found} == {1, 2, 4}
    assert any(one.parallel.pp > 1 for one in found), "PCIe pools may use pipelines"


def test_experts_may_be_split() -> None:
    pool = Pool(name="p", device="h100-sxm", nodes=1, gpus_per_node=8)
    found = layouts(pool, find_model("qwen3-30b-a3b"), find_device("h100-sxm"))
    assert {one.parallel.ep for one in found} == {1, 2, 4, 8}
