from __future__ import annotations

from renderers.explain import explain, pareto_chart
from tests.renderers.serving_plan import infeasible, plan


def test_the_arithmetic_of_the_price_can_be_redone() -> None:
    text = " ".join(explain(plan()).split())
    rate = 30.0 / 3600 / 4.0 * 1e6
    assert f"30.00 / 3600 / {rate:,.0f} × 10⁶ = 4.00 USD per million output tokens" in text


def test_what_failed_what_binds_and_what_it_rests_on_are_told() -> None:
    text = " ".join(explain(plan()).split())
    for part in (
        "2 × h100 tp 4 (ttft_s.p99 1.62 > 1)",
        "TTFT p99 binds",
        "rate breaks it first",
        "step time: database",
        "± 8.0%",
    ):
        assert part in text


def test_paragraphs_fit_their_width() -> None:
    assert max(map(len, explain(plan()).splitlines())) <= 96


def test_the_chart_marks_the_decision_and_what_breaks() -> None:
    chart = pareto_chart(plan())
    assert chart.count("@") == 2  # one in the caption
    rows = [line for line in chart.splitlines() if "│" in line]
    assert rows[0].rstrip().endswith("│x"), "the cheapest and slowest is top left, and breaks"
    assert rows[-1].rstrip().endswith("o")
    assert explain(plan(), plot=True).endswith(chart)


def test_an_infeasible_plan_names_the_smallest_change() -> None:
    assert "The smallest change that would make it feasible: pool a100" in " ".join(explain(infeasible()).split())
