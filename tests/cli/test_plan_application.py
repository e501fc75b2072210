"""`plan application` from the command line: its table, its load from a series, and one message for what is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import Result

from tests.planners.application.documents import write

Tonnage = Callable[..., Result]
PLAN = ("plan", "application", "app.yaml", "--cluster", "nodes.yaml", "--quiet")


def test_the_table_has_the_decision_first_fits_and_can_be_explained(tonnage: Tonnage) -> None:
    write(Path())
    result = tonnage(*PLAN, "-o", "table", "-w", "plan.yaml")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert "replicas on" in lines[2]
    for word in ("fails first", "ceiling", "cache", "without caches"):
        assert word in result.stdout
    told = tonnage("explain", "plan.yaml", "--plot")
    assert told.exit_code == 0
    assert "front must answer within 100 ms (p99)" in told.stdout
    assert yaml.safe_load(Path("plan.yaml").read_text())["kind"] == "ApplicationPlan"
    assert tonnage(*PLAN, "-w", "plan.yaml").exit_code == 2  # it exists


@pytest.mark.slow
def test_the_load_is_the_forecast_quantile_of_a_series(tonnage: Tonnage) -> None:
    write(Path())
    rows = [f"{3600 * i},{300 + 200 * math.sin(2 * math.pi * i / 24) + 7 * (i * 37 % 11):.1f}" for i in range(24 * 14)]
    Path("load.csv").write_text("time,requests_per_s\n" + "\n".join(rows) + "\n")
    result = tonnage(*PLAN, "--load", "load.csv", "--confidence", "0.95", "--scale", "3", "-w", "plan.yaml")
    assert result.exit_code == 0, result.output
    plan = yaml.safe_load(Path("plan.yaml").read_text())
    load = plan["why"]["load"]
    assert load["level"] == "p95"
    assert 1500.0 < load["rate_per_s"] < 1950.0
    assert load["scale"] == pytest.approx(load["rate_per_s"] / 600.0)
    assert 0.0 < load["lowest_per_s"] < load["rate_per_s"]
    scaled = [one for one in plan["decision"]["services"] if "scaling" in one]
    assert scaled
    for one in scaled:
        found = one["scaling"]
        assert 1 <= found["least"] < found["most"] == one["replicas"]
        rate = one["visits_per_s"] * found["least_rate_per_s"] / load["rate_per_s"]
        assert 0.2 < found["cpu_utilisation"] <= one["utilisation"]
        each = one["limit_per_s"] / one["replicas"]  # an autoscaler runs as many as the SLO needs at the lowest load
        assert math.ceil(rate / (each * found["cpu_utilisation"])) >= found["least"]
    exported = tonnage("export", "kubernetes", "plan.yaml")
    assert exported.exit_code == 0, exported.output
    assert exported.stdout.count("kind: HorizontalPodAutoscaler") == len(scaled)


def test_an_infeasible_plan_has_exit_3_and_a_way_out(tonnage: Tonnage) -> None:
    write(Path(), ("nodes: 6", "nodes: 1"), ("nodes: 2", "nodes: 1"))
    result = tonnage(*PLAN, "--scale", "20")
    assert result.exit_code == 3
    assert yaml.safe_load(result.stdout)["status"]["smallest_change"]


@pytest.mark.parametrize(
    ("change", "arguments", "words"),
    [
        ((", popularity: {items: 400000, zipf: 0.9}", ""), (), ("popularity is missing", "counts")),
        (("cpu_pools:", "pools:"), (), ("nodes.yaml",)),
        (("mean_s: 0.004", "mean_s: 0.004"), ("--scale", "0"), ("--scale",)),
        (("mean_s: 0.004", "mean_s: 0.004"), ("--load", "none.csv"), ("none.csv",)),
        (("mean_s: 0.004", "mean_s: 0.004"), ("--load", "app.yaml", "--confidence", "0.93"), ("--confidence",)),
        (("zipf: 0.9", "zipf: 0.9, counts: [1, 2]"), (), ("popularity",)),
    ],
)
def test_what_is_wrong_is_one_message(
    tonnage: Tonnage, change: tuple[str, str], arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    write(Path(), change)
    result = tonnage(*PLAN, *arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert result.stderr.count("error:") == 1
    for word in words:
        assert word in result.stderr, result.stderr
