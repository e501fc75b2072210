"""The table of a batching plan fits its columns and shows the decision first."""

from __future__ import annotations

import pytest

from renderers.batching import batching_table, explain
from specs.base import Figure, Metadata
from specs.batching import (
    BatchingDecision,
    BatchingExpected,
    BatchingFound,
    BatchingPlan,
    BatchingWhy,
    BoundaryWaste,
    Bucket,
    OutputPrediction,
)
from specs.plan import Percentiles, Status

FOUND = BatchingFound(
    method="bucket", setting="7 buckets, optimal, fcfs, waits up to 0.15 s to fill", attainment=0.987, ttft_p99_s=0.4,
    tpot_p99_s=0.016, e2e_p99_s=6.0, prompt_waste=0.12, decode_waste=0.4, tokens_per_s=2108.0, goodput_per_s=1.97,
    load=6.8,
)  # fmt: skip
TIMES = Percentiles(
    p50=Figure(value=0.0232), p90=Figure(value=0.229), p99=Figure(value=0.395, low=0.282, high=0.486)
)  # fmt: skip


def plan(**changed: object) -> BatchingPlan:
    decision = BatchingDecision(
        method="bucket", do_not_bucket=False, back_end="padded", boundaries="optimal", order="fcfs", max_batch=128,
        hold_s=0.15,
        buckets=(
            Bucket(lo=0, hi=97, share=0.4, max_batch=128, max_batch_paged=128, max_batch_smax=90, kv_gib=3.0,
                   est_wait_s=0.02, waste=0.3),
            Bucket(lo=97, hi=131072, share=0.6, max_batch=6, max_batch_paged=8, max_batch_smax=6, kv_gib=7.6,
                   est_wait_s=12.0, waste=0.07),
        ),
    )  # fmt: skip
    share = Figure(value=0.99, low=0.98, high=1.0)
    expected = BatchingExpected(
        ttft_s=TIMES, tpot_s=TIMES, e2e_s=TIMES, attainment=share, tokens_per_s=Figure(value=21080.0),
        goodput_per_s=Figure(value=1.97), prompt_waste=Figure(value=0.12), decode_waste=Figure(value=0.4),
        load=Figure(value=6.8), plain=FOUND, fcfs=FOUND,
    )  # fmt: skip
    why = BatchingWhy(
        reason="padding " * 30, compared_at_load=2.07, compared=(FOUND,) * 20, bounds="the SLO's", deadlines="none",
        boundaries=(BoundaryWaste(buckets=2, midpoint=0.6, quantile=0.5, optimal=0.35, hold_s=21.3),),
        prediction=OutputPrediction(
            kind="workload quantiles", quantile=0.9, margin_tokens=0, class_accuracy=0.4, coverage=0.9, pinball=10.0,
            pinball_constant=10.0, over_tokens=90.0, under_tokens=80.0, cost="so much " * 30,
        ),
        candidates="all",
    )  # fmt: skip
    status = Status(outcome="optimal", reason="buckets hold more load", solver={"seconds": 1.9})
    parts = {"status": status, "decision": decision, "expected": expected, "why": why}
    return BatchingPlan(metadata=Metadata(name="mixed-on-two"), **(parts | changed))


@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_table_fits(width: int) -> None:
    lines = batching_table(plan(), width).splitlines()
    assert max(map(len, lines)) <= max(width, 80)
    assert lines[0].startswith("mixed on two")
    assert "buckets hold more load" in lines[2]


def test_what_is_set_is_shown_with_its_buckets() -> None:
    text = " ".join(batching_table(plan(), 100).split())
    assert "set: bucket · 2 buckets, optimal boundaries · order fcfs · batches of up to 128 · wait up to 0.15 s" in text
    assert "98 – 131072" in text
    assert "… and 8 more in the plan" in text


def test_routes_name_their_replicas() -> None:
    decision = plan().decision
    assert decision is not None
    routed = decision.model_copy(update={"replicas": (1, 3), "boundaries": "routes"})
    text = " ".join(batching_table(plan(decision=routed), 100).split())
    assert "routed by prompt length · up to 97 tokens: 1 replica · up to 131072 tokens: 3 replicas" in text


def test_an_infeasible_plan_says_what_conflicts_and_what_would_do() -> None:
    status = Status(
        outcome="infeasible", reason="no way keeps the SLO", conflicts=("attainment 0.5 < 0.9",),
        smallest_change="0.61 × this load would hold the attainment",
    )  # fmt: skip
    text = batching_table(plan(status=status, decision=None), 100)
    assert "conflict    attainment 0.5 < 0.9" in text
    assert "would do    0.61 × this load" in text
    assert "0.61 × this load" in explain(plan(status=status, decision=None))


def test_sentences_redo_the_arithmetic_of_padding() -> None:
    text = explain(plan(), plot=True)
    assert "one bucket wastes 35.0%" in text.replace("\n", " ")
    assert "  2  █████████████████████ 35.0%" in text
