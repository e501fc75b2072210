"""`tonnage plan batching`: what it prints, and one message for each wrong input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import Result

from tests.cli.test_bad_input import change, one_message

Tonnage = Callable[..., Result]
PLAN = ("plan", "batching", "workload.yaml", "--deployment", "deployment.yaml")


def test_the_plan_is_written_shown_and_explained(tonnage: Tonnage) -> None:
    result = tonnage(*PLAN, "-w", "plan.yaml", "-o", "table")
    assert result.exit_code == 0, result.output
    assert "do not bucket" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100
    written = yaml.safe_load(Path("plan.yaml").read_text())
    assert written["kind"] == "BatchingPlan"
    assert written["decision"]["do_not_bucket"] is True
    assert written["why"]["compared"][0]["method"] == "fcfs"
    told = tonnage("explain", "plan.yaml", "--plot")
    assert told.exit_code == 0, told.output
    assert "The reason: a ragged back-end" in told.stdout
    assert "padding by buckets" in told.stdout


def test_nothing_is_overwritten_unasked(tonnage: Tonnage) -> None:
    Path("plan.yaml").write_text("mine")
    one_message(tonnage(*PLAN, "-w", "plan.yaml"), "plan.yaml: exists already")
    assert Path("plan.yaml").read_text() == "mine"


def test_bounds_that_leave_a_length_uncovered_are_refused(tonnage: Tonnage) -> None:
    result = tonnage(*PLAN, "--boundaries", "256,400")
    one_message(result, "prompts above 400 tokens have no bucket", "up to 496", "End the last bucket at 496")


@pytest.mark.parametrize(
    ("bounds", "word"), [("400,256", "ascend"), ("0,400", "ascend"), ("256,", "neither a rule"), ("best", "neither")]
)
def test_bounds_that_are_none_are_refused(tonnage: Tonnage, bounds: str, word: str) -> None:
    one_message(tonnage(*PLAN, "--boundaries", bounds), word)


def test_bounds_that_are_given_are_used(tonnage: Tonnage) -> None:
    result = tonnage(*PLAN, "--boundaries", "256,512", "--method", "bucket", "-o", "yaml")
    settings = [one["setting"] for one in yaml.safe_load(result.stdout)["why"]["compared"]]
    assert "2 buckets, given, fcfs" in settings


def trace(deadline: str) -> None:
    rows = "\n".join(f"{i}.0,100,20,{i + 30}.0" for i in range(1, 20))
    Path("trace.csv").write_text(f"arrival_s,prompt_tokens,output_tokens,deadline_s\n0.5,100,20,{deadline}\n{rows}\n")


@pytest.mark.parametrize("deadline", ["0.5", "0.2"])
def test_a_deadline_past_on_arrival_is_refused_with_its_row(tonnage: Tonnage, deadline: str) -> None:
    trace(deadline)
    one_message(tonnage(*PLAN), "trace.csv: row 1, deadline_s", deadline, "past on arrival")


def test_a_deadline_that_is_no_number_is_refused(tonnage: Tonnage) -> None:
    trace("soon")
    one_message(tonnage(*PLAN), "trace.csv: row 1, deadline_s", "soon")


def test_deadlines_that_even_an_idle_engine_misses_are_infeasible(tonnage: Tonnage) -> None:
    rows = "\n".join(f"{i}.0,100,200,{i}.01" for i in range(40))
    Path("trace.csv").write_text(f"arrival_s,prompt_tokens,output_tokens,deadline_s\n{rows}\n")
    result = tonnage(*PLAN, "-o", "yaml")
    assert result.exit_code == 3, result.output
    status = yaml.safe_load(result.stdout)["status"]
    assert status["outcome"] == "infeasible"
    assert "40 requests cannot meet their deadline even alone" in status["smallest_change"]


def test_a_closed_loop_has_no_arrivals_to_batch(tonnage: Tonnage) -> None:
    change("workload.yaml", "{trace: trace.csv}", "{concurrency: 4, prompts: 40}")
    change("workload.yaml", "{from: trace}", "{prompt_tokens: {constant: 9}, output_tokens: {constant: 9}}")
    one_message(tonnage(*PLAN), "closed loop", "Give a trace")


def test_another_model_is_refused(tonnage: Tonnage) -> None:
    change("workload.yaml", "llama-3.1-8b", "llama-3.1-70b")
    one_message(tonnage(*PLAN), "llama-3.1-70b", "serves 'llama-3.1-8b'")


def test_a_model_that_does_not_fit_is_infeasible(tonnage: Tonnage) -> None:
    change("workload.yaml", "llama-3.1-8b", "llama-3.1-70b")
    change("deployment.yaml", "llama-3.1-8b", "llama-3.1-70b")
    one_message(tonnage(*PLAN), "does not fit", exit_code=3)


def test_percentile_bounds_stand_in_for_bounds_on_requests(tonnage: Tonnage) -> None:
    result = tonnage(*PLAN, "--method", "fcfs", "-o", "yaml")
    assert "it bounds none itself" in yaml.safe_load(result.stdout)["why"]["bounds"]
