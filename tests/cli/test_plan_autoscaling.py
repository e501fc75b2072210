"""`tonnage plan autoscaling`: what it prints, and one clear message for whatever is wrong with what it is given."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from renderers.autoscaling import autoscaling_table
from specs.autoscaling import AutoscalingPlan
from specs.kinds import read_plan

APPLICATION = """apiVersion: tonnage/v1
kind: Application
metadata: {name: shop}
spec:
  services: [{name: cart}]
  entries: [{service: cart, slo: {latency_s: {p99: 0.5}}}]
"""
SCALING = """apiVersion: tonnage/v1
kind: Scaling
metadata: {name: shop-scaling}
spec:
  start_up: {schedule_s: 0, image_s: 30, weights_s: 0, warm_up_s: 60}
  tick_s: 60
  quota: 30
  current: {kind: hpa, min_replicas: 1, max_replicas: 3, triggers: [{metric: cpu, target: 80}]}
  services: [{service: cart, workers: 4, service_s: 0.05}]
"""
PLAN = ("plan", "autoscaling", "app.yaml", "--load", "load.csv", "--scaling", "scaling.yaml")
Tonnage = Callable[..., Result]


def series(rates: np.ndarray, step_s: int = 600) -> str:
    rows = "".join(f"{i * step_s},{rate:.2f}\n" for i, rate in enumerate(rates))
    return f"t_s,rate_per_s\n{rows}"


DAYS = 300.0 + 220.0 * np.sin(np.arange(4 * 144) / 144 * 2 * np.pi)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in (("app.yaml", APPLICATION), ("scaling.yaml", SCALING), ("load.csv", series(DAYS))):
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def tonnage(folder: Path) -> Tonnage:
    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(app, list(arguments), prog_name="tonnage")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def change(name: str, old: str, new: str) -> None:
    text = Path(name).read_text()
    assert old in text
    Path(name).write_text(text.replace(old, new, 1))


def one_message(result: Result, *words: str, exit_code: int = 2) -> None:
    assert result.exit_code == exit_code, result.output
    assert result.stderr.count("error:") == 1
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr, result.stderr


def test_every_simple_policy_is_scored_and_one_recommended(tonnage: Tonnage) -> None:
    result = tonnage(*PLAN, "--policy", "predictive", "-w", "plan.yaml", "-o", "table", "--compare")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("← recommended") == 1
    for word in ("static", "hpa (today's)", "keda", "predictive", "recovers in", "five axes", "behaviour"):
        assert word in result.stdout
    assert max(len(line) for line in result.stdout.splitlines()) <= 100
    plan = read_plan(Path("plan.yaml"))
    assert isinstance(plan, AutoscalingPlan)
    assert max(len(line) for line in autoscaling_table(plan, width=80).splitlines()) <= 80
    explained = tonnage("explain", "plan.yaml", "--plot")
    assert "must be foreseen or stand ready" in explained.stdout
    for word in ("• load", "░ its forecast", "p50 to p99", "█ replicas", "◆ recommended", "late requests against"):
        assert word in explained.stdout


def test_the_promise_is_kept_where_it_says_so(tonnage: Tonnage) -> None:
    plan = json.loads(tonnage(*PLAN, "--policy", "keda", "-o", "json").stdout)
    score = plan["expected"]["scores"]["cart"]
    assert score["violations"] <= 0.01
    assert {one["verdict"] == "recommended" for one in plan["why"]["compared"]} == {True, False}
    static = next(one for one in plan["why"]["compared"] if one["name"] == "static")
    assert score["replica_hours"] < static["score"]["replica_hours"]


def test_the_same_inputs_give_the_same_plan(tonnage: Tonnage) -> None:
    plans = [json.loads(tonnage(*PLAN, "--policy", "hpa", "-o", "json").stdout) for _ in range(2)]
    for plan in plans:
        del plan["metadata"]["created"], plan["status"]["solver"]["seconds"]
    assert plans[0] == plans[1]


def test_a_quota_below_the_need_says_the_need(tonnage: Tonnage) -> None:
    change("scaling.yaml", "quota: 30", "quota: 4")
    result = tonnage(*PLAN, "--policy", "hpa", "-o", "table")
    assert result.exit_code == 3
    assert "the peak of 520 per second needs 7 replicas, the quota is 4" in " ".join(result.stdout.split())
    assert "quota: 7 (it is 4)" in result.stdout


def test_todays_policy_that_stops_below_the_need_is_named(tonnage: Tonnage) -> None:
    result = tonnage(*PLAN, "--policy", "hpa", "-o", "table")
    assert "today's policy stops at 3 replicas, and the peak of 520 per second needs 7" in " ".join(
        result.stdout.split()
    )


def test_a_warm_up_longer_than_the_burst_is_named(tonnage: Tonnage) -> None:
    rates = np.full(4 * 144, 100.0)
    rates[300] = 500.0
    Path("load.csv").write_text(series(rates))
    change("scaling.yaml", "warm_up_s: 60", "warm_up_s: 1800")
    result = tonnage(*PLAN, "--policy", "hpa", "-o", "table")
    assert result.exit_code == 0
    assert "longer than the sharpest burst" in " ".join(result.stdout.split())
    assert "must stand ready" in " ".join(result.stdout.split())


def test_a_service_that_alone_is_too_slow_says_that_replicas_do_not_help(tonnage: Tonnage) -> None:
    change("app.yaml", "p99: 0.5", "p99: 0.1")
    result = tonnage(*PLAN, "--policy", "hpa", "-o", "table")
    assert result.exit_code == 3
    assert "more replicas alone do not help" in " ".join(result.stdout.split())


def test_an_unmeasured_service_makes_the_plan_abstain(tonnage: Tonnage) -> None:
    change("scaling.yaml", "  services: [{service: cart, workers: 4, service_s: 0.05}]\n", "")
    result = tonnage(*PLAN, "--policy", "hpa", "-o", "table")
    assert result.exit_code == 4
    assert "tonnage profile services" in " ".join(result.stdout.split())


def test_constant_load_gains_nothing_and_has_no_season(tonnage: Tonnage) -> None:
    Path("load.csv").write_text(series(np.full(3 * 144, 200.0)))
    result = tonnage(*PLAN, "--policy", "predictive", "-o", "table")
    assert result.exit_code == 0
    shown = " ".join(result.stdout.split())
    assert "the load is constant" in shown
    assert "no season" in shown


def test_one_day_has_no_season_and_says_so(tonnage: Tonnage) -> None:
    Path("load.csv").write_text(series(DAYS[:144]))
    result = tonnage(*PLAN, "--policy", "predictive", "-o", "table")
    assert result.exit_code == 0
    assert "predictive needs a season, and two of them" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("rates", "words"),
    [(DAYS[:3], ("too little",)), (-DAYS[:200], ("rate_per_s",)), (np.zeros(200), ("rate_per_s",))],
)
def test_a_load_that_makes_no_sense_is_refused(tonnage: Tonnage, rates: np.ndarray, words: tuple[str, ...]) -> None:
    Path("load.csv").write_text(series(rates))
    one_message(tonnage(*PLAN), *words)


def test_a_long_gap_is_refused_and_a_short_one_filled(tonnage: Tonnage) -> None:
    rows = series(DAYS).splitlines(keepends=True)
    Path("load.csv").write_text("".join(rows[:200] + rows[240:]))
    one_message(tonnage(*PLAN), "no rows between", "41 steps")
    Path("load.csv").write_text("".join(rows[:200] + rows[205:]))
    result = tonnage(*PLAN, "--policy", "static", "-o", "table")
    assert "5 missing rows of the load were filled by a line" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("scaling.yaml", "min_replicas: 1, max_replicas: 3", "min_replicas: 5, max_replicas: 3", ("min_replicas 5",)),
        ("scaling.yaml", "metric: cpu", "metric: cpus", ("metric", "cpu")),
        ("scaling.yaml", "quota: 30", "quotta: 30", ("did you mean 'quota'",)),
        ("scaling.yaml", "service: cart,", "service: kart,", ("kart", "no service")),
        ("app.yaml", ", slo: {latency_s: {p99: 0.5}}", "", ("no entry",)),
    ],
)  # fmt: skip
def test_a_wrong_document_is_refused_in_one_message(
    tonnage: Tonnage, name: str, old: str, new: str, words: tuple[str, ...]
) -> None:
    change(name, old, new)
    one_message(tonnage(*PLAN), *words)


def test_services_that_call_each_other_in_a_circle_are_refused(tonnage: Tonnage) -> None:
    change("app.yaml", "services: [{name: cart}]", "services: [{name: cart}, {name: tax}]")
    Path("app.yaml").write_text(
        Path("app.yaml").read_text() + "  calls: [{caller: cart, callee: tax}, {caller: tax, callee: cart}]\n"
    )
    one_message(tonnage(*PLAN), "circle")


def test_a_workload_needs_its_deployment(tonnage: Tonnage) -> None:
    Path("workload.yaml").write_text(
        "apiVersion: tonnage/v1\nkind: Workload\nmetadata: {name: chat}\nspec:\n  model: llama-3.1-8b\n"
        "  arrivals: {rate_per_s: 5}\n  lengths: {prompt_tokens: {constant: 200}, output_tokens: {constant: 50}}\n"
        "  slo: {ttft_s: {p99: 1.0}}\n"
    )
    one_message(tonnage("plan", "autoscaling", "workload.yaml", "--load", "load.csv"), "--deployment")


def test_without_a_load_there_is_nothing_to_try_on(tonnage: Tonnage) -> None:
    one_message(tonnage("plan", "autoscaling", "app.yaml"), "--load SERIES.csv")


def test_the_decision_table_names_only_commands_that_exist(tonnage: Tonnage) -> None:
    rows = json.loads(tonnage("catalog", "methods", "-o", "json").stdout)
    assert {row["command"].split()[2] for row in rows} >= {"autoscaling", "serving"}
    only = json.loads(
        tonnage("catalog", "methods", "--architecture", "llm", "--objective", "days", "-o", "json").stdout
    )
    assert [row["paper"] for row in only] == 2 * ["cloud-native LLM serving (2507.18007)"]
    assert "no method in the table" in tonnage("catalog", "methods", "--architecture", "abacus", "-o", "table").stdout


def test_training_without_the_extra_says_what_to_install(tonnage: Tonnage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planners.autoscaling.reinforcing.available", lambda: False)
    one_message(tonnage(*PLAN, "--policy", "td3"), "tonnage[torch]", exit_code=4)


def test_every_policy_without_the_extra_leaves_the_learned_ones_out(
    tonnage: Tonnage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("planners.autoscaling.planning.available", lambda: False)
    result = tonnage(*PLAN, "--policy", "all", "-o", "table")
    assert result.exit_code == 0
    assert "td3 was left out" in " ".join(result.stdout.split())


def test_brownout_runs_beside_the_others_where_work_is_optional(tonnage: Tonnage) -> None:
    change("scaling.yaml", "quota: 30", "quota: 30\n  brownout: {work_share: 0.3, most_dimmed: 0.02}")
    plan = json.loads(tonnage(*PLAN, "--policy", "keda", "-o", "json").stdout)
    found = next(one for one in plan["why"]["compared"] if one["name"] == "keda + brownout")
    assert found["policy"]["brownout"] is True
    assert found["score"]["over_dimmed"] is (found["score"]["dimmed"] > 0.02)


def test_a_file_in_the_place_of_the_training_folder_is_refused(tonnage: Tonnage) -> None:
    one_message(tonnage(*PLAN, "--policy", "hpa", "--training", "load.csv"), "load.csv", "a folder was expected")
