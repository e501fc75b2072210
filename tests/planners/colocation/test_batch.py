"""Koordinator's batch formulas by hand, and the risk of a normal sum."""

from __future__ import annotations

import pytest

from planners.colocation.batch import batch, batch_of, risk
from specs.cluster import CpuPool

POOL = CpuPool(
    name="p", node_type="t", nodes=1, cpu_cores=100, memory_gib=200, system_cpu_cores=5, system_memory_gib=10
)


def test_the_policies_by_hand() -> None:
    used, asked = [10.0, 8.0], [15.0, 6.0]
    assert batch(100, 0.60, 5, "usage", used, asked) == pytest.approx(100 - 40 - 5 - 18)
    assert batch(100, 0.60, 5, "request", used, asked) == pytest.approx(100 - 40 - 5 - 21)
    assert batch(100, 0.60, 5, "maxUsageRequest", used, asked) == pytest.approx(100 - 40 - 5 - 23)
    assert batch(100, 0.60, 5, "usage", [80.0], [1.0]) == 0.0


def test_cpu_and_memory_have_their_own_margins() -> None:
    cpu, memory = batch_of(POOL, "usage", [(10.0, 20.0)], [(12.0, 40.0)])
    assert cpu == pytest.approx(45.0)
    assert memory == pytest.approx(200 * 0.65 - 10 - 20)


def test_risk_of_a_normal_sum() -> None:
    assert risk(10.0, 10.0, 1.0) == pytest.approx(0.5)
    assert risk(11.645, 10.0, 1.0) == pytest.approx(0.05, abs=1e-4)
    assert (risk(9.0, 10.0, 0.0), risk(11.0, 10.0, 0.0)) == (1.0, 0.0)
