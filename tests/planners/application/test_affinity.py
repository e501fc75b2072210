"""Affinities in `plan application`: kept by small and large placements, and named where they leave no way."""

from __future__ import annotations

from pathlib import Path

import pytest

from specs.application_plan import ApplicationPlan, ServicePlanned
from specs.errors import InputError
from tests.planners.application.test_plan import planned

FRONT = ("slowdown: 0.2", "slowdown: 0.2\n      affinity: {apart_from: [store], most_per_node: 1}")
LABELS = ("node_type: l\n", "node_type: l\n      labels: {disk: nvme}\n")


def service(plan: ApplicationPlan, name: str) -> ServicePlanned:
    assert plan.decision is not None, plan.status
    return next(one for one in plan.decision.services if one.service == name)


@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_services_that_must_be_apart_share_no_node(tmp_path: Path, scale: float) -> None:
    found = planned(tmp_path, FRONT, scale=scale)
    front, store = service(found, "front"), service(found, "store")
    assert not set(front.nodes) & set(store.nodes)
    assert set(front.nodes.values()) == {1}
    assert found.why is not None
    assert ("exact" in found.why.placement) == (scale < 1.0)


def test_labels_and_companions_are_kept(tmp_path: Path) -> None:
    store = ("memory_gib: 4}}\n", "memory_gib: 4}, affinity: {node_labels: {disk: nvme}}}\n")
    items = ("      reads:", "      affinity: {together_with: [store]}\n      reads:")
    found = planned(tmp_path, store, items, LABELS)
    assert all(node.startswith("large") for node in service(found, "store").nodes)
    assert set(service(found, "items").nodes) <= set(service(found, "store").nodes)


def test_a_rule_never_makes_it_cheaper(tmp_path: Path) -> None:
    free, ruled = planned(tmp_path), planned(tmp_path, FRONT)
    assert free.decision is not None
    assert ruled.decision is not None
    assert (free.decision.usd_per_hour or 0.0) <= (ruled.decision.usd_per_hour or 0.0) + 1e-9


@pytest.mark.parametrize(
    ("changes", "scale", "words", "change"),
    [
        (
            (("slowdown: 0.2", "slowdown: 0.2\n      affinity: {node_labels: {disk: tape}}"),), 1.0,
            "service front: no pool has the labels disk=tape", "a node that holds what is named",
        ),
        (
            (FRONT, ("nodes: 6", "nodes: 1"), ("nodes: 2", "nodes: 1")), 4.0,
            "service front: 3 replicas, at most 1 on a node, and 2 nodes: room for 2", "2 more nodes of pool",
        ),
        (
            (("slowdown: 0.2", "slowdown: 0.2\n      affinity: {apart_from: [store]}"), ("nodes: 6", "nodes: 1"),
             ("    - name: large\n      node_type: l\n      nodes: 2\n      cpu_cores: 16\n      memory_gib: 64\n"
              "      usd_per_node_hour: {value: 0.7, source: a list, date: 2026-11-01}\n", ""),
             ("cpu_cores: 8\n      memory_gib: 16", "cpu_cores: 64\n      memory_gib: 64")), 1.0,
            "service front: apart_from store leaves no way", "leave that out, or 1 more node of pool small",
        ),
        (
            (("requests: {cpu_cores: 4, memory_gib: 4}", "requests: {cpu_cores: 40, memory_gib: 4}"),), 1.0,
            "service store: a replica asks for 40 cores and 4 GiB, the largest node has 16 and 64", "a node that holds",
        ),
    ],
)  # fmt: skip
def test_what_leaves_no_way_is_named_with_what_would_do(
    tmp_path: Path, changes: tuple[tuple[str, str], ...], scale: float, words: str, change: str
) -> None:
    found = planned(tmp_path, *changes, scale=scale)
    assert found.status.outcome == "infeasible"
    assert any(words in one for one in found.status.conflicts) or words in str(found.status.conflicts)
    assert change in (found.status.smallest_change or "")


@pytest.mark.parametrize(
    ("affinity", "words"),
    [
        ("{apart_from: [stor]}", "no service 'stor'"),
        ("{apart_from: [store], together_with: [store]}", "both together with and apart from"),
    ],
)
def test_rules_that_mean_nothing_are_refused(tmp_path: Path, affinity: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        planned(tmp_path, ("slowdown: 0.2", f"slowdown: 0.2\n      affinity: {affinity}"))
