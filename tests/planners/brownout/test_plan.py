"""The plan holds what it says, costs no more than the best of a brute-force search, and refuses what has no answer."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from planners.brownout import plan
from planners.brownout.choosing import Counted, largest_burst, least_loss_fixed
from planners.brownout.layers import by_layer
from planners.brownout.question import Question, read_question
from planners.brownout.trials import Bench, Setting, Trial, bench_of, try_setting
from specs.brownout import BrownoutPlan
from tests.planners.brownout.documents import deployment, experts, workload


def planned(folder: Path, *, burst: float = 2.0, slo: str | None = None, device: str = "a100-80gb") -> BrownoutPlan:
    asked = workload(folder) if slo is None else workload(folder, slo=slo)
    return plan(asked, deployment(folder, device=device), experts(folder), burst=burst)


@pytest.fixture(scope="module")
def question(tmp_path_factory: pytest.TempPathFactory) -> Question:
    folder = tmp_path_factory.mktemp("brownout")
    files = workload(folder), deployment(folder), experts(folder)
    return read_question(*files, None, burst=2.0, per_layer=True, seed=0)


@pytest.fixture(scope="module")
def bench(question: Question) -> Bench:
    return bench_of(question)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> BrownoutPlan:
    return planned(tmp_path_factory.mktemp("plan"))


def test_the_plan_holds_where_full_service_breaks(found: BrownoutPlan) -> None:
    assert found.status.outcome == "feasible"
    assert found.decision is not None
    assert found.decision.brownout is not None
    assert found.why is not None
    full, *others = found.why.compared
    assert (full.mode, full.accuracy_loss_pct) == ("full service", 0.0)
    assert full.breaks is not None
    assert all(bound.holds for bound in found.why.slo)
    assert found.expected is not None
    held = [one.accuracy_loss_pct for one in others if one.breaks is None and one.way is not None]
    assert found.expected.accuracy_loss_pct.value == pytest.approx(min(one for one in held if one is not None))
    assert found.expected.largest_burst.value >= 2.0
    assert full.largest_burst is not None
    assert full.largest_burst < 2.0


def test_a_step_of_the_burst_reads_fewer_experts(found: BrownoutPlan) -> None:
    assert found.expected is not None
    assert [one.phase for one in found.expected.accesses] == ["prefill", "decode"]
    for one in found.expected.accesses:
        assert one.planned <= one.full_service <= 60


def test_the_same_inputs_give_the_same_plan(found: BrownoutPlan, tmp_path: Path) -> None:
    again = planned(tmp_path)
    assert again.decision == found.decision
    assert again.expected == found.expected
    assert again.why == found.why


def test_the_frontier_finds_the_least_loss_of_all_pairs(bench: Bench) -> None:
    """Brute force over every pair of tenths."""
    pairs = [(p / 10, d / 10) for p, d in product(range(11), range(11))]
    tried = [try_setting(bench, Setting(mode="fixed thresholds", way=8, thresholds=pair)) for pair in pairs]
    least = min(trial.loss_pct for trial in tried if trial.holds)
    walked = least_loss_fixed(bench, 8, Counted())
    assert walked is not None
    assert walked.loss_pct == pytest.approx(least)


def test_salc_serves_fully_before_the_burst_and_yields_in_it(bench: Bench, question: Question) -> None:
    trial = try_setting(bench, Setting(mode="salc", way=8))
    calm = int(question.burst_start_s) - 6
    assert trial.thresholds[:4].min() == 1.0
    assert max(trial.burst_thresholds) < 1.0
    assert trial.thresholds[calm:].min() < trial.thresholds[:calm].mean()


def test_threshold_one_is_full_service(bench: Bench) -> None:
    full = try_setting(bench, Setting(mode="full service", way=None))
    same = try_setting(bench, Setting(mode="fixed thresholds", way=8, thresholds=(1.0, 1.0)))
    assert same.measures.itl_s.p90.value == pytest.approx(full.measures.itl_s.p90.value)
    assert same.loss_pct == full.loss_pct == 0.0


def test_less_service_carries_a_larger_burst(bench: Bench) -> None:
    def burst(threshold: float) -> float:
        setting = Setting(mode="fixed thresholds", way=8, thresholds=(threshold, threshold))
        return largest_burst(bench, setting).holds

    assert burst(1.0) < burst(0.5) <= burst(0.0)


def test_thresholds_by_layer_lose_no_more_than_one_for_all(bench: Bench) -> None:
    trial: Trial = try_setting(bench, Setting(mode="fixed thresholds", way=4, thresholds=(0.6, 0.7)))
    for phase in by_layer(bench, trial):
        assert len(phase.thresholds) == 24
        assert phase.bound_pct <= phase.loss_pct <= phase.uniform_loss_pct


def test_a_looser_slo_never_costs_more(tmp_path: Path, found: BrownoutPlan) -> None:
    looser = planned(tmp_path, slo="{ttft_s: {p90: 0.6}, itl_s: {p90: 0.021}}")
    assert looser.expected is not None
    assert found.expected is not None
    assert looser.expected.accuracy_loss_pct.value <= found.expected.accuracy_loss_pct.value


def test_where_full_service_holds_nothing_is_browned_out(tmp_path: Path) -> None:
    calm = planned(tmp_path, slo="{ttft_s: {p90: 5.0}, itl_s: {p90: 0.5}}")
    assert calm.status.outcome == "optimal"
    assert calm.decision is not None
    assert calm.decision.brownout is None
    assert calm.expected is not None
    assert calm.expected.accuracy_loss_pct.value == 0.0


def test_where_nothing_holds_the_largest_burst_is_told(tmp_path: Path) -> None:
    refused = planned(tmp_path, burst=6.0)
    assert refused.status.outcome == "infeasible"
    assert refused.decision is None
    assert any("way 8" in conflict for conflict in refused.status.conflicts)
    assert refused.status.smallest_change is not None
    assert "a burst of at most" in refused.status.smallest_change


def test_united_experts_that_do_not_fit_are_named(tmp_path: Path) -> None:
    small = planned(tmp_path, device="a100-40gb")
    assert small.why is not None
    notes = (*small.why.notes, *small.status.conflicts)
    assert any("way 2" in note and "GiB" in note for note in notes)


def test_an_odd_accuracy_table_is_used_and_told(found: BrownoutPlan) -> None:
    assert found.why is not None
    assert any("not monotone" in note and "way 2: 3.3 % at 0.2" in note for note in found.why.notes)
