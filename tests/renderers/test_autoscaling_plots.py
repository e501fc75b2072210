"""What `explain --plot` draws of an autoscaling plan."""

from __future__ import annotations

import pytest

from renderers.autoscaling_plots import BAND, LOAD, RECOMMENDED, charts, front_chart, load_chart, replica_chart
from specs.autoscaling import AutoscalingPlan, LoadFigure
from tests.renderers.cluster_plans import HPA, KEDA, STATIC, autoscaling, layered, method

DAY = LoadFigure(
    service="web", at_s=tuple(60.0 * i for i in range(144)), rate_per_s=(5.0,) * 72 + (10.0,) * 72,
    replicas=(1.0,) * 72 + (2.0,) * 72, quantiles_per_s={"p50": (4.0,) * 144, "p99": (8.0,) * 144}, ahead_s=300.0,
)  # fmt: skip


def drawn(chart: str) -> list[str]:
    return [line.partition("│")[2].ljust(72) for line in chart.splitlines() if "│" in line]


def test_the_load_lies_in_the_band_of_its_forecast_or_outside() -> None:
    rows = drawn(load_chart(DAY))
    first, last = [row[0] for row in rows], [row[-1] for row in rows]
    assert first.count(LOAD) == last.count(LOAD) == 1
    assert last[0] == LOAD  # above all that was forecast
    assert first.index(BAND) < first.index(LOAD) < len(first) - 1 - first[::-1].index(BAND) + 1
    assert "░ its forecast 5 min before, p50 to p99" in load_chart(DAY)


def test_replicas_are_steps_from_the_ground() -> None:
    rows = drawn(replica_chart(DAY))
    assert [row[0] for row in rows].count("█") == 3
    assert {row[-1] for row in rows} == {"█"}


def test_the_recommended_policy_is_marked_on_the_costs() -> None:
    methods = [
        method("web", STATIC, 0.0, 40.0, "costs +100%"), method("web", HPA, 0.005, 20.0, "recommended"),
        method("web", KEDA, 0.04, 10.0, "breaks it"),
    ]  # fmt: skip
    chart = front_chart("web", methods, 0.01)
    rows = drawn(chart)
    assert rows[0].index("c") == 18
    assert rows[-1].rindex("a") == 71
    assert sum(row.count(RECOMMENDED) for row in rows) == 1
    assert "- 1.000% allowed" in chart
    assert "b ◆ hpa" in chart
    assert "20 USD, 0.500%" in chart


def test_a_load_without_a_forecast_is_drawn_alone() -> None:
    alone = DAY.model_copy(update={"quantiles_per_s": {}, "ahead_s": None})
    assert BAND not in load_chart(alone)


@pytest.mark.parametrize("plan", [autoscaling(), layered()], ids=["services", "layers"])
def test_plots_fit_the_terminal(plan: AutoscalingPlan) -> None:
    load, replicas, costs = charts(plan)
    assert max(len(line) for text in (load, replicas, costs) for line in text.splitlines()) <= 96
    assert "• load" in load
    assert "█ replicas" in replicas
    assert "late requests against USD" in costs
