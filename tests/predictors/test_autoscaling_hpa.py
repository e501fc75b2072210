"""The horizontal pod autoscaler's arithmetic, case by case, and what must always hold of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.hpa import Outcome, all_cases
from predictors.autoscaling import hpa, steps

CASES = list(all_cases())


@pytest.mark.parametrize("outcome", CASES, ids=[one.case for one in CASES])
def test_a_documented_case_comes_out_exactly(outcome: Outcome) -> None:
    assert outcome.found == outcome.expected


@given(st.integers(1, 60), st.integers(0, 60), st.integers(1, 20), st.integers(20, 60))
def test_a_step_stays_within_the_bounds(current: int, desired: int, least: int, most: int) -> None:
    current = min(max(current, least), most)
    assert least <= steps.limited_step(current, desired, least, most) <= most


@given(st.integers(1, 40), st.floats(0.0, 5000.0), st.floats(0.0, 500.0))
def test_more_load_never_proposes_fewer(ready: int, usage: float, more: float) -> None:
    def proposed(use: float) -> int:
        return hpa.resource_replicas(ready, use, 100.0 * ready, ready, 0, 0.0, 0, 0.0, 60.0, 0.1, 0.1)

    assert proposed(usage) <= proposed(usage + more)


@given(st.integers(1, 30), st.integers(0, 10), st.floats(10.0, 300.0))
def test_unready_pods_never_turn_growth_into_shrinking(ready: int, unready: int, percent: float) -> None:
    current = ready + unready
    found = hpa.resource_replicas(
        current, percent * ready, 100.0 * ready, ready, unready, 100.0 * unready, 0, 0.0, 60.0, 0.1, 0.1
    )
    if percent > 66.0:
        assert found >= current
