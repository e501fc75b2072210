"""Checks end to end: a deployment against runs, a plan against its intervals, points against a table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from planners.check import check_measured, check_points
from renderers.check import check_json, check_table
from specs.errors import InputError

RUN = "serving_runs/llmservingsim_vllm_RTXPRO6000_Llama-3.1-8B_requests.csv.gz"
DEPLOYMENT = """apiVersion: tonnage/v1
kind: Deployment
metadata: {name: one}
spec:
  model: llama-3.1-8b
  device: rtx-pro-6000
  engine: {version: "0.19.0", max_num_seqs: 128, max_num_batched_tokens: 2048}
"""
PLAN = """apiVersion: tonnage/v1
kind: ServingPlan
metadata: {name: chat}
status: {outcome: optimal, reason: "it holds"}
decision: {deployments: [{model: llama-3.1-8b, device: h100-sxm}], gpus: 1}
expected:
  ttft_s: {mean: {value: 0.2, low: 0.15, high: 0.3}, p50: {value: 0.2, low: 0.1, high: 0.3}}
  tpot_s: {mean: {value: 0.02, low: 0.015, high: 0.03}}
  e2e_s: {}
  attainment: {value: 1.0}
why: {load: {rate_per_s: 1.0}, headroom: 1.5}
"""
HEAD = "arrival_s,prompt_tokens,output_tokens,ttft_s,tpot_s\n"


def _write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def _run(folder: Path, ttft_s: float, tpot_s: float, gap_s: float = 1.0) -> Path:
    rows = "".join(f"{n * gap_s},100,20,{ttft_s},{tpot_s}\n" for n in range(50))
    return _write(folder, "run.csv", HEAD + rows)


def test_a_published_run_is_replayed_within_the_stated_interval(
    tmp_path: Path, reference_data: Callable[[str], Path]
) -> None:
    report = check_measured(_write(tmp_path, "d.yaml", DEPLOYMENT), reference_data(RUN))
    figures = check_json(report)
    assert list(figures) == ["ttft_s", "tpot_s", "e2e_s"]
    for latency in figures.values():
        assert list(latency) == ["mean", "p50", "p90", "p95", "p99"]
        for one in latency.values():
            assert list(one) == ["predicted", "measured", "error"]
            assert one["error"] == pytest.approx(one["predicted"] / one["measured"] - 1)
            assert abs(one["error"]) < 0.15  # by the datasheet-based roofline, fitted on other runs
    json.dumps(figures, allow_nan=False)
    assert not report.violated
    assert set(report.metadata.inputs) == {"d.yaml", Path(RUN).name}


def test_the_same_check_twice_is_identical(tmp_path: Path) -> None:
    path, run = _write(tmp_path, "d.yaml", DEPLOYMENT), _run(tmp_path, 0.05, 0.01)
    assert check_measured(path, run) == check_measured(path, run)


@pytest.mark.parametrize(
    ("ttft_s", "tpot_s", "violated", "part"),
    [
        (0.2, 0.02, False, "all 3 figures lie inside"),
        (0.9, 0.02, True, "TTFT mean, measured 0.9 s, stated at most 0.3 s"),
        (0.2, 0.04, True, "1 of 3 figures lie above"),
        (0.01, 0.001, False, "3 of 3 are faster than stated"),
    ],
)
def test_a_plan_breaks_only_where_a_figure_lies_above_its_interval(
    tmp_path: Path, ttft_s: float, tpot_s: float, violated: bool, part: str
) -> None:
    report = check_measured(_write(tmp_path, "p.yaml", PLAN), _run(tmp_path, ttft_s, tpot_s))
    assert report.violated == violated
    assert part in report.verdict
    assert check_json(report)["ttft_s"]["mean"]["high"] == 0.3
    assert report.ttft_s is not None
    assert report.ttft_s.p99.predicted is None  # the plan does not state it


def test_another_load_than_the_planned_is_noted(tmp_path: Path) -> None:
    plan = _write(tmp_path, "p.yaml", PLAN)
    assert not any("per second" in note for note in check_measured(plan, _run(tmp_path, 0.2, 0.02)).notes)
    notes = check_measured(plan, _run(tmp_path, 0.2, 0.02, gap_s=0.5)).notes
    assert "the run sent 2 requests per second, the plan is for 1" in notes


def test_headroom_is_recalibrated_on_the_run(tmp_path: Path) -> None:
    plan, deployment = _write(tmp_path, "p.yaml", PLAN), DEPLOYMENT.replace("rtx-pro-6000", "h100-sxm")
    deployment = deployment.split("  engine")[0]
    run = _run(tmp_path, 0.2, 0.02)
    replayed = check_measured(_write(tmp_path, "d.yaml", deployment), run).tpot_s
    assert replayed is not None
    assert replayed.mean.predicted is not None
    factor = 0.02 / replayed.mean.predicted
    (note,) = [note for note in check_measured(plan, run).notes if "recalibrated" in note]
    assert f"step times × {factor:.2f}" in note
    assert f"headroom is about {1.5 / factor:.2f}" in note


def test_an_infeasible_plan_cannot_be_checked(tmp_path: Path) -> None:
    text = "apiVersion: tonnage/v1\nkind: ServingPlan\nmetadata: {name: n}\nstatus: {outcome: infeasible, reason: r}\n"
    with pytest.raises(InputError, match="decides nothing"):
        check_measured(_write(tmp_path, "p.yaml", text), _run(tmp_path, 0.2, 0.02))


def test_what_check_needs_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs a document"):
        check_measured(None, None)
    with pytest.raises(InputError, match="needs --device"):
        check_points(_write(tmp_path, "p.csv", POINTS), None)
    workload = _write(tmp_path, "w.yaml", "apiVersion: tonnage/v1\nkind: Workload\nmetadata: {name: n}\n")
    run = _run(tmp_path, 0.2, 0.02)
    with pytest.raises(InputError, match="kind: found 'Workload'"):
        check_measured(workload, run)


POINTS = """model,precision,tp,pp,isl,osl,concurrency,ttft_ms,tpot_ms,engine,length_spread,ep
llama-3.1-8b,,1,1,1000,100,4,40,9,vllm,0.2,0
llama-3.1-8b,fp8,2,1,1000,100,4,,6,,0,
llama-3.1-70b,bf16,1,1,1000,100,4,40,9,vllm,,
"""


def test_points_are_predicted_and_scored(tmp_path: Path) -> None:
    report = check_points(_write(tmp_path, "p.csv", POINTS), "h100-sxm")
    found = check_json(report)
    assert set(found) == {"mape", "points"}
    first, second, third = found["points"]
    assert (first["model"], first["concurrency"], first["length_spread"]) == ("llama-3.1-8b", 4, "0.8-1.0")
    assert second["ttft_s"]["error"] is None  # not measured
    assert third["ttft_s"]["predicted"] is None  # does not fit one GPU
    assert any("row 3" in note and "does not fit" in note for note in report.notes)
    errors = [abs(point["tpot_s"]["error"]) for point in (first, second)]
    assert found["mape"]["tpot"] == pytest.approx(sum(errors) / 2)
    assert found["mape"]["ttft"] == pytest.approx(abs(first["ttft_s"]["error"]))
    assert first["tpot_s"]["low"] < first["tpot_s"]["predicted"] < first["tpot_s"]["high"]


def test_evidence_for_points_comes_from_a_folder(tmp_path: Path, reference_data: Callable[[str], Path]) -> None:
    table = reference_data("op_profiles/aiconfigurator_h100_sxm_vllm-0.14.0_gemm_perf.parquet")
    points = _write(tmp_path, "p.csv", "\n".join(POINTS.splitlines()[:2]) + "\n")
    report = check_points(points, "h100-sxm", evidence=table.parent)
    assert [entry.basis for entry in report.evidence] == ["database"]
    with pytest.raises(InputError, match="no folder of evidence"):
        check_points(points, "h100-sxm", evidence=points)


def _text(report: object) -> str:
    from rich.console import Console

    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(report)
    return console.export_text()


def test_tables_fit_a_terminal(tmp_path: Path) -> None:
    plan = check_measured(_write(tmp_path, "p.yaml", PLAN), _run(tmp_path, 0.9, 0.02))
    points = check_points(_write(tmp_path, "p.csv", POINTS), "h100-sxm")
    for report, part in ((plan, "the plan broke"), (points, "mean absolute error over 3 points")):
        text = _text(check_table(report))
        assert part in text
        assert max(map(len, text.splitlines())) <= 100
