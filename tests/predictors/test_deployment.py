"""One deployment predicted: the parts agree with each other, and every way to serve comes through."""

from __future__ import annotations

import numpy as np
import pytest

from predictors.deployment import compile_deployment, predict_serving, serve
from predictors.serving import ClosedLoop, Requests
from predictors.slo import bounds_of, request_bounds
from specs.catalog import find_device, find_model
from specs.deployment import DeploymentSpec
from specs.errors import InfeasibleError, InputError
from specs.workload import Slo, WorkloadSpec

MODEL, DEVICE = find_model("llama-3.1-8b"), find_device("h100-sxm")


def _deployment(**parts: object) -> DeploymentSpec:
    return DeploymentSpec.model_validate({"model": "llama-3.1-8b", "device": "h100-sxm", **parts})


def _requests(count: int = 300, rate: float = 10.0) -> Requests:
    rng = np.random.default_rng(5)
    return Requests(
        arrival_s=np.cumsum(rng.exponential(1 / rate, count)),
        prompt_tokens=rng.integers(10, 1500, count),
        output_tokens=rng.integers(1, 200, count),
    )


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"replicas": 2, "router": "round-robin"},
        {"parallel": {"tp": 2, "pp": 2}},
        {"parallel": {"tp": 1, "dp": 2}},
        {"roles": {"prefill": {"replicas": 2}, "decode": {"parallel": {"tp": 2}}}},
        {"speculative": {"draft_tokens": 3, "acceptance": 0.7, "draft_cost": 0.1}},
        {"engine": {"chunked_prefill": False, "max_num_batched_tokens": 8192, "max_model_len": 4096}},
        {"admission": {"max_waiting": 5, "queue_timeout_s": 1.0}},
    ],
)
def test_every_way_to_serve_ends_every_request(parts: dict[str, object]) -> None:
    requests = _requests()
    found = predict_serving(MODEL, DEVICE, _deployment(**parts), requests)
    measures = found.measures
    assert measures.completed + measures.rejected + measures.timed_out + measures.aborted == len(requests)
    assert 0 < measures.ttft_s.p50.value < measures.e2e_s.p99.value
    assert found.evidence
    assert len(found.ledgers) == len(found.step_times) == (2 if "roles" in parts else 1)


def test_a_lone_request_costs_its_steps() -> None:
    """TTFT and TPOT of one request are the surface's own prefill and decode steps."""
    requests = Requests(arrival_s=np.zeros(1), prompt_tokens=np.array([512]), output_tokens=np.array([3]))
    compiled = compile_deployment(MODEL, DEVICE, _deployment())
    run, s = serve(compiled, requests), compiled.pools[0].surface
    assert run.ttft_s[0] >= s.tokens_s[512] + s.sequences_s[1]
    assert run.ttft_s[0] == pytest.approx(s.tokens_s[512] + s.sequences_s[1], rel=0.5)
    assert run.tpot_s[0] >= s.tokens_s[1] + s.sequences_s[1]


def test_slower_steps_make_a_lone_request_slower_in_proportion() -> None:
    requests = Requests(arrival_s=np.zeros(1), prompt_tokens=np.array([700]), output_tokens=np.array([40]))
    one, other = (
        predict_serving(MODEL, DEVICE, _deployment(), requests, time_factor=factor).measures for factor in (1.0, 1.3)
    )
    assert other.ttft_s.mean.value == pytest.approx(1.3 * one.ttft_s.mean.value)
    assert other.tpot_s.mean.value == pytest.approx(1.3 * one.tpot_s.mean.value)


def test_drafting_costs_what_it_is_said_to_cost() -> None:
    drafts = [{"draft_tokens": 2, "acceptance": 0.0, "draft_cost": cost} for cost in (0.0, 0.25)]
    free, paid = (compile_deployment(MODEL, DEVICE, _deployment(speculative=d)).pools[0].surface for d in drafts)
    decode = free.tokens_s[4] + free.sequences_s[4]
    assert paid.sequences_s[4] - free.sequences_s[4] == pytest.approx(2 * 0.25 * decode)


def test_a_closed_loop_keeps_its_concurrency() -> None:
    measures = predict_serving(
        MODEL, DEVICE, _deployment(), _requests(400), closed_loop=ClosedLoop(concurrency=16)
    ).measures
    assert measures.mean_running + measures.mean_waiting == pytest.approx(16, rel=0.1)  # Little's law [std]


def test_what_does_not_fit_says_by_how_much() -> None:
    with pytest.raises(InfeasibleError, match="GiB") as refused:
        predict_serving(find_model("llama-3.1-70b"), DEVICE, _deployment(model="llama-3.1-70b"), _requests())
    assert "tp" in refused.value.cure


def test_a_request_beyond_the_limit_names_whose_limit_it_is() -> None:
    engine = {"max_model_len": 1000}
    with pytest.raises(InputError, match="the engine's max_model_len of 1000"):
        predict_serving(MODEL, DEVICE, _deployment(engine=engine), _requests())


def test_bounds_are_read_off_the_slo() -> None:
    slo = Slo.model_validate(
        {"attainment": 0.5, "request": {"ttft_s": 0.001}, "tpot_s": {"p99": 10}, "ttft_s": {"mean": 1e-6}}
    )
    workload = WorkloadSpec.model_validate(
        {
            "model": "m",
            "arrivals": {"trace": "t"},
            "slo": slo,
            "classes": [{"name": "a", "slo": {"request": {"e2e_s": 2}}}],
        }
    )
    bounds = request_bounds(workload)
    assert bounds[0].tolist() == [np.inf, np.inf, 2.0, np.inf]
    assert bounds[1].tolist() == [0.001, np.inf, np.inf, np.inf]
    found = predict_serving(MODEL, DEVICE, _deployment(), _requests(), request_bounds(WorkloadSpec.model_validate(
        {"model": "m", "arrivals": {"trace": "t"}, "slo": slo})))  # fmt: skip
    held = {bound.name: bound.holds for bound in bounds_of(slo, found.measures)}
    assert held == {"ttft_s.mean": False, "tpot_s.p99": True, "attainment": False}
