"""`tonnage plan rightsizing` as an operator calls it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Tonnage = Callable[..., Result]
SAMPLE = str(Path(__file__).resolve().parents[2] / "sample_workloads" / "usage.csv.gz")
COMMAND = ("plan", "rightsizing", SAMPLE)


def test_the_sample_plans_explains_and_exports(tonnage: Tonnage, tmp_path: Path) -> None:
    written = str(tmp_path / "plan.yaml")
    assert tonnage(*COMMAND, "--shadow", "2d", "-w", written).exit_code == 0
    told = tonnage("explain", written)
    assert "shop/cart:app: change" in told.stdout
    manifests = tonnage("export", "kubernetes", written)
    assert manifests.exit_code == 0, manifests.output
    assert "averageUtilization" in manifests.stdout
    assert "VerticalPodAutoscaler" in tonnage("export", "vpa", written).stdout


@pytest.mark.parametrize("columns", ["80", "100"])
def test_the_table_fits(tonnage: Tonnage, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    shown = tonnage(*COMMAND, "-o", "table").stdout
    assert max(len(line) for line in shown.splitlines()) <= int(columns)
    assert "shop/cart:app" in shown
    assert "left: an autoscaler" in shown


def test_csv_has_a_row_per_container(tonnage: Tonnage) -> None:
    rows = list(csv.DictReader(io.StringIO(tonnage(*COMMAND, "-o", "csv").stdout)))
    assert len(rows) == 6
    assert {row["verdict"] for row in rows} == {"change", "left"}
    assert all(row["cpu_request_cores"] for row in rows if row["verdict"] == "change")


def test_json_says_every_risk(tonnage: Tonnage) -> None:
    found = json.loads(tonnage(*COMMAND, "-o", "json").stdout)
    assert all("above_cpu_request" in one["risk"] for one in found["expected"]["containers"])


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        ((), "nothing says what containers used", 2),
        (("nowhere.csv",), "nowhere.csv: no such file", 2),
        ((SAMPLE, "--prometheus", "http://127.0.0.1:9"), "127.0.0.1:9", 4),
        ((SAMPLE, "--shadow", "soon"), "--shadow 'soon'", 2),
        (("--prometheus", "http://user:secret@127.0.0.1:9"), "holds credentials", 2),
    ],
)
def test_a_wrong_question_ends_in_one_message(
    tonnage: Tonnage, arguments: tuple[str, ...], words: str, code: int
) -> None:
    found = tonnage("plan", "rightsizing", *arguments)
    assert found.exit_code == code, found.output
    assert words in found.stderr
    assert "secret" not in found.output
    assert found.stdout == ""


def test_an_abstaining_plan_leaves_with_4_and_says_what_is_missing(tonnage: Tonnage, tmp_path: Path) -> None:
    short = tmp_path / "short.csv"
    short.write_text("time_s,workload,cpu_cores,memory_bytes\n0,a,1,1\n60,a,1,1\n")
    found = tonnage("plan", "rightsizing", str(short), "-o", "json")
    assert found.exit_code == 4
    assert "2 samples" in json.loads(found.stdout)["status"]["reason"]
