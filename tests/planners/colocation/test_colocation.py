"""The plan of a placement: what it decides holds every rule, what it says adds up, what does not fit is named."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from planners.colocation import plan
from specs.application import Application
from specs.cluster import Cluster
from specs.errors import InputError
from specs.reading import read_document
from tests.planners.colocation.plans import NODES, ROWS, SHOP, shop_plan, trained


def test_every_replica_is_placed_within_capacity_spread_and_affinity() -> None:
    decided = shop_plan().decision
    assert decided is not None
    services = {one.name: one for one in read_document(SHOP, Application).spec.services}
    pools = {pool.name: pool for pool in read_document(NODES, Cluster).spec.cpu_pools}
    placed = Counter(dict.fromkeys(services, 0))
    for node in decided.nodes:
        placed.update(node.pods)
        pool = pools[node.pool]
        assert node.requested_cpu_cores <= pool.cpu_cores - pool.system_cpu_cores + 1e-6
        assert node.requested_memory_gib <= pool.memory_gib - pool.system_memory_gib + 1e-6
        if node.batch_cpu_cores:
            assert node.used_cpu_cores <= 0.6 * pool.cpu_cores - pool.system_cpu_cores + 1e-6
        assert not {"report", "checkout"} <= set(node.pods)
        for name, count in node.pods.items():
            affinity = services[name].affinity
            assert affinity is None or affinity.most_per_node is None or count <= affinity.most_per_node
    assert placed == {name: one.replicas for name, one in services.items()}
    assert decided.nodes_used == len(decided.nodes)
    assert decided.nodes_used + decided.nodes_free == 8


def test_the_plan_is_optimal_and_beats_what_it_was_compared_with() -> None:
    found = shop_plan()
    assert found.status.outcome == "optimal"
    assert found.why is not None
    assert found.expected is not None
    assert found.why.gap == 0
    cost = found.expected.cost_cores.value
    assert [one.method for one in found.why.compared] == [
        "least-allocated spreading",
        "best fit, blind to interference",
    ]
    assert all(cost <= one.cost_cores for one in found.why.compared)
    assert found.expected.slowdown.low is not None
    assert found.expected.slowdown.high is not None
    assert found.expected.slowdown.low <= found.expected.slowdown.value <= found.expected.slowdown.high


def test_batch_capacity_and_what_it_leaves_add_up_to_the_nodes() -> None:
    expected, decided = shop_plan().expected, shop_plan().decision
    assert expected is not None
    assert decided is not None
    batch_used = sum(node.batch_cpu_cores for node in decided.nodes)
    sensitive = sum(node.used_cpu_cores for node in decided.nodes) - batch_used
    there = 5 * 15.5 + 3 * 31.5
    mine = [one for one in expected.batch if one.policy == "usage"]
    assert sum(one.cpu_cores + one.unused_cpu_cores for one in mine) + sensitive == pytest.approx(there, rel=1e-3)
    assert {one.policy for one in expected.batch} == {"usage", "request", "maxUsageRequest"}


@pytest.mark.slow
def test_the_same_inputs_give_the_same_plan() -> None:
    again, first = plan(SHOP, NODES, measured=(ROWS,)), shop_plan()
    assert again.decision == first.decision
    assert again.expected == first.expected
    assert again.why == first.why
    assert again.metadata.inputs == first.metadata.inputs


@pytest.fixture
def learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Learn from the sample's rows once."""
    monkeypatch.setattr("planners.colocation.planning.train", lambda *_, **__: trained())


def changed(tmp_path: Path, file: Path, old: str, new: str) -> Path:
    text = file.read_text()
    assert old in text
    (tmp_path / file.name).write_text(text.replace(old, new))
    return tmp_path / file.name


@pytest.mark.usefixtures("learnt")
def test_a_pod_larger_than_every_node_is_named_with_its_resource(tmp_path: Path) -> None:
    shop = changed(tmp_path, SHOP, "cpu_cores: 3, memory_gib: 10", "cpu_cores: 3, memory_gib: 300")
    found = plan(shop, NODES, measured=(ROWS,))
    assert found.status.outcome == "infeasible"
    assert found.status.conflicts == ("pod recommend: memory 300 GiB asked, the largest node (compute) has 126",)
    assert found.decision is None


@pytest.mark.usefixtures("learnt")
def test_pods_that_exceed_all_nodes_are_counted_and_the_nodes_that_would_do(tmp_path: Path) -> None:
    shop = changed(tmp_path, SHOP, "{name: search, replicas: 4", "{name: search, replicas: 60")
    found = plan(shop, NODES, measured=(ROWS,))
    assert found.status.outcome == "infeasible"
    assert found.status.conflicts[0].startswith("CPU: all pods ask for ")
    assert found.status.smallest_change is not None
    assert "more nodes of pool" in found.status.smallest_change


@pytest.mark.usefixtures("learnt")
def test_a_spread_that_lacks_nodes_names_the_pod_and_why(tmp_path: Path) -> None:
    shop = changed(tmp_path, SHOP, "{name: sessions, replicas: 3", "{name: sessions, replicas: 9")
    found = plan(shop, NODES, measured=(ROWS,))
    assert found.status.outcome == "infeasible"
    assert "pod sessions (1 of 9 replicas left over): the spread is reached on 8 of 8 nodes" in found.status.conflicts
    assert found.status.smallest_change == "1 more node of pool general would hold every pod"


@pytest.mark.usefixtures("learnt")
def test_labels_that_no_pool_has_are_named(tmp_path: Path) -> None:
    shop = changed(tmp_path, SHOP, "affinity: {apart_from: [checkout]}", "affinity: {node_labels: {disk: ssd}}")
    found = plan(shop, NODES, measured=(ROWS,))
    assert found.status.conflicts == ("pod report: no pool has the labels {'disk': 'ssd'}",)


@pytest.mark.usefixtures("learnt")
def test_a_node_type_never_measured_abstains_with_the_command(tmp_path: Path) -> None:
    nodes = changed(tmp_path, NODES, "node_type: compute-32", "node_type: other-cpu")
    found = plan(SHOP, nodes, measured=(ROWS,))
    assert found.status.outcome == "abstained"
    assert "other-cpu" in found.status.reason
    assert found.status.missing is not None
    assert found.status.missing.startswith("tonnage profile cpi")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("apart_from: [checkout]", "apart_from: [chekout]", "did you mean 'checkout'"),
        ("requests: {cpu_cores: 2.5, memory_gib: 6}", "requests: {cpu_cores: 2.5}", "nothing says its memory_gib"),
    ],
)
@pytest.mark.usefixtures("learnt")
def test_what_is_wrong_in_the_application_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        plan(changed(tmp_path, SHOP, old, new), NODES, measured=(ROWS,))


@pytest.mark.usefixtures("learnt")
def test_a_service_never_measured_is_planned_and_said(tmp_path: Path) -> None:
    shop = changed(tmp_path, SHOP, "name: gateway", "name: newcomer")
    found = plan(shop, NODES, measured=(ROWS,))
    assert found.why is not None
    assert any("newcomer" in note and "never measured" in note for note in found.why.notes)
