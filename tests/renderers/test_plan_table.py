from __future__ import annotations

import pytest

from renderers.plan_table import plan_table
from tests.renderers.serving_plan import disaggregated, infeasible, plan


@pytest.mark.parametrize("width", [100, 80, 60])
@pytest.mark.parametrize("made", [plan(), disaggregated(), infeasible()])
def test_every_line_fits_the_width(width: int, made: object) -> None:
    lines = plan_table(made, width).splitlines()  # type: ignore[arg-type]
    limit = max(width, 73)  # the row of percentiles with its bound does not shrink
    assert max(map(len, lines)) <= limit


def test_the_decision_comes_first_then_the_figures_then_the_reasons() -> None:
    text = plan_table(plan(), 100)
    order = [
        "optimal",
        "3 × llama-3.1-70b on h100-sxm, tp 4",
        "max-num-seqs 192",
        "12 GPUs · 30.00 USD/h",
        "TTFT",
        "bound by",
        "headroom",
        "next cheaper",
        "evidence",
    ]
    assert [text.index(one) for one in order] == sorted(text.index(one) for one in order)


def test_bounds_and_the_interval_of_their_figure_stand_beside_it() -> None:
    row = next(line for line in plan_table(plan(), 100).splitlines() if line.strip().startswith("TTFT"))
    assert "0.83 s" in row
    assert "≤ 1 s" in row
    assert "0.664 s – 0.996 s" in row


def test_both_roles_are_named() -> None:
    assert "2 × prefill tp 2 + 1 × decode tp 4" in plan_table(disaggregated(), 100)


def test_a_plan_that_failed_says_what_would_do() -> None:
    text = plan_table(infeasible(), 80)
    assert "infeasible" in text
    assert "pool a100 with 24 free GPUs instead of 5" in " ".join(text.split())
