"""The main job through the command line: from starter documents to a plan, its reasons, its export and its check."""

from __future__ import annotations

import copy
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import Result

import cli.output
from cli.output import progress
from renderers.check import STATISTICS  # the figures that a check compares
from specs.plan import ServingPlan
from specs.reading import read_document

Tonnage = Callable[..., Result]
PLAN = ("plan", "serving", "workload.yaml", "--cluster", "cluster.yaml")


def planned(tonnage: Tonnage, *options: str) -> dict[str, Any]:
    result = tonnage(*PLAN, *options)
    assert result.exit_code == 0, result.output
    plan: dict[str, Any] = yaml.safe_load(result.stdout)
    return plan


def without_time(plan: dict[str, Any]) -> dict[str, Any]:
    timeless = copy.deepcopy(plan)
    del timeless["metadata"]["created"], timeless["status"]["solver"]["seconds"]
    return timeless


def test_what_init_writes_plans_without_an_edit(tonnage: Tonnage) -> None:
    assert tonnage("init", "serving", "start").exit_code == 0
    result = tonnage("plan", "serving", "start/workload.yaml", "--cluster", "start/cluster.yaml", "-w", "plan.yaml")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "wrote plan.yaml\n")
    assert read_document("plan.yaml", ServingPlan).status.outcome == "optimal"


def test_the_same_inputs_give_the_same_plan(tonnage: Tonnage) -> None:
    assert without_time(planned(tonnage)) == without_time(planned(tonnage))


def test_a_plan_records_the_sums_of_its_inputs(tonnage: Tonnage) -> None:
    inputs = planned(tonnage)["metadata"]["inputs"]
    assert set(inputs) == {"workload.yaml", "cluster.yaml", "trace.csv"}
    assert all(value.startswith("sha256:") and len(value) == len("sha256:") + 64 for value in inputs.values())


def test_gpus_as_objective_need_no_price(tonnage: Tonnage) -> None:
    cluster = Path("cluster.yaml")
    lines = cluster.read_text().splitlines(keepends=True)
    cluster.write_text("".join(line for line in lines if "usd_per_gpu_hour" not in line))
    assert planned(tonnage, "--objective", "gpus")["decision"]["gpus"] == 1


def test_surviving_a_replica_takes_a_spare(tonnage: Tonnage) -> None:
    assert planned(tonnage, "--survive", "replica")["decision"]["gpus"] == planned(tonnage)["decision"]["gpus"] + 1


def test_evidence_that_is_not_there_is_not_replaced_by_weaker(tonnage: Tonnage) -> None:
    result = tonnage(*PLAN, "--require", "measured")
    assert result.exit_code == 4
    status = yaml.safe_load(result.stdout)["status"]
    assert status["outcome"] == "abstained"
    assert "tonnage " in status["missing"]


def test_what_runs_now_is_compared_with_the_plan(tonnage: Tonnage) -> None:
    notes = planned(tonnage, "--current", "deployment.yaml")["why"]["notes"]
    assert any("deployment.yaml" in note for note in notes)


def test_a_plan_is_explained_and_exported(tonnage: Tonnage) -> None:
    tonnage(*PLAN, "-w", "plan.yaml")
    engine = read_document("plan.yaml", ServingPlan).decision
    assert engine is not None
    limits = engine.deployments[0].engine
    shown = tonnage("export", "vllm", "plan.yaml").stdout
    assert f"--max-num-seqs {limits.max_num_seqs}" in shown
    assert f"--max-num-batched-tokens {limits.max_num_batched_tokens}" in shown
    assert "2.50 USD per hour" in " ".join(tonnage("explain", "plan.yaml").stdout.split())
    assert "vllm bench serve" in tonnage("export", "benchmark", "plan.yaml").stdout
    assert "guidellm" in tonnage("export", "benchmark", "plan.yaml", "--tool", "guidellm").stdout


def test_a_plan_that_held_checks_with_zero_and_one_that_broke_with_six(tonnage: Tonnage) -> None:
    tonnage(*PLAN, "-w", "plan.yaml")
    expected = yaml.safe_load(Path("plan.yaml").read_text())["expected"]
    ttft, tpot = (expected[name]["p50"]["value"] for name in ("ttft_s", "tpot_s"))
    rows = Path("trace.csv").read_text().splitlines()[1:]
    for factor, exit_code in ((1.0, 0), (3.0, 6)):
        measured = [f"{row},{ttft * factor:.5f},{tpot * factor:.6f}" for row in rows]
        Path("measured.csv").write_text(
            "\n".join(["arrival_s,prompt_tokens,output_tokens,ttft_s,tpot_s", *measured]) + "\n"
        )
        result = tonnage("check", "plan.yaml", "--measured", "measured.csv", "-o", "json")
        assert result.exit_code == exit_code, result.output


def test_a_check_in_json_has_the_documented_form(tonnage: Tonnage) -> None:
    row = "0.0,100,10,0.05,0.01\n1.0,100,10,0.05,0.01\n"
    Path("measured.csv").write_text("arrival_s,prompt_tokens,output_tokens,ttft_s,tpot_s\n" + row)
    shown = yaml.safe_load(tonnage("check", "deployment.yaml", "--measured", "measured.csv", "-o", "json").stdout)
    for latency in ("ttft_s", "tpot_s", "e2e_s"):
        assert set(shown[latency]) == set(STATISTICS)
        assert {"predicted", "measured", "error"} <= set(shown[latency]["p99"])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_says_what_it_is_doing_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(cli.output, "SHOW_AFTER_S", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    with progress(quiet=False) as on_progress:
        on_progress(1, 4, "simulating")
        time.sleep(0.3)
    assert "simulating" in terminal.getvalue()
    assert "25%" in terminal.getvalue()
