"""Right-sizing decides what its samples say, abstains where they say too little, and risks what it states."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planners.rightsizing import plan
from planners.rightsizing.settings import Settings
from specs.errors import InputError
from specs.rightsizing import ContainerDecision, RightsizingPlan
from specs.usage import Autoscaler, ContainerUsage, Given, Usage
from tests.planners.rightsizing.usages import GIB, STEP_S, usage


def planned(*containers: ContainerUsage, **asked: object) -> RightsizingPlan:
    return plan(Usage(source="tests", containers=containers), Settings(**asked), name="tests")  # type: ignore[arg-type]


def only(found: RightsizingPlan) -> ContainerDecision:
    assert found.decision is not None
    (decision,) = found.decision.containers
    return decision


def cores(found: RightsizingPlan) -> float:
    recommended = only(found).recommended
    assert recommended is not None
    assert recommended.cpu_request_cores is not None
    return recommended.cpu_request_cores


def test_the_request_covers_the_share_with_its_margin() -> None:
    one = usage()
    assert cores(planned(one, share=0.9)) == pytest.approx(1.15 * np.quantile(one.cpu_cores, 0.9), abs=0.001)


def test_the_three_methods_stand_beside_each_other() -> None:
    found = planned(usage())
    assert found.why is not None
    by = found.why.containers[0].cpu_cores
    assert by["decaying"] < by["percentile"] < by["peak"]
    for method, expected in by.items():
        assert cores(planned(usage(), method=method)) == pytest.approx(expected, abs=0.0011)


def test_a_nightly_job_gets_what_its_hour_needs() -> None:
    hour = (np.arange(768) * STEP_S + 1.8e9) % 86_400 / 3600
    assert cores(planned(usage(cpu=np.where(np.floor(hour) == 2, 2.0, 0.05)))) == pytest.approx(2.3)


def test_memory_covers_the_highest_sample_and_what_a_kill_shows() -> None:
    quiet, killed = usage(), usage(killed_s=np.array([1.8e9 + 86_400.0]))
    found, more = only(planned(quiet)).recommended, only(planned(killed)).recommended
    assert found is not None
    assert more is not None
    assert found.memory_limit_gib == pytest.approx(1.15 * quiet.memory_bytes.max() / GIB, abs=0.001)
    assert more.memory_limit_gib == pytest.approx(1.2, abs=0.001)  # it was killed at its limit of 1 GiB


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (usage(0.5), "48 samples over 0.5 days"),
        (dataclasses.replace(usage(), cpu_cores=np.full((1, 768), np.nan)), "0 samples"),
        (dataclasses.replace(usage(), memory_bytes=np.full((1, 768), np.nan)), "no samples of memory"),
    ],
)
def test_too_little_history_is_said_and_nothing_set(one: ContainerUsage, words: str) -> None:
    found = planned(one)
    assert found.status.outcome == "abstained"
    assert found.status.missing is not None
    assert only(found).verdict == "abstained"
    assert only(found).recommended is None
    assert words in only(found).reason


def test_one_short_history_does_not_stop_the_others() -> None:
    found = planned(usage(), usage(0.5, cpu=0.1))
    assert found.status.outcome == "feasible"
    assert found.decision is not None
    assert [one.verdict for one in found.decision.containers] == ["change", "abstained"]


def test_a_warm_up_does_not_raise_the_request_but_the_limit() -> None:
    cpu = np.full(768, 0.2)
    cpu[400:402] = 1.8
    started = np.array([1.8e9 + 400 * STEP_S])
    given_now = Given(cpu_request_cores=1.0, cpu_limit_cores=1.0)
    found = planned(usage(cpu=cpu, started_s=started, given=given_now))
    assert cores(found) == pytest.approx(0.23)
    assert found.why is not None
    assert found.why.containers[0].warm_up_cores == pytest.approx(1.8)
    recommended = only(found).recommended
    assert recommended is not None
    assert recommended.cpu_limit_cores == pytest.approx(2.07)


def test_no_limit_is_set_where_there_was_none() -> None:
    recommended = only(planned(usage())).recommended
    assert recommended is not None
    assert recommended.cpu_limit_cores is None


def test_an_autoscaler_keeps_the_cores_at_which_it_scales() -> None:
    scaled = usage(replicas=3, autoscaler=Autoscaler(target=0.25, least=2, most=9))
    decision = only(planned(scaled))
    assert decision.autoscaler is not None
    assert decision.recommended is not None
    assert decision.recommended.cpu_request_cores is not None
    kept = decision.autoscaler.target * decision.recommended.cpu_request_cores
    assert kept == pytest.approx(0.25 * 1.0, rel=1e-4)
    assert decision.autoscaler.target <= 0.9 + 1e-9


@pytest.mark.parametrize(
    ("scaler", "given_now"),
    [(Autoscaler(least=1, most=3), Given(cpu_request_cores=1.0)), (Autoscaler(target=0.5), Given())],
)
def test_an_autoscaler_without_its_target_is_named_and_left(scaler: Autoscaler, given_now: Given) -> None:
    decision = only(planned(usage(autoscaler=scaler, given=given_now)))
    assert (decision.verdict, decision.recommended) == ("left", None)
    assert "autoscaler" in decision.reason


def test_surviving_a_replica_takes_its_load_to_the_others() -> None:
    alone, survived = planned(usage(replicas=3)), planned(usage(replicas=3), survive=True)
    assert cores(survived) == pytest.approx(1.5 * cores(alone), abs=0.002)
    assert survived.expected is not None
    risk = survived.expected.containers[0].risk
    assert risk.above_cpu_request_one_lost is not None
    assert risk.above_cpu_request_one_lost <= 0.05


def test_a_disruption_budget_and_a_rollout_count_as_they_are_set() -> None:
    usual, tight = usage(replicas=4), usage(replicas=4, away_pods=2.0, surge_pods=3.0)
    found = [planned(one, survive=True) for one in (usual, tight)]
    assert cores(found[1]) == pytest.approx(2.0 / (4 / 3) * cores(found[0]), abs=0.002)  # 4/2 against 4/3 of the load
    added = [one.expected.containers[0].rollout_cores / cores(one) for one in found if one.expected]
    assert added == pytest.approx([1.0, 3.0], rel=1e-3)


def test_more_away_than_there_are_is_no_risk_that_a_request_could_carry() -> None:
    found = planned(usage(replicas=2, away_pods=2.0))
    assert found.expected is not None
    assert found.expected.containers[0].risk.above_cpu_request_one_lost is None


def test_money_counts_every_replica() -> None:
    found = planned(usage(replicas=3), usd_per_core_hour=0.04, usd_per_gib_hour=0.0)
    assert found.expected is not None
    one = found.expected.containers[0]
    assert one.saved_cores == pytest.approx(3 * (1.0 - cores(found)), rel=1e-4)
    assert found.expected.saved_usd_per_hour == pytest.approx(0.04 * 3 * (1.0 - cores(found)), rel=1e-3)


def test_a_shadow_fails_where_the_load_grew() -> None:
    cpu = np.full(768, 0.2)
    cpu[-200:] = 0.9
    grown, steady = planned(usage(cpu=cpu), shadow_days=2.0), planned(usage(), shadow_days=2.0)
    for found, held in ((grown, False), (steady, True)):
        assert found.expected is not None
        shadow = found.expected.containers[0].shadow
        assert shadow is not None
        assert shadow.held is held
        assert shadow.days == pytest.approx(2.0)


def test_what_was_measured_is_what_is_stated() -> None:
    one = usage(replicas=2)
    found = planned(one)
    assert found.expected is not None
    stated = found.expected.containers[0]
    assert stated.risk.above_cpu_request == pytest.approx(float((one.cpu_cores > cores(found)).mean()))
    assert stated.cpu_request_cores.low is not None
    assert stated.cpu_request_cores.high is not None
    assert stated.cpu_request_cores.low <= cores(found) <= stated.cpu_request_cores.high


@settings(max_examples=25, deadline=None)
@given(factor=st.floats(1.0, 5.0), share=st.floats(0.6, 0.98))
def test_more_use_never_needs_less_and_more_caution_never_costs_less(factor: float, share: float) -> None:
    one = usage(4.0)
    more = dataclasses.replace(one, cpu_cores=one.cpu_cores * factor)
    assert cores(planned(more, share=share)) >= cores(planned(one, share=share)) - 1e-9
    assert cores(planned(one, share=share + 0.01)) >= cores(planned(one, share=share)) - 1e-9


def test_the_same_input_gives_the_same_plan() -> None:
    one, other = (
        planned(usage()).model_dump(exclude={"metadata": {"created"}, "status": {"solver": {"seconds"}}})
        for _ in range(2)
    )
    assert one == other


def test_no_container_is_an_error() -> None:
    with pytest.raises(InputError, match="no container"):
        planned()
