"""`predict interference`, `plan colocation` and their exports on the command line, with good and bad input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from specs.writing import to_yaml
from tests.planners.colocation.plans import NODES, ROWS, SAMPLES, SHOP, shop_plan, trained

Tonnage = Callable[..., Result]
PLAN = ("plan", "colocation", str(SHOP), "--cluster", str(NODES), "--measured", str(ROWS))


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stderr.count("error:") == 1
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr, result.stderr


def test_a_plan_is_explained_and_exported(tonnage: Tonnage) -> None:
    Path("plan.yaml").write_text(to_yaml(shop_plan()))
    assert "shop-on-shop-nodes: optimal" in tonnage("explain", "plan.yaml").stdout
    exported = tonnage("export", "kubernetes", "plan.yaml").stdout
    assert "koordinator.sh/qosClass: LSR" in exported
    assert "kubectl label node" in exported


def test_an_infeasible_plan_leaves_with_3_and_names_pod_and_resource(
    tonnage: Tonnage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("planners.colocation.planning.train", lambda *_, **__: trained())
    Path("pods.yaml").write_text(
        SHOP.read_text().replace("cpu_cores: 4, memory_gib: 12", "cpu_cores: 40, memory_gib: 12")
    )
    result = tonnage("plan", "colocation", "pods.yaml", *PLAN[3:])
    assert result.exit_code == 3
    assert "pod search: CPU 40 cores asked, the largest node (compute) has 31.5" in result.stdout


def test_a_node_type_never_measured_leaves_with_4(tonnage: Tonnage) -> None:
    Path("nodes.yaml").write_text(NODES.read_text().replace("compute-32", "compute-64"))
    result = tonnage("plan", "colocation", str(SHOP), "--cluster", "nodes.yaml", "--measured", str(ROWS))
    assert result.exit_code == 4
    assert "missing: tonnage profile cpi" in result.stdout


def test_an_estimate_is_written(tonnage: Tonnage) -> None:
    lines = ROWS.read_text().splitlines()
    Path("few.csv").write_text("\n".join(lines[:250]) + "\n")
    result = tonnage("predict", "interference", "few.csv", "--observed", "few.csv", "-o", "yaml")
    assert result.exit_code == 0, result.output
    assert "kind: InterferenceEstimate" in result.stdout


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("nodes: 5,", "nodes: 0,", ("cpu_pools[0].nodes", "0")),
        ("cpu_cores: 16,", "cpu_cores: 0.4,", ("the system takes 0.5 of 0.4 cores",)),
        ("name: compute,", "name: general,", ("two pools are named 'general'",)),
        ("nodes: 3,", "nodes: 3, hostnames: [a, b],", ("hostnames lists 2 different nodes, the pool has 3",)),
    ],
)
def test_what_is_wrong_with_the_nodes_is_named(tonnage: Tonnage, old: str, new: str, words: tuple[str, ...]) -> None:
    Path("nodes.yaml").write_text(NODES.read_text().replace(old, new, 1))
    refused(tonnage("plan", "colocation", str(SHOP), "--cluster", "nodes.yaml", "--measured", str(ROWS)), *words)


def test_a_cluster_of_the_other_kind_is_refused_on_both_sides(tonnage: Tonnage) -> None:
    refused(tonnage("plan", "colocation", str(SHOP), "--cluster", "cluster.yaml", "--measured", str(ROWS)), "CPU pool")
    refused(tonnage("plan", "serving", "workload.yaml", "--cluster", str(NODES)), "no pool of GPU nodes")


def test_nothing_measured_names_the_command(tonnage: Tonnage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TONNAGE_STORE", f"sqlite:///{tmp_path / 'none.db'}")
    result = tonnage("predict", "interference")
    assert result.exit_code == 2
    assert "Traceback" not in result.output


@pytest.mark.parametrize("name", ["missing.csv", "missing.yaml"])
def test_a_missing_file_is_named(tonnage: Tonnage, name: str) -> None:
    refused(tonnage("predict", "interference", name), name)


def test_another_plan_kind_is_not_exported_to_kubernetes(tonnage: Tonnage) -> None:
    refused(tonnage("export", "kubernetes", str(SAMPLES / "cluster.yaml")), "Cluster")
