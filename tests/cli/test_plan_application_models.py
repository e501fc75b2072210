"""`plan application` with a language model in it, from the command line: its GPUs, its figures, its manifests."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import Result

from benchmarks.manifest_fields import missing
from benchmarks.manifest_schemas import documents, validate
from renderers.application_plan import application_table
from specs.application_plan import ApplicationPlan
from specs.reading import read_document, sha256

Tonnage = Callable[..., Result]
SAMPLES = Path(__file__).parents[2] / "sample_workloads"
PLAN = ("plan", "application", "assistant.yaml", "--cluster", "assistant_nodes.yaml", "--quiet")


def copied(*changes: tuple[str, str, str]) -> None:
    """Copy the sample beside the test with a text of a file replaced."""
    for name in ("assistant.yaml", "assistant_chat.yaml", "assistant_nodes.yaml"):
        shutil.copy(SAMPLES / name, name)
    for name, old, new in changes:
        text = Path(name).read_text()
        assert old in text
        Path(name).write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, ApplicationPlan]:
    """The sample's plan: its file, its table at 100 columns, the document."""
    from typer.testing import CliRunner

    from cli.main import app

    path = tmp_path_factory.mktemp("assistant") / "plan.yaml"
    given = ["plan", "application", str(SAMPLES / "assistant.yaml"), "--cluster", str(SAMPLES / "assistant_nodes.yaml")]
    result = CliRunner().invoke(app, [*given, "--quiet", "-o", "table", "-w", str(path)], prog_name="tonnage")
    assert result.exit_code == 0, result.output
    return path, result.stdout, read_document(path, ApplicationPlan)


def test_its_gpus_are_counted_and_its_figures_have_intervals(planned: tuple[Path, str, ApplicationPlan]) -> None:
    _, _, plan = planned
    assert plan.decision is not None
    (gpus,) = plan.decision.gpus
    assert gpus.gpus == sum(one.gpus for one in gpus.deployments) > 0
    nodes = sum(one.usd_per_hour or 0.0 for one in plan.decision.nodes)
    assert plan.decision.usd_per_hour == pytest.approx(nodes + (gpus.usd_per_hour or 0.0))
    assert (gpus.usd_per_hour or 0.0) > 0.0
    for name in ("p50", "p95", "p99"):
        figure = getattr(gpus.e2e_s, name)
        assert figure.low <= figure.value <= figure.high
    assert {"assistant.yaml", "assistant_chat.yaml", "assistant_nodes.yaml"} <= plan.metadata.inputs.keys()
    asked = next(one for one in plan.expected.entries if one.entry == "model/ask") if plan.expected else None
    assert asked is not None
    assert asked.holds
    assert asked.simulated_s.value > gpus.e2e_s.p50.value if gpus.e2e_s.p50 else False


def test_the_table_shows_them_at_100_and_at_80_columns(planned: tuple[Path, str, ApplicationPlan]) -> None:
    _, table, plan = planned
    for width in (100, 80):
        text = application_table(plan, width)
        assert max(map(len, text.splitlines())) <= width
        for words in ("GPU", "first token in", "intervals 90 %", "proven", "no plan's nodes cost less than"):
            assert words in " ".join(text.split()), words
    assert "GPUs" in table.splitlines()[2] or "GPU ·" in table.splitlines()[2]


def test_rules_are_kept_and_the_manifests_have_every_decided_field(
    planned: tuple[Path, str, ApplicationPlan], tonnage: Tonnage
) -> None:
    path, _, plan = planned
    assert plan.decision is not None
    where = {one.service: one.nodes for one in plan.decision.services}
    assert all(name.startswith("disks") for name in where["search"])
    assert set(where["embedding"]) <= set(where["search"])
    assert not set(where["pages"]) & set(where["embedding"])
    assert set(where["gateway"].values()) == {1}
    assert "measured" not in {one.basis for one in plan.evidence if one.quantity.startswith("model latency")}
    result = tonnage("export", "kubernetes", str(path))
    assert result.exit_code == 0, result.output
    found = documents(result.stdout)
    for one in found:
        validate(one)
        assert one["metadata"]["annotations"]["tonnage/plan"] == sha256(path)
    data: dict[str, Any] = yaml.safe_load(path.read_text())
    assert missing(data, found)[1] == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("assistant_chat.yaml", "rate_per_s: 5", "rate_per_s: 2"), ("model", "4 times per second", "rate_per_s")),
        (("assistant.yaml", "assistant_chat.yaml}", "none.yaml}"), ("none.yaml",)),
        (
            ("assistant.yaml", "together_with: [search]", "together_with: [model]"),
            ("together_with", "model stands on GPUs"),
        ),
    ],
)
def test_what_is_wrong_is_one_message(tonnage: Tonnage, change: tuple[str, str, str], words: tuple[str, ...]) -> None:
    copied(change)
    result = tonnage(*PLAN)
    assert result.exit_code == 2, result.output
    assert result.stderr.count("error:") == 1
    for word in words:
        assert word in result.stderr, result.stderr


def test_a_cluster_without_gpus_is_refused(tonnage: Tonnage) -> None:
    copied()
    lines = Path("assistant_nodes.yaml").read_text().splitlines()
    kept = [one for one in lines if "device:" not in one and one != "  pools:"]
    Path("assistant_nodes.yaml").write_text("\n".join(kept))
    result = tonnage(*PLAN)
    assert result.exit_code == 2, result.output
    assert "assistant_nodes.yaml" in result.stderr
    assert "GPU" in result.stderr


def test_an_application_of_models_alone_is_for_the_serving_planner(tonnage: Tonnage) -> None:
    copied()
    lines = Path("assistant.yaml").read_text().splitlines()
    others = ("gateway", "pages", "search", "embedding")
    kept = [one for one in lines if not any(f"name: {name}," in one or f": {name}," in one for name in others)]
    text = "\n".join(one for one in kept if "caller" not in one).replace("  calls:", "")
    Path("assistant.yaml").write_text(text)
    result = tonnage(*PLAN)
    assert result.exit_code == 2, result.output
    assert "every service stands on GPUs" in result.stderr
    assert "tonnage plan serving assistant_chat.yaml" in result.stderr


def test_no_gpus_that_serve_the_model_are_passed_on(tonnage: Tonnage) -> None:
    copied(("assistant_chat.yaml", "tpot_s: {p95: 0.04}", "tpot_s: {p95: 0.0001}"))
    result = tonnage(*PLAN)
    assert result.exit_code == 3
    assert "service model: its serving plan is infeasible" in yaml.safe_load(result.stdout)["status"]["reason"]
