"""`plan autoscaling --modules`: from the cut of `plan modules` to an autoscaler for each group of layers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import Result

from benchmarks.manifest_fields import missing
from benchmarks.manifest_schemas import documents, validate
from renderers.autoscaling import autoscaling_table
from specs.autoscaling import AutoscalingPlan
from specs.kinds import read_plan
from tests.cli.test_bad_input import change, one_message

Tonnage = Callable[..., Result]
SAMPLES = Path(__file__).parents[2] / "sample_workloads"
NAMES = ("llama_13b.yaml", "shared.yaml", "chat_13b.yaml", "layer_scaling.yaml", "chat_days.csv")
CUT = ("plan", "modules", "llama_13b.yaml", "--cluster", "shared.yaml", "--workload", "chat_13b.yaml")
PLAN = ("plan", "autoscaling", "chat_13b.yaml", "--modules", "cut.yaml", "--load", "chat_days.csv", "--policy", "hpa")
SCALED = (*PLAN, "--scaling", "layer_scaling.yaml")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cut, planned once."""
    from contextlib import chdir

    from typer.testing import CliRunner

    from cli.main import app

    folder = tmp_path_factory.mktemp("cut")
    for name in NAMES:
        shutil.copy(SAMPLES / name, folder / name)
    with chdir(folder):
        runner = CliRunner()
        assert runner.invoke(app, [*CUT, "--method", "layer-services", "-w", "cut.yaml", "-q"]).exit_code == 0
        assert runner.invoke(app, [*SCALED, "-w", "plan.yaml", "-q"]).exit_code == 0
    return folder


@pytest.fixture
def samples(tonnage: Tonnage, written: Path) -> Tonnage:
    """The command line beside the samples and the cut."""
    for path in written.iterdir():
        shutil.copy(path, path.name)
    return tonnage


def plan_of(folder: Path) -> AutoscalingPlan:
    found = read_plan(folder / "plan.yaml")
    assert isinstance(found, AutoscalingPlan)
    return found


def test_the_cut_says_what_a_replica_sustains_and_takes(written: Path) -> None:
    decision = yaml.safe_load((written / "cut.yaml").read_text())["decision"]
    taken = sum(one["replicas"] * one["gpus"] for one in decision["services"])
    assert taken == pytest.approx(decision["gpus"])
    for one in decision["services"]:
        assert one["replicas"] * one["sustains_per_s"] >= decision["pipeline"]["sustains_per_s"] * (1 - 1e-6)
    assert min(one["replicas"] * one["sustains_per_s"] for one in decision["services"]) == pytest.approx(
        decision["pipeline"]["sustains_per_s"], rel=1e-5
    )


def test_layers_are_compared_with_whole_replicas_and_taken_only_where_better(written: Path) -> None:
    plan = plan_of(written)
    assert plan.why is not None
    assert plan.decision is not None
    layered = next(one for one in plan.why.compared if one.layers)
    whole = [one for one in plan.why.compared if not one.layers]
    assert [one.first_layer for one in layered.layers] == [0, 10, 20, 30]
    assert layered.score.gpu_hours is not None
    allowed = plan.why.slo["chat-13b"].late_share
    assert allowed is not None
    keeping = [one for one in (*whole, layered) if one.score.violations <= allowed]
    best = min(keeping, key=lambda one: one.score.cost)
    assert best.verdict == "recommended"
    assert bool(plan.decision.services[0].part_of) == bool(best.layers)


def test_gpus_are_what_the_replicas_of_all_groups_take(written: Path) -> None:
    """At least the parts of all replicas, and at least as many as the largest group has."""
    plan = plan_of(written)
    assert plan.why is not None
    assert plan.expected is not None
    layered = next(one for one in plan.why.compared if one.layers)
    hours = plan.expected.hours
    parts = sum(one.replicas_mean * one.gpus for one in layered.layers) * hours
    assert layered.score.gpu_hours is not None
    assert layered.score.gpu_hours >= max(parts, max(one.replicas_mean for one in layered.layers) * hours) * 0.999
    assert layered.score.gpu_hours <= parts * 11 / 9 + hours
    replica_hours = sum(one.replicas_mean for one in layered.layers) * hours
    assert layered.score.replica_hours == pytest.approx(replica_hours, rel=1e-4)


def test_the_table_fits_and_names_every_group(written: Path) -> None:
    for width in (100, 80):
        text = autoscaling_table(plan_of(written), width=width, compare=True)
        assert max(len(line) for line in text.splitlines()) <= width
        assert "hpa by layers" in text
        for first in (0, 10, 20, 30):
            assert f"chat-13b-layers-{first}-{first + 9}" in text


def test_every_group_is_exported_where_layers_are_recommended(samples: Tonnage) -> None:
    """On the load of the sample they are."""
    plan = plan_of(Path())
    assert plan.decision is not None
    assert [one.part_of for one in plan.decision.services] == ["chat-13b"] * 4
    found = documents(samples("export", "kubernetes", "plan.yaml").stdout)
    for one in found:
        validate(one)
    assert sum(one["kind"] == "HorizontalPodAutoscaler" for one in found) == 4
    assert missing(json.loads(plan.model_dump_json(exclude_none=True)), found)[1] == []
    told = samples("explain", "plan.yaml", "--plot").stdout
    assert "chat-13b-layers-0-9 has the layers 0 to 9: one replica takes" in " ".join(told.split())
    assert "█ GPUs" in told
    assert samples("export", "prometheus", "plan.yaml").exit_code == 0


def test_without_a_scaling_document_a_whole_instance_starts_as_planned(samples: Tonnage) -> None:
    plan = json.loads(samples(*PLAN[:-1], "static", "-o", "json").stdout)
    assert any("the start-up of a whole instance is that of cut.yaml" in note for note in plan["why"]["notes"])
    assert plan["metadata"]["inputs"]["cut.yaml"].startswith("sha256:")


@pytest.mark.parametrize(
    ("change_in", "words"),
    [
        (
            ("cut.yaml", "method: layer-services", "method: cocoserve"),
            ("decides for cocoserve", "layer-services"),
        ),
        (("cut.yaml", "  pipeline:\n", "  pipelinez:\n"), ("pipelinez",)),
        (("cut.yaml", "    step_s:", "    stepz_s:"), ("stepz_s",)),
        (("chat_13b.yaml", "model: llama-2-13b", "model: llama-2-7b"), ("cuts llama-2-13b", "llama-2-7b")),
    ],
)
def test_a_wrong_cut_is_one_message(samples: Tonnage, change_in: tuple[str, str, str], words: tuple[str, ...]) -> None:
    change(*change_in)
    one_message(samples(*SCALED), *words)


def test_a_cut_of_an_earlier_version_is_one_message(samples: Tonnage) -> None:
    data = yaml.safe_load(Path("cut.yaml").read_text())
    del data["decision"]["pipeline"]
    for one in data["decision"]["services"]:
        del one["step_s"], one["gpus"], one["sustains_per_s"]
    Path("cut.yaml").write_text(yaml.safe_dump(data))
    one_message(samples(*SCALED), "lacks pipeline, step_s, gpus, sustains_per_s", "an earlier version wrote it")


def test_a_cut_beside_a_deployment_or_for_an_application_is_one_message(samples: Tonnage) -> None:
    one_message(samples(*SCALED, "--deployment", "llama_13b.yaml"), "--deployment and --modules both")
    shutil.copy(SAMPLES / "small_shop.yaml", "small_shop.yaml")
    arguments = [("small_shop.yaml" if one == "chat_13b.yaml" else one) for one in SCALED]
    one_message(samples(*arguments), "--modules is for a Workload")
