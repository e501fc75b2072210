"""`tonnage predict application` answers for the sample, and ends in one message for whatever is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Tonnage
from tests.cli.test_bad_input import change, one_message

SAMPLE = Path(__file__).resolve().parents[2] / "sample_workloads" / "shop.yaml"
PREDICT = ("predict", "application", "shop.yaml", "--requests", "4000")


@pytest.fixture(autouse=True)
def shop(folder: Path) -> None:
    (folder / "shop.yaml").write_text(SAMPLE.read_text())


def test_the_sample_is_answered_with_errors_and_a_ceiling(tonnage: Tonnage) -> None:
    result = tonnage(*PREDICT, "-o", "json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["bottleneck"] == "pricing"
    assert found["ceiling_per_s"] == pytest.approx(284.3, rel=0.001)
    assert {one["name"] for one in found["bounds"]} == {
        "gateway/browse.p95",
        "gateway/browse.p99",
        "checkout/order.p99",
    }
    for one in (*found["entries"], *found["services"]):
        assert all(figure["standard_error"] > 0.0 for figure in one["latency_s"].values())
    assert list(found["metadata"]["inputs"]) == ["shop.yaml"]


def test_the_same_seed_gives_the_same_answer(tonnage: Tonnage) -> None:
    assert tonnage(*PREDICT).stdout == tonnage(*PREDICT).stdout
    assert tonnage(*PREDICT).stdout != tonnage(*PREDICT, "--seed", "1").stdout


def test_replicas_and_scale_change_the_answer(tonnage: Tonnage) -> None:
    found = yaml.safe_load(tonnage(*PREDICT, "--replicas", "pricing=3", "--scale", "1.2").stdout)
    assert found["rate_per_s"] == pytest.approx(278.4)
    assert next(one for one in found["services"] if one["service"] == "pricing")["replicas"] == 3


def test_a_table_is_shown_and_a_file_written(tonnage: Tonnage) -> None:
    result = tonnage(*PREDICT, "-o", "table", "-w", "found.yaml")
    assert "end to end" in result.stdout
    assert yaml.safe_load(Path("found.yaml").read_text())["kind"] == "ApplicationEstimate"
    one_message(tonnage(*PREDICT, "-w", "found.yaml"), "exists already")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("{caller: stock, callee: database", "{caller: stock, callee: checkout", ("circle", "checkout", "stock")),
        ("    - {caller: checkout, callee: mail, stage: 2, asynchronous: true}", "    #", ("no entry reaches mail",)),
        ("  entries:\n", "  entries: []\n  notes:\n", ("shop.yaml", "notes")),
        ("rate_per_s: 200, ", "", ("spec.entries[0].rate_per_s: missing",)),
        ("name: search, replicas", "name: cart, replicas", ("services given twice: cart",)),
        ("callee: search", "callee: serch", ("not listed: serch",)),
        ("[50, 0.084]", "[50, 0.074]", ("payment", "negative slope")),
        (", service_time: {mean_s: 0.004, cv: 0.8}", "", ("service gateway", "neither service_time nor profile")),
        ("concurrency: 8, ", "", ("service gateway", "concurrency")),
        ("mean_s: 0.004", "mean_s: 0", ("service_time.mean_s",)),
        ("replicas: 2, concurrency: 8", "replicas: 0, concurrency: 8", ("replicas",)),
        ("rate_per_s: 200", "rate_per_s: .nan", ("rate_per_s",)),
        ("calls_per_request: 0.7", "calls_per_request: -1", ("calls_per_request",)),
    ],
)
def test_a_document_that_is_wrong_is_refused(tonnage: Tonnage, old: str, new: str, words: tuple[str, ...]) -> None:
    change("shop.yaml", old, new)
    one_message(tonnage(*PREDICT), *words)


def test_zero_traffic_is_refused(tonnage: Tonnage) -> None:
    change("shop.yaml", "rate_per_s: 200", "rate_per_s: 0")
    change("shop.yaml", "rate_per_s: 32", "rate_per_s: 0")
    one_message(tonnage(*PREDICT), "zero traffic")


def test_a_load_that_is_not_held_names_the_service(tonnage: Tonnage) -> None:
    one_message(tonnage(*PREDICT, "--scale", "1.3"), "service pricing", "333.3", "1.06 times", exit_code=3)


def test_a_load_beyond_a_measured_curve_is_not_guessed(tonnage: Tonnage) -> None:
    words = ("service payment", "measured up to 50 per second", "Run 2 replicas")
    one_message(tonnage(*PREDICT, "--scale", "1.7", "--replicas", "pricing=9"), *words, exit_code=3)


def test_one_replica_of_everything_is_answered(tonnage: Tonnage) -> None:
    text = Path("shop.yaml").read_text().replace("replicas: 3", "replicas: 1").replace("replicas: 2", "replicas: 1")
    Path("shop.yaml").write_text(text)
    result = tonnage(*PREDICT, "--scale", "0.4")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--replicas", "cart"), ("--replicas cart", "SERVICE=N")),
        (("--replicas", "cart=0"), ("--replicas cart=0",)),
        (("--replicas", "cart=2", "--replicas", "cart=3"), ("given twice",)),
        (("--replicas", "carts=2"), ("carts: no such service", "did you mean 'cart'?")),
        (("--scale", "0"), ("--scale",)),
        (("--scale", "nan"), ("--scale",)),
        (("--cv", "-1"), ("--cv",)),
        (("--cv", "inf"), ("--cv",)),
    ],
)
def test_a_wrong_option_is_refused(tonnage: Tonnage, options: tuple[str, ...], words: tuple[str, ...]) -> None:
    one_message(tonnage(*PREDICT, *options), *words)
