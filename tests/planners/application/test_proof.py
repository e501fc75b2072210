"""What `plan application` claims to have proven: checked against a look at every way, and left open elsewhere."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.planners.application.test_plan import planned

UNCACHED = ("cache_memory_gib: 2", "cache_memory_gib: 0")


def test_optimal_where_no_nodes_carry_the_load_for_less(tmp_path: Path) -> None:
    found = planned(tmp_path, scale=0.3)
    assert found.status.outcome == "optimal"
    assert found.decision is not None
    assert found.why is not None
    assert found.why.gap == 0.0
    assert found.why.bound_usd_per_hour == pytest.approx(found.decision.usd_per_hour)
    assert any("no plan's nodes are cheaper" in one for one in found.why.proven)
    # the least load alone: one replica each of 2, 2 and 4 cores, on every pair of node counts
    asked = 2 + 2 + 4
    ways = [0.3 * a + 0.7 * b for a, b in itertools.product(range(7), range(3)) if 8 * a + 16 * b >= asked]
    assert found.why.bound_usd_per_hour == pytest.approx(min(ways))


def test_the_bound_keeps_the_rules_and_no_more(tmp_path: Path) -> None:
    apart = ("slowdown: 0.2", "slowdown: 0.2\n      affinity: {apart_from: [store]}")
    found = planned(tmp_path, apart, scale=0.3)
    assert found.why is not None
    assert found.why.bound_usd_per_hour == pytest.approx(0.6)  # two small nodes, however many replicas there are
    assert found.status.outcome == "optimal"


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_the_bound_is_below_the_plan_and_the_gap_is_said(tmp_path: Path, scale: float) -> None:
    found = planned(tmp_path, scale=scale)
    assert found.decision is not None
    assert found.why is not None
    assert found.why.bound_usd_per_hour is not None
    assert found.why.least_usd_per_hour is not None
    assert found.why.bound_usd_per_hour <= found.why.least_usd_per_hour + 1e-9
    assert found.why.least_usd_per_hour <= (found.decision.usd_per_hour or 0.0) + 1e-9
    proven = found.why.bound_usd_per_hour >= (found.decision.usd_per_hour or 0.0) * (1.0 - 1e-9)
    assert (found.status.outcome == "optimal") == proven
    if not proven:
        assert found.why.unproven
        assert "dearer than any plan's" in found.status.reason


def test_without_caches_the_split_gives_a_bound_of_its_own(tmp_path: Path) -> None:
    few = planned(tmp_path, UNCACHED, ("p99: 0.1", "p99: 0.13"), scale=2.0)
    assert few.why is not None
    assert few.decision is not None
    assert any("cores that every split" in one or "carry the load" in one for one in few.why.proven)
    assert not any("cache memory" in one for one in few.why.unproven)


def test_nodes_without_prices_claim_no_price(tmp_path: Path) -> None:
    found = planned(
        tmp_path, ("      usd_per_node_hour: {value: 0.3, source: a list, date: 2026-11-01}\n", ""),
        ("      usd_per_node_hour: {value: 0.7, source: a list, date: 2026-11-01}\n", ""),
    )  # fmt: skip
    assert found.why is not None
    assert found.why.bound_usd_per_hour is None
    assert found.why.least_usd_per_hour is None
