from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.store import compare
from specs.base import plain
from specs.errors import InputError
from specs.stored import StoreDiff
from tests.profilers.store.conftest import layer_profile, serving_plan

LATENCIES = st.lists(st.floats(0.1, 1e6), min_size=1, max_size=8)


def diff(before: Any, after: Any) -> StoreDiff:
    return compare(("sha256:" + "a" * 64, before), ("sha256:" + "b" * 64, after))


def profile(*latency_us: float, **machine: str) -> dict[str, Any]:
    return plain(layer_profile("lab", latency_us, **machine))


@given(LATENCIES)
def test_a_profile_does_not_differ_from_itself(latency_us: list[float]) -> None:
    found = diff(profile(*latency_us), profile(*latency_us))
    assert (found.fields, found.tables) == ((), ())


@given(LATENCIES, st.floats(0.5, 2.0).filter(lambda factor: abs(factor - 1) > 1e-6))
def test_a_table_that_is_slower_by_one_factor_says_so(latency_us: list[float], factor: float) -> None:
    (table,) = diff(profile(*latency_us), profile(*(factor * one for one in latency_us))).tables
    assert table.points == len(latency_us)
    for figure in (table.median, table.low, table.high):
        assert figure == pytest.approx(factor - 1, abs=1e-9)


def test_points_that_only_one_profile_has_are_counted() -> None:
    (table,) = diff(profile(1.0, 2.0), profile(1.0, 2.0, 3.0)).tables
    assert (table.points, table.only_before, table.only_after, table.median) == (2, 0, 1, 0.0)
    (gone,) = diff(profile(1.0, 2.0), profile(1.0)).tables
    assert (gone.points, gone.only_before, gone.only_after) == (1, 1, 0)


def test_a_table_that_only_one_profile_has_is_listed() -> None:
    one, other = profile(1.0), profile(1.0)
    other["spec"]["tables"].append(other["spec"]["tables"][0] | {"tp": 2})
    (table,) = diff(one, other).tables
    assert (table.tp, table.points, table.only_after, table.median) == (2, 0, 1, None)


def test_the_spread_beside_a_change_is_the_larger_one() -> None:
    one, other = profile(1.0, 2.0), profile(1.1, 2.2)
    one["spec"]["tables"][0]["spread"] = [0.01, 0.03]
    other["spec"]["tables"][0]["spread"] = [0.10, 0.20]
    (table,) = diff(one, other).tables
    assert table.spread == pytest.approx(0.15)
    assert diff(profile(1.0), profile(2.0)).tables[0].spread is None


def test_a_point_that_took_no_time_has_no_ratio() -> None:
    (table,) = diff(profile(0.0, 1.0), profile(5.0, 2.0)).tables
    assert (table.points, table.median) == (2, 1.0)


def test_fields_that_differ_come_with_their_relative_change() -> None:
    before = {
        "kind": "GpuProfile",
        "metadata": {"name": "a"},
        "spec": {"gpus": [{"name": "x", "w": 300.0}], "on": True},
    }
    after = {
        "kind": "GpuProfile",
        "metadata": {"name": "a"},
        "spec": {"gpus": [{"name": "y", "w": 1.0}, {"name": "x", "w": 330.0}], "on": False},
    }
    found = {one.field: (one.before, one.after, one.relative) for one in diff(before, after).fields}
    assert found == {
        "spec.gpus[x].w": (300.0, 330.0, pytest.approx(0.1)),
        "spec.gpus[y].name": (None, "y", None),
        "spec.gpus[y].w": (None, 1.0, None),
        "spec.on": (True, False, None),
    }


def test_machine_and_date_are_fields_like_any_other() -> None:
    found = diff(profile(1.0, driver="550", date="2026-11-22"), profile(1.0, driver="560", date="2026-11-23"))
    assert [one.field for one in found.fields] == ["spec.machine.driver", "spec.machine.date"]


def test_documents_of_two_kinds_are_not_compared() -> None:
    with pytest.raises(InputError, match="aaaaaaaaaaaa is a LayerProfile, bbbbbbbbbbbb a ServingPlan"):
        diff(profile(1.0), plain(serving_plan()))
