"""`plan placement`, its exports and its wrong inputs, as a user types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from tests.cli.conftest import CLUSTER
from tests.cli.test_bad_input import one_message

Tonnage = Callable[..., Result]
PLAN = ("plan", "placement", "llama-3.1-70b", "--cluster", "cluster.yaml")
SAMPLES = Path(__file__).parents[2] / "sample_workloads"


@pytest.fixture
def two(tonnage: Tonnage) -> Tonnage:
    """The command line beside a cluster of four H100 on two nodes."""
    Path("cluster.yaml").write_text(CLUSTER.replace("nodes: 1", "nodes: 2") + "  network_gbps: 100\n")
    return tonnage


def test_a_plan_is_written_explained_and_exported(two: Tonnage) -> None:
    assert two(*PLAN, "-w", "plan.yaml").exit_code == 0
    assert "kind: PlacementPlan" in Path("plan.yaml").read_text()
    assert "go to GPU 0" in " ".join(two("explain", "plan.yaml", "--plot").stdout.split())
    found = json.loads(two("export", "device-map", "plan.yaml").stdout)
    assert found["model.layers.79"] == found["lm_head"] == 1
    shown = two("export", "vllm", "plan.yaml").stdout
    assert "VLLM_PP_LAYER_PARTITION=" in shown
    assert "--pipeline-parallel-size 2" in shown


def test_the_map_of_a_plan_is_a_current_map(two: Tonnage) -> None:
    two(*PLAN, "-w", "plan.yaml")
    Path("map.json").write_text(two("export", "device-map", "plan.yaml").stdout)
    shown = two(*PLAN, "--current", "map.json", "-o", "table")
    assert shown.exit_code == 0
    assert "now: map.json, 1 crossings" in shown.stdout


def test_what_does_not_fit_leaves_with_3_and_says_gib_and_layer(two: Tonnage) -> None:
    shown = two("plan", "placement", "llama-3.1-405b", "--cluster", "cluster.yaml", "-o", "table")
    assert shown.exit_code == 3
    text = " ".join(shown.stdout.split())
    assert "GiB: layer" in text
    assert "would do" in text


def test_a_map_that_cannot_fit_is_one_message(two: Tonnage) -> None:
    Path("map.json").write_text(json.dumps({f"model.layers.{layer}": 0 for layer in range(80)}))
    one_message(two(*PLAN, "--current", "map.json"), "GPU 0", "GiB", "layer", exit_code=3)
    one_message(two(*PLAN, "--current", "none.json"), "none.json")


def test_missing_links_are_told(two: Tonnage) -> None:
    Path("cluster.yaml").write_text(Path("cluster.yaml").read_text().replace("  network_gbps: 100\n", ""))
    assert "100 Gbit/s between nodes is assumed" in " ".join(two(*PLAN, "-o", "table").stdout.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("plan", "placement", "llama-3.1-7b", "--cluster", "cluster.yaml"), ("not in the catalogue", "did you mean")),
        ((*PLAN, "--prompt-tokens", "999999999"), ("exceed",)),
        ((*PLAN, "--workload", "workload.yaml"), ("is a workload of llama-3.1-8b",)),
        (("plan", "placement", "llama-3.1-8b", "llama-2-7b", "--cluster", "cluster.yaml"), ("has no workload",)),
        (("export", "device-map", "workload.yaml"), ("Workload",)),
        (("export", "vllm", "workload.yaml"), ("Workload",)),
    ],
)
def test_wrong_input_is_one_message(two: Tonnage, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    one_message(two(*arguments), *words)


def test_a_cost_without_prices_is_refused(two: Tonnage) -> None:
    text = Path("cluster.yaml").read_text().splitlines()
    Path("cluster.yaml").write_text("\n".join(line for line in text if "usd_per" not in line) + "\n")
    one_message(two(*PLAN, "--least", "cost"), "usd_per_gpu_hour is missing")


def test_the_sample_runs(tonnage: Tonnage) -> None:
    shown = tonnage("plan", "placement", "llama-3.1-70b", "--cluster", str(SAMPLES / "lab.yaml"), "--batch", "8")
    assert shown.exit_code == 0
