"""`plan slo` from the command line: its table, its files, and one clear message for whatever is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import Result

from tests.planners.slo.documents import write

Tonnage = Callable[..., Result]
PLAN = ("plan", "slo", "app.yaml", "--quiet")


def one_message(result: Result, *words: str, exit_code: int = 2) -> None:
    assert result.exit_code == exit_code, result.output
    assert result.stderr.count("error:") == 1
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr, result.stderr


def test_the_table_has_the_decision_first_and_fits(tonnage: Tonnage) -> None:
    write(Path())
    result = tonnage(*PLAN, "-o", "table", "--slo", "gateway=160ms", "-w", "plan.yaml")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert "budget" in lines[2]
    assert "relax this first" in result.stdout
    assert "standard error" in result.stdout
    told = tonnage("explain", "plan.yaml", "--plot")
    assert told.exit_code == 0
    assert "gateway must answer within 160 ms (p99)" in told.stdout
    assert tonnage(*PLAN, "-w", "plan.yaml").exit_code == 2  # it exists


def test_an_infeasible_plan_is_yaml_and_exit_3(tonnage: Tonnage) -> None:
    write(Path())
    result = tonnage(*PLAN, "--slo", "gateway=30ms")
    assert result.exit_code == 3
    found = yaml.safe_load(result.stdout)
    assert found["status"]["outcome"] == "infeasible"
    assert "decision" not in found


def test_an_abstained_plan_is_exit_4(tonnage: Tonnage) -> None:
    write(Path(), ("  service: cart", "  service: other"))
    assert tonnage(*PLAN).exit_code == 4


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "callee: search}",
            "callee: search}\n    - {caller: search, callee: gateway}",
            ("circle", "gateway", "search"),
        ),
        ("    - {caller: gateway, callee: search}\n", "", ("no entry reaches search",)),
        ("    - {service: gateway, rate_per_s: 100, slo: {latency_s: {p99: 0.2}}}", "", ("entries",)),
        ("slo: {latency_s: {p99: 0.2}}", "slo: {availability: 0.99}", ("no entry has an SLO",)),
        ("rate_per_s: 100", "rate_per_s: 0", ("zero traffic",)),
        ("[40, 0.07]", "[40, 0.03]", ("cart", "falls", "5")),
        ("name: search, replicas: 3", "name: cart, replicas: 3", ("services given twice: cart",)),
        ("replicas: 3, requests: {cpu_cores: 2", "replicas: 0, requests: {cpu_cores: 2", ("replicas",)),
    ],
    ids=["circle", "unreachable", "no entry", "no SLO", "no traffic", "negative slope", "twice", "no replica"],
)
def test_wrong_applications_are_named(tonnage: Tonnage, old: str, new: str, words: tuple[str, ...]) -> None:
    write(Path(), (old, new))
    one_message(tonnage(*PLAN), *words)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("gatewy=200ms", ("did you mean 'gateway'?",)),
        ("gateway=fast", ("gateway=fast", "200ms")),
        ("gateway=p42:200ms", ("p42", "p99")),
        ("gateway=-5ms", ("above 0",)),
    ],
)
def test_wrong_bounds_are_named(tonnage: Tonnage, option: str, words: tuple[str, ...]) -> None:
    write(Path())
    one_message(tonnage(*PLAN, "--slo", option), *words)


def test_a_million_calls_are_refused_with_the_limit(tonnage: Tonnage) -> None:
    write(Path(), ("  calls:\n", "  calls:\n" + "    - {caller: gateway, callee: cart}\n" * 1_000_000))
    one_message(tonnage(*PLAN), "100,000")


def test_one_replica_of_everything_is_a_plan(tonnage: Tonnage) -> None:
    write(Path(), ("rate_per_s: 100", "rate_per_s: 1"))
    result = tonnage(*PLAN)
    assert result.exit_code == 0
    assert {one["replicas"] for one in yaml.safe_load(result.stdout)["decision"]["services"]} == {1}
