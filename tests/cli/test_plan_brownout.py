"""`tonnage plan brownout` prints the decision first, in every form, and answers wrong input with one message."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import Result

from tests.cli.test_bad_input import one_message
from tests.planners.brownout.documents import deployment, experts, workload

Tonnage = Callable[..., Result]
PLAN = ("plan", "brownout", "workload.yaml", "--deployment", "deployment.yaml", "--experts", "experts.yaml")


@pytest.fixture(autouse=True)
def _documents(folder: Path) -> None:
    workload(folder)
    deployment(folder)
    experts(folder)


def change(name: str, edit: Callable[[dict[str, object]], None]) -> None:
    document = yaml.safe_load(Path(name).read_text())
    edit(document["spec"])
    Path(name).write_text(yaml.safe_dump(document, sort_keys=False))


def test_the_plan_in_every_form(tonnage: Tonnage) -> None:
    shown = tonnage(*PLAN, "-o", "table", "-w", "plan.yaml", "--per-layer")
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert "feasible" in lines[0]
    assert "united experts per layer" in lines[2]
    assert max(map(len, lines)) <= 100
    document = json.loads(tonnage(*PLAN, "-o", "json").stdout)
    assert set(document) >= {"metadata", "status", "decision", "expected", "why", "evidence"}
    told = tonnage("explain", "plan.yaml", "--plot")
    assert "experts per layer with full service" in " ".join(told.stdout.split())
    assert "accuracy loss, %" in told.stdout
    assert len(yaml.safe_load(Path("plan.yaml").read_text())["decision"]["brownout"]["decode_per_layer"]) == 24


def test_nothing_holds(tonnage: Tonnage) -> None:
    shown = tonnage(*PLAN, "--burst", "6", "-o", "table")
    assert shown.exit_code == 3
    assert "would do" in shown.stdout


def test_a_dense_model_is_refused_with_the_reason(tonnage: Tonnage, folder: Path) -> None:
    deployment(folder, model="llama-3.1-8b")
    one_message(tonnage(*PLAN), "llama-3.1-8b is dense", "no experts")


def test_a_histogram_of_another_model(tonnage: Tonnage, folder: Path) -> None:
    experts(folder, model="mixtral-8x7b")
    one_message(tonnage(*PLAN), "experts of mixtral-8x7b", "tonnage profile moe")


@pytest.mark.parametrize(("layers", "number", "word"), [(24, 8, "8 experts"), (23, 60, "23 layers")])
def test_a_histogram_of_another_shape(tonnage: Tonnage, folder: Path, layers: int, number: int, word: str) -> None:
    experts(folder, layers=layers, number=number)
    one_message(tonnage(*PLAN), word, "qwen1.5-moe-a2.7b has")


def test_a_row_of_zeros(tonnage: Tonnage) -> None:
    def edit(spec: dict[str, object]) -> None:
        spec["layers"][3] |= {"counts": [0] * 60, "assignments": 0}  # type: ignore[index]

    change("experts.yaml", edit)
    one_message(tonnage(*PLAN), "experts.yaml", "layers[3].assignments")


def test_a_count_that_is_no_number(tonnage: Tonnage) -> None:
    def edit(spec: dict[str, object]) -> None:
        spec["layers"][3]["counts"][7] = float("nan")  # type: ignore[index]

    change("experts.yaml", edit)
    one_message(tonnage(*PLAN), "experts.yaml", "layers[3].counts[7]")


def test_a_closed_loop_has_no_burst(tonnage: Tonnage, folder: Path) -> None:
    workload(folder, arrivals="{concurrency: 8, prompts: 100}")
    one_message(tonnage(*PLAN), "closed loop", "burst")


def test_an_slo_that_bounds_nothing_to_steer_by(tonnage: Tonnage, folder: Path) -> None:
    workload(folder, slo="{e2e_s: {p90: 9.0}}")
    one_message(tonnage(*PLAN), "spec.slo", "ttft_s, tpot_s or itl_s")


def test_a_burst_below_one(tonnage: Tonnage) -> None:
    one_message(tonnage(*PLAN, "--burst", "0.5"), "--burst", "0.5")


def test_losses_of_another_model_must_be_given(tonnage: Tonnage, folder: Path) -> None:
    workload(folder, model="mixtral-8x7b")
    deployment(folder, model="mixtral-8x7b", device="h200")
    experts(folder, layers=32, number=8, model="mixtral-8x7b")
    one_message(tonnage(*PLAN), "no accuracy losses of mixtral-8x7b", "--accuracy")


def table(folder: Path, model: str, rows: str) -> None:
    (folder / "accuracy.yaml").write_text(
        "apiVersion: tonnage/v1\nkind: AccuracyTable\nmetadata: {name: mine}\n"
        f"spec: {{model: {model}, measure: a test, source: a test, date: '2026-11-01', rows: {rows}}}\n"
    )


def test_a_table_of_another_model(tonnage: Tonnage, folder: Path) -> None:
    table(folder, "mixtral-8x7b", '[{threshold: 1, loss_pct: {"4": 0}}, {threshold: 0, loss_pct: {"4": 9}}]')
    one_message(tonnage(*PLAN, "--accuracy", "accuracy.yaml"), "accuracy table is of mixtral-8x7b")


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        ('[{threshold: 0.5, loss_pct: {"4": 1}}, {threshold: 0, loss_pct: {"4": 9}}]', "threshold 1"),
        ('[{threshold: 1, loss_pct: {"4": 0}}, {threshold: 0, loss_pct: {"2": 9}}]', "other ways"),
        ('[{threshold: 1, loss_pct: {"four": 0}}, {threshold: 0, loss_pct: {"four": 9}}]', "four"),
        ('[{threshold: 1, loss_pct: {"4": 0}}, {threshold: 1, loss_pct: {"4": 9}}]', "twice"),
        ('[{threshold: 1, loss_pct: {"4": .nan}}, {threshold: 0, loss_pct: {"4": 9}}]', "rows[0].loss_pct"),
    ],
)
def test_a_table_that_is_none(tonnage: Tonnage, folder: Path, rows: str, word: str) -> None:
    table(folder, "qwen1.5-moe-a2.7b", rows)
    one_message(tonnage(*PLAN, "--accuracy", "accuracy.yaml"), "accuracy.yaml", word)


def test_a_table_that_is_not_monotone_is_used_and_told(tonnage: Tonnage, folder: Path) -> None:
    rows = [f'{{threshold: {one}, loss_pct: {{"8": {loss}}}}}' for one, loss in ((1, 0), (0.5, 3), (0, 2))]
    table(folder, "qwen1.5-moe-a2.7b", f"[{', '.join(rows)}]")
    shown = tonnage(*PLAN, "--accuracy", "accuracy.yaml", "-o", "table")
    assert shown.exit_code == 0
    assert "way 8: 2 % at 0, 3 % at 0.5" in " ".join(shown.stdout.split())
