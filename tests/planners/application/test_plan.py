"""`plan application` as a function: what holds of any plan, what more load does, and its refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from planners.application import plan
from specs.application_plan import ApplicationPlan
from specs.errors import InputError
from tests.planners.application.documents import write


def planned(folder: Path, *changes: tuple[str, str], scale: float = 1.0) -> ApplicationPlan:
    return plan(*write(folder, *changes), scale=scale)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> ApplicationPlan:
    return planned(tmp_path_factory.mktemp("small"))


def test_every_replica_is_on_a_node_and_no_node_is_overfull(small: ApplicationPlan) -> None:
    assert small.decision is not None
    for one in small.decision.services:
        assert sum(one.nodes.values()) == one.replicas
        assert one.utilisation < 1.0
    for node in small.decision.nodes:
        assert node.cpu_share <= 1.0 + 1e-9
        assert node.memory_share <= 1.0 + 1e-9
    assert small.decision.usd_per_hour == pytest.approx(sum(node.usd_per_hour or 0.0 for node in small.decision.nodes))


def test_the_simulated_whole_keeps_its_bound_and_has_the_network_in_it(small: ApplicationPlan) -> None:
    assert small.expected is not None
    assert small.decision is not None
    (entry,) = small.expected.entries
    assert entry.holds
    assert entry.simulated_s.value <= entry.bound_s == 0.1
    assert small.expected.ceiling_per_s >= small.expected.keeps_slo_up_to_per_s >= 600.0
    assert small.expected.fails_first.factor > 1.0


def test_caches_spend_what_there_is_and_answer_every_read_once(small: ApplicationPlan) -> None:
    assert small.decision is not None
    (cache,) = small.decision.caches
    assert cache.process_gib + cache.store_gib + cache.buffer_gib == pytest.approx(2.0)
    shares = (cache.process_share, cache.store_share, cache.buffer_share, cache.disk_share)
    assert sum(shares) == pytest.approx(1.0)
    assert cache.read_s < cache.uncached_s
    assert cache.database_reads_per_s == pytest.approx(600.0 * (cache.buffer_share + cache.disk_share))


def test_the_same_inputs_give_the_same_plan(small: ApplicationPlan, tmp_path: Path) -> None:
    again = planned(tmp_path)
    assert again.decision == small.decision
    assert again.expected == small.expected


def test_more_load_never_costs_less(small: ApplicationPlan, tmp_path: Path) -> None:
    assert small.decision is not None
    less, more = (planned(tmp_path, scale=scale).decision for scale in (0.4, 2.0))
    assert less is not None
    assert more is not None
    assert less.usd_per_hour is not None
    assert small.decision.usd_per_hour is not None
    assert more.usd_per_hour is not None
    assert less.usd_per_hour <= small.decision.usd_per_hour <= more.usd_per_hour
    assert less.replicas <= small.decision.replicas <= more.replicas


def test_a_slow_network_is_named(tmp_path: Path) -> None:
    found = planned(tmp_path, ("call_s: {value: 0.001", "call_s: {value: 0.28"), ("nodes: 2", "nodes: 1"))
    if found.decision is None:
        assert "network between nodes alone takes 560 ms" in found.status.reason
        assert found.status.smallest_change is not None
        assert "a network of at most" in found.status.smallest_change
    else:  # all on one node is the other way to keep it
        assert len(found.decision.nodes) == 1


def test_too_few_nodes_say_how_many_more(tmp_path: Path) -> None:
    found = planned(tmp_path, ("nodes: 6", "nodes: 1"), ("nodes: 2", "nodes: 1"), scale=20.0)
    assert found.status.outcome == "infeasible"
    assert "cores are asked for" in found.status.reason
    assert "more nodes of pool large" in (found.status.smallest_change or "")


def test_an_slo_below_the_service_times_is_infeasible(tmp_path: Path) -> None:
    found = planned(tmp_path, ("p99: 0.1", "p99: 0.012"))
    assert found.status.outcome == "infeasible"
    assert found.status.conflicts


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((", popularity: {items: 400000, zipf: 0.9}", ""), "popularity is missing"),
        (("database: store", "database: stor"), "no service 'stor'"),
        (("database: store", "database: front"), "which it does not call"),
        ((", requests: {cpu_cores: 4, memory_gib: 4}", ""), "nothing says what a replica asks"),
    ],
)
def test_what_is_wrong_in_the_documents_is_one_message(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        planned(tmp_path, change)
