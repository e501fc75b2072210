"""A placement is confirmed by simulation: slower beside neighbours, refused where a bound breaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from planners.colocation import plan
from planners.colocation.confirm import broken, confirm, said
from specs.application import Application
from specs.colocation import EntryConfirmed
from specs.errors import InfeasibleError
from specs.reading import read_document
from tests.planners.colocation.plans import NODES, ROWS, shop_plan, trained

SERVED = """apiVersion: tonnage/v1
kind: Application
metadata: {name: shop}
spec:
  services:
    - {name: gateway, replicas: 2, requests: {cpu_cores: 1, memory_gib: 1}, concurrency: 1,
       service_time: {mean_s: 0.010, distribution: exponential}}
    - {name: cart, replicas: 2, requests: {cpu_cores: 1.5, memory_gib: 2}, concurrency: 1,
       service_time: {mean_s: 0.010, distribution: exponential}}
    - {name: etl, replicas: 1, qos: best-effort, requests: {cpu_cores: 2, memory_gib: 4}}
  calls:
    - {caller: gateway, callee: cart}
  entries:
    - {service: gateway, rate_per_s: 100, slo: {latency_s: {p99: BOUND}}}
"""


def written(tmp_path: Path, bound: float, rate: float = 100) -> Path:
    file = tmp_path / "shop.yaml"
    file.write_text(SERVED.replace("BOUND", str(bound)).replace("rate_per_s: 100", f"rate_per_s: {rate}"))
    return file


def confirmed(file: Path, slowdown: float) -> tuple[tuple[EntryConfirmed, ...], str]:
    spec = read_document(file, Application).spec
    return confirm(file, spec, dict.fromkeys(("gateway", "cart", "etl"), slowdown), store=None, seed=0)


def test_times_grow_by_more_than_the_slowdown_as_queues_grow(tmp_path: Path) -> None:
    (one,), note = confirmed(written(tmp_path, 1.0), 1.2)
    assert one.entry == "gateway"
    assert one.after_s["p50"] > 1.2 * one.before_s["p50"]  # waiting grows more than the service
    assert one.after_s["p99"] > 1.2 * one.before_s["p99"]
    assert one.holds == {"p99": True}
    assert "upper end" in note


def test_no_slowdown_changes_nothing(tmp_path: Path) -> None:
    (one,), _ = confirmed(written(tmp_path, 1.0), 1.0)
    assert one.before_s == one.after_s


def test_a_broken_bound_is_told_with_both_times(tmp_path: Path) -> None:
    (good,), _ = confirmed(written(tmp_path, 1.0), 1.4)
    between = (good.before_s["p99"] + good.after_s["p99"]) / 2
    entries, _ = confirmed(written(tmp_path, between), 1.4)
    assert broken(entries) == list(entries)
    assert said(entries[0]).startswith("gateway.p99: ")
    assert "without neighbours" in said(entries[0])


def test_a_service_that_neighbours_overload_does_not_keep_up(tmp_path: Path) -> None:
    with pytest.raises(InfeasibleError, match="visits per second"):
        confirmed(written(tmp_path, 1.0, rate=190), 1.1)


@pytest.mark.parametrize(("bound", "outcome"), [(10.0, "optimal"), (0.02, "infeasible")])
def test_a_plan_whose_bound_breaks_is_not_feasible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: float, outcome: str
) -> None:
    monkeypatch.setattr("planners.colocation.planning.train", lambda *_, **__: trained())
    found = plan(written(tmp_path, bound), NODES, measured=(ROWS,))
    assert found.status.outcome == outcome
    if outcome == "infeasible":
        assert found.decision is None
        assert found.status.conflicts[0].startswith("gateway.p99: ")
    else:
        assert found.expected is not None
        assert found.expected.confirmed[0].after_s["p99"] >= found.expected.confirmed[0].before_s["p99"]


def test_without_entries_a_note_says_that_nothing_was_confirmed() -> None:
    found = shop_plan()
    assert found.expected is not None
    assert found.why is not None
    assert found.expected.confirmed == ()
    assert any("no entries" in note for note in found.why.notes)
