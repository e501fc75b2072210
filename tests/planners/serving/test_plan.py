from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planners.serving import opening, plan, search
from planners.serving.bounds import demand
from planners.serving.candidates import Limits, Part, gpus, usd_per_hour
from planners.serving.opening import Open, Tally
from planners.serving.planning import every_layout
from planners.serving.question import Question, read_question
from planners.serving.search import best_limits
from planners.serving.serve import Workbench
from planners.serving.trials import Trial, price, try_decision
from predictors.deployment import compile_deployment, serve
from predictors.serving.measures import measure
from specs.base import plain
from specs.catalog import find_device, find_model
from specs.errors import InputError
from specs.plan import ServingPlan
from tests.planners.serving.documents import SLO, cluster, pool, workload

FEW = settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def asked(folder: Path, **options: object) -> Question:
    given: dict[str, object] = {
        "objective": "cost", "confidence": 0.8, "survive": None, "require": None, "profiles": (), "seed": 0,
    }  # fmt: skip
    return read_question(workload(folder), cluster(folder), **(given | options))  # type: ignore[arg-type]


def decided(made: ServingPlan) -> tuple[float, int]:
    assert made.decision is not None, made.status
    return made.decision.usd_per_hour or 0.0, made.decision.gpus


def test_the_same_inputs_give_the_same_plan(tmp_path: Path) -> None:
    documents = workload(tmp_path), cluster(tmp_path)
    one, two = plain(plan(*documents)), plain(plan(*documents))
    for made in (one, two):
        made["metadata"].pop("created")
        made["status"]["solver"].pop("seconds")
    assert one == two


def test_the_plan_has_its_six_parts_and_digests_of_every_input(tmp_path: Path) -> None:
    made = plan(workload(tmp_path), cluster(tmp_path))
    assert made.status.outcome == "optimal"
    assert set(made.metadata.inputs) == {"workload.yaml", "cluster.yaml"}
    assert all(digest.count("sha256:") == 1 for digest in made.metadata.inputs.values())
    assert made.expected is not None
    assert made.why is not None
    assert made.why.binding in {held.name for held in made.why.slo}
    assert all(held.holds for held in made.why.slo)
    assert {entry.quantity for entry in made.evidence} >= {"step_time", "memory"}
    assert made.expected.ttft_s.p99 is not None
    assert (made.expected.ttft_s.p99.low or 0) <= made.expected.ttft_s.p99.value <= (made.expected.ttft_s.p99.high or 0)


def test_the_decision_holds_and_one_replica_fewer_is_at_its_bound_by_another_path(tmp_path: Path) -> None:
    """`predictors.deployment` composes memory, step time and engine on its own, `measure` bootstraps on its own."""
    path = workload(tmp_path, arrivals="{rate_per_s: 60, cv: 1.5, duration_s: 30}")
    where = cluster(tmp_path, pool("l40s", "l40s", 0.9, nodes=16, gpus=1))
    question = read_question(
        path, where, objective="cost", confidence=0.8, survive=None, require=None, profiles=(), seed=0
    )
    best, bench = cheapest(question), Workbench(question)
    assert best is not None
    part = best.decision[0]
    assert part.replicas > 1, "the load was meant to need two replicas or more"
    used = []
    for replicas in (part.replicas, part.replicas - 1):
        one = bench.deployment(part.layout, part.limits, replicas)
        compiled = compile_deployment(find_model(one.model), find_device(one.device), one)
        run = serve(compiled, question.requests, time_factor=bench.factor(part.layout, "planned"))
        bounds = np.array([[1.0, 0.05, np.inf, np.inf]])
        found = measure(run, bounds, prompt_tokens=question.requests.prompt_tokens, confidence=0.6)
        misses = (1 - found.attainment.low) / 0.02
        used.append(max(found.ttft_s.p99.high / 1.0, found.tpot_s.p99.high / 0.05, misses))
    assert used[0] <= 1.0
    assert used[1] > 0.95  # two ways to estimate a sampling error differ by some percent


def test_brute_force_over_a_small_grid_finds_the_same_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "MAX_NUM_SEQS", (64, 16))
    monkeypatch.setattr(opening, "MAX_NUM_BATCHED_TOKENS", (4096, 1024))
    monkeypatch.setattr(opening, "MEMORY_FRACTIONS", (0.9,))
    where = cluster(tmp_path, pool("h100", "h100-sxm", 2.5, nodes=1), pool("l40s", "l40s", 0.9, nodes=2, gpus=2))
    path = workload(tmp_path, arrivals="{rate_per_s: 30, cv: 1.5, duration_s: 20}")
    question = read_question(
        path, where, objective="cost", confidence=0.8, survive=None, require=None, profiles=(), seed=0
    )
    bench = Workbench(question)
    found = []
    for layout in every_layout(question):
        for replicas in range(1, layout.capacity + 1):
            for seqs in (64, 16):
                for tokens in (4096, 1024):
                    limits = Limits(seqs, tokens, 0.9)
                    if not bench.memory(layout, limits).fits:
                        continue
                    trial = try_decision(bench, (Part(layout=layout, limits=limits, replicas=replicas),), stop=False)
                    found += [price(question, trial.decision)] if trial.holds else []
    best = search.cheapest_mixed(bench, demand(question), every_layout(question), Tally(), lambda *_: None)
    assert best is not None
    assert price(question, best.decision) == min(found)


@FEW
@given(factors=st.tuples(st.floats(0.5, 4.0), st.floats(1.3, 3.0)))
def test_more_load_never_needs_fewer_gpus(tmp_path: Path, factors: tuple[float, float]) -> None:
    where = cluster(tmp_path, pool("l40s", "l40s", 0.9, nodes=8))
    costs = []
    for rate in (8 * factors[0], 8 * factors[0] * factors[1]):
        path = workload(tmp_path, arrivals=f"{{rate_per_s: {rate}, cv: 1.5, duration_s: {400 / rate}}}")
        question = read_question(
            path, where, objective="gpus", confidence=0.8, survive=None, require=None, profiles=(), seed=0
        )
        best = cheapest(question)
        assert best is not None
        costs.append(gpus(best.decision))
    assert costs[0] <= costs[1]


@FEW
@given(loosen=st.floats(1.0, 3.0))
def test_a_looser_slo_never_costs_more(tmp_path: Path, loosen: float) -> None:
    tight = cheapest(asked(tmp_path))
    slo = f"{{ttft_s: {{p99: {1.0 * loosen}}}, tpot_s: {{p99: {0.05 * loosen}}}}}"
    path = workload(tmp_path, slo=slo)
    loose = cheapest(
        read_question(
            path, cluster(tmp_path), objective="cost", confidence=0.8, survive=None, require=None, profiles=(), seed=0
        )
    )
    assert tight is not None
    assert loose is not None
    assert (usd_per_hour(loose.decision) or 0) <= (usd_per_hour(tight.decision) or 0)


def cheapest(question: Question) -> Trial | None:
    bench = Workbench(question)
    return search.cheapest_mixed(bench, demand(question), every_layout(question), Tally(), lambda *_: None)


def test_every_count_from_the_bound_to_the_answer_has_failed(tmp_path: Path) -> None:
    path = workload(tmp_path, arrivals="{rate_per_s: 100, cv: 2.0, duration_s: 20}")
    question = read_question(
        path, cluster(tmp_path, pool("l40s", "l40s", 0.9, nodes=8)), objective="cost", confidence=0.8, survive=None,
        require=None, profiles=(), seed=0,
    )  # fmt: skip
    bench, tally = Workbench(question), Tally()
    best = search.cheapest_mixed(bench, demand(question), every_layout(question), tally, lambda *_: None)
    assert best is not None
    layout = best.decision[0].layout
    failed = sorted(t.decision[0].replicas for t in tally.failed if t.decision[0].layout == layout)
    assert failed == list(range(tally.opened[layout.label].fewest, best.decision[0].replicas))


def test_below_the_closed_form_bound_everything_fails(tmp_path: Path) -> None:
    path = workload(tmp_path, arrivals="{rate_per_s: 120, cv: 1.0, duration_s: 20}")
    question = read_question(
        path, cluster(tmp_path, pool("l40s", "l40s", 0.9, nodes=8)), objective="cost", confidence=0.8, survive=None,
        require=None, profiles=(), seed=0,
    )  # fmt: skip
    bench, tally, seen = Workbench(question), Tally(), 0
    for layout in every_layout(question):
        opened = opening.open_layout(bench, demand(question), layout, tally)
        if opened is not None and opened.fewest > 1:
            every = Open(layout=layout, fewest=1, limits=tuple((limits, 1) for limits, _ in opened.limits))
            assert not best_limits(bench, every, opened.fewest - 1, Tally()).holds
            seen += 1
    assert seen, "no layout had a bound above one"


@pytest.mark.parametrize(("survive", "spare"), [("replica", 1), ("node", 1)])
def test_survival_costs_the_replicas_that_may_be_lost(tmp_path: Path, survive: str, spare: int) -> None:
    documents = workload(tmp_path), cluster(tmp_path, pool("h100", "h100-sxm", 2.5, nodes=4, gpus=2))
    plainly, safely = plan(*documents), plan(*documents, survive=survive)  # type: ignore[arg-type]
    assert decided(safely)[1] >= decided(plainly)[1] + spare
    assert safely.why is not None
    assert any("spare" in note for note in safely.why.notes)


def test_headroom_lies_between_what_holds_and_what_breaks(tmp_path: Path) -> None:
    made = plan(workload(tmp_path), cluster(tmp_path))
    assert made.why is not None
    assert made.why.headroom is not None
    assert made.why.headroom >= 1.0
    if made.why.headroom_high is not None:
        assert made.why.headroom < made.why.headroom_high <= made.why.headroom * 1.03


def test_the_objective_gpus_needs_no_price(tmp_path: Path) -> None:
    where = cluster(tmp_path, pool("h100", "h100-sxm", None), pool("l40s", "l40s", None))
    made = plan(workload(tmp_path), where, objective="gpus")
    assert made.decision is not None
    assert made.decision.usd_per_hour is None
    with pytest.raises(InputError, match=r"pool 'h100': usd_per_gpu_hour is missing"):
        plan(workload(tmp_path), where)


def test_an_slo_below_the_unloaded_latency_says_the_unloaded_figure(tmp_path: Path) -> None:
    made = plan(workload(tmp_path, slo="{ttft_s: {p99: 0.01}}"), cluster(tmp_path))
    assert made.status.outcome == "infeasible"
    assert "without any load" in made.status.conflicts[0]
    assert "loosen ttft_s.p99 from 0.01 s to more than" in (made.status.smallest_change or "")


def test_an_end_to_end_bound_below_the_fastest_steps_is_told(tmp_path: Path) -> None:
    made = plan(workload(tmp_path, slo="{e2e_s: {p99: 0.2}}"), cluster(tmp_path))
    assert made.status.outcome == "infeasible"
    assert "e2e_s.p99" in made.status.conflicts[0]


def test_a_layout_that_no_count_makes_hold_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "PATIENCE", 0)
    monkeypatch.setattr(opening, "unloaded", lambda *_: ())  # leave the impossible bound to the simulator
    question = asked(tmp_path)
    slo = question.workload.slo.model_copy(
        update={"ttft_s": question.workload.slo.ttft_s.model_copy(update={"p99": 0.01})}
    )
    never = replace(question, workload=question.workload.model_copy(update={"slo": slo}))
    tally = Tally()
    assert search.cheapest_mixed(Workbench(never), demand(never), every_layout(never), tally, lambda *_: None) is None
    assert any(one.reason.startswith("even ") for one in tally.refusals)


def test_the_unloaded_figure_it_names_would_do(tmp_path: Path) -> None:
    made = plan(workload(tmp_path, slo="{ttft_s: {p99: 0.01}}"), cluster(tmp_path))
    named = float((made.status.smallest_change or "").split("more than ")[1].split(" s:")[0])
    loosened = plan(
        workload(tmp_path, slo=f"{{ttft_s: {{p99: {named * 1.5}}}}}"),
        cluster(tmp_path, pool("h100", "h100-sxm", 2.5, nodes=8, gpus=8)),
    )
    assert loosened.status.outcome == "optimal"


def test_no_free_gpu_is_told_with_how_many_would_do(tmp_path: Path) -> None:
    made = plan(workload(tmp_path), cluster(tmp_path, pool("h100", "h100-sxm", 2.5, taken="4")))
    assert made.status.outcome == "infeasible"
    assert "0 free GPUs" in made.status.reason
    assert "pool h100 with" in (made.status.smallest_change or "")


def test_a_model_that_fits_no_device_is_told_in_gib(tmp_path: Path) -> None:
    path = workload(tmp_path)
    path.write_text(path.read_text().replace("llama-3.1-8b", "llama-3.1-405b"))
    made = plan(path, cluster(tmp_path, pool("l40s", "l40s", 0.9, nodes=1, gpus=2)))
    assert made.status.outcome == "infeasible"
    assert "GiB" in (made.status.smallest_change or "")


def test_measured_evidence_that_is_not_there_makes_it_abstain(tmp_path: Path) -> None:
    made = plan(workload(tmp_path), cluster(tmp_path), require="measured")
    assert made.status.outcome == "abstained"
    assert made.decision is None
    assert "tonnage profile layers llama-3.1-8b" in (made.status.missing or "")


def test_classes_have_bounds_of_their_own(tmp_path: Path) -> None:
    more = "  classes: [{name: long, prompt_tokens_at_least: 1500, slo: {ttft_s: {p95: 2.0}}}]\n"
    made = plan(workload(tmp_path, more=more), cluster(tmp_path))
    assert made.why is not None
    assert {"long.ttft_s.p95", "ttft_s.p99"} <= {held.name for held in made.why.slo}


def test_a_closed_loop_plans(tmp_path: Path) -> None:
    made = plan(workload(tmp_path, arrivals="{concurrency: 32, prompts: 320}"), cluster(tmp_path))
    assert made.status.outcome == "optimal"


def test_few_requests_are_said_to_be_few(tmp_path: Path) -> None:
    made = plan(workload(tmp_path, arrivals="{rate_per_s: 2, duration_s: 40}"), cluster(tmp_path))
    assert made.why is not None
    assert any("fewer than 200" in note for note in made.why.notes)


def test_what_runs_now_is_compared(tmp_path: Path) -> None:
    current = tmp_path / "now.yaml"
    current.write_text(
        "apiVersion: tonnage/v1\nkind: Deployment\nmetadata: {name: now}\n"
        "spec: {model: llama-3.1-8b, device: l40s, replicas: 9}\n"
    )
    made = plan(workload(tmp_path), cluster(tmp_path), current=current)
    assert made.why is not None
    assert any(note.startswith("against now.yaml: replicas: 9 →") for note in made.why.notes)


def test_an_slo_without_bounds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no bound is given"):
        plan(workload(tmp_path, slo="{attainment: 0.99}"), cluster(tmp_path))


def test_the_slo_of_the_documents_is_what_the_tests_count() -> None:
    assert "tpot_s: {p99: 0.05}" in SLO
