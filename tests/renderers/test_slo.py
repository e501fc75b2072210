"""The table of an SLO plan at three widths, its refusals, and its sentences."""

from __future__ import annotations

import pytest

from renderers.slo import explain, slo_table
from specs.base import Figure, Metadata
from specs.plan import Evidence, Status
from specs.slo_plan import (
    CriticalPath,
    EntryExpected,
    MethodCost,
    ServiceBudget,
    ServiceChange,
    SloDecision,
    SloExpected,
    SloPlan,
    SloWhy,
)


def one(name: str, marginal: float | None) -> ServiceBudget:
    bounded = (
        {} if marginal is None else {"budget_s": 0.0613, "latency_s": 0.06, "marginal": marginal, "critical": True}
    )
    return ServiceBudget(service=name, level="p99", replicas=7, rate_per_s=100, cost=5.2, cpu_cores=5.2, **bounded)


def decided(services: int = 3) -> SloPlan:
    names = [f"a-service-with-a-rather-long-name-{i}" for i in range(services)]
    return SloPlan(
        metadata=Metadata(name="shop-slo"),
        status=Status(outcome="feasible", reason="every bound holds in the simulation", solver={"seconds": 0.3}),
        decision=SloDecision(
            method="exact", compose="sum", replicas=24, cost=17.3, unit="cores", memory_gib=12.0,
            services=(*(one(name, 0.31 + i) for i, name in enumerate(names)), one("mail", None)),
        ),
        expected=SloExpected(
            entries=(
                EntryExpected(
                    entry="checkout", level="p99", bound_s=0.2, composed_s=0.19, standard_error_s=0.001, holds=True,
                    simulated_s=Figure(value=0.15, low=0.148, high=0.152),
                ),
            )
        ),
        why=SloWhy(
            lower_bound=16.0, continuous_cost=16.0, gap=2e-7, whole_lower_bound=17.0, whole_gap=0.018,
            relax_first=(names[-1],), changes=(ServiceChange(service=names[0], now=4, planned=7),),
            critical_paths=(CriticalPath(entry="checkout p99", services=tuple(names), latency_s=0.19, bound_s=0.2),),
            compared=(MethodCost(method="exact", cost=16.0, over=1.0, whole_cost=17.3),), notes=("a note",),
        ),
        evidence=(Evidence(quantity="latency of a", basis="measured", source="a profile", error=0.05),),
    )  # fmt: skip


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("services", [3, 60])
def test_the_table_fits_its_width(width: int, services: int) -> None:
    lines = slo_table(decided(services), width).splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) < 90


def test_the_decision_comes_first_and_what_to_relax_is_marked() -> None:
    lines = slo_table(decided(), 100).splitlines()
    assert "budget" in lines[2]
    marked = [line for line in lines if "relax this first" in line]
    assert len(marked) == 1
    assert "2.31" in marked[0]
    assert any("mail" in line and "–" in line for line in lines)


def test_a_refusal_names_conflict_and_cure() -> None:
    status = Status(outcome="infeasible", reason="too tight", conflicts=("cart 40 ms",), smallest_change="--slo a=1s")
    text = slo_table(SloPlan(metadata=Metadata(name="x"), status=status), 80)
    assert "conflict      cart 40 ms" in text
    assert "would do      --slo a=1s" in text
    assert explain(SloPlan(metadata=Metadata(name="x"), status=status)).strip().startswith("too tight")


def test_the_sentences_redo_the_arithmetic_and_draw_budgets() -> None:
    text = explain(decided(), plot=True)
    assert "The longest path of checkout p99" in text
    assert "60 ms + " in text
    assert "█" in text
