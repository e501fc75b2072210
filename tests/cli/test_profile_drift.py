"""`tonnage profile drift`, `tonnage profile moe` and `tonnage schedule`: exit codes, files and messages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from profilers import drift
from profilers.alone import alone
from profilers.drift import Kind, host_metrics
from profilers.store import listing, open_store
from specs.drift import DriftReport
from specs.experts import ExpertProfile
from specs.reading import read_document
from specs.writing import to_yaml
from tests.cli.conftest import Tonnage
from tests.profilers.hosts import NOISY, QUIET, host_profile, scaled

GAUGE = re.compile(r'tonnage_profile_\w+\{(\w+="[^"\n]*",?)+\} -?[\d.e+-]+')


@pytest.fixture(autouse=True)
def own_places(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("TONNAGE_STORE", str(folder / "store.db"))
    for name, levels in (("before", QUIET), ("slow", scaled(0.9)), ("noisy", scaled(0.9, NOISY))):
        (folder / f"{name}.yaml").write_text(to_yaml(host_profile(levels, levels)))


@pytest.mark.parametrize(
    ("after", "code", "outcome"), [("before", 0, "steady"), ("slow", 5, "drift"), ("noisy", 0, "too-noisy")]
)
def test_the_exit_code_says_whether_it_drifted(
    tonnage: Tonnage, folder: Path, after: str, code: int, outcome: str
) -> None:
    tonnage("store", "import", "before.yaml")
    result = tonnage("profile", "drift", "before.yaml", "--against", f"{after}.yaml", "-w", "report.yaml")
    assert result.exit_code == code
    assert read_document(folder / "report.yaml", DriftReport).spec.outcome == outcome


def test_a_night_of_drift_is_stored_shown_and_written_as_gauges(
    tonnage: Tonnage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = host_profile(scaled(0.9), kernel="6.2")
    monkeypatch.setitem(drift.KINDS, "HostProfile", Kind(host_metrics, lambda before, on_progress: slow))
    tonnage("store", "import", "before.yaml")
    result = tonnage("profile", "drift", "--textfile", "t.prom", "-o", "table")
    assert result.exit_code == 5
    assert result.stdout.startswith("drift: 1 of 2 figures moved: memory read, 1 thread 10.0 % slower")
    assert "system.kernel: 6.1 → 6.2" in result.stdout
    lines = (folder / "t.prom").read_text().splitlines()
    assert all(GAUGE.fullmatch(line) for line in lines if not line.startswith("#"))
    assert sum(line.startswith("tonnage_profile_drift{") and line.endswith(" 1") for line in lines) == 1
    assert len(listing(open_store(str(folder / "store.db"))).profiles) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("drift",), 2, "there is none yet"),
        (("drift", "before.yaml"), 4, "another make of machine"),
        (("drift", "before.yaml", "--budget", "soon"), 2, "--budget: found 'soon'"),
        (("drift", "before.yaml", "--textfile", "no/t.prom"), 2, "there is no folder"),
        (("moe", "trace.csv"), 2, "column 'layer' is missing"),
        (("moe", "nowhere.csv"), 2, "no such file"),
    ],
)
def test_what_cannot_be_measured_is_refused(tonnage: Tonnage, arguments: tuple[str, ...], code: int, told: str) -> None:
    result = tonnage("profile", *arguments)
    assert (result.exit_code, told in result.stderr) == (code, True), result.stderr
    assert "\n  " in result.stderr


def test_two_looks_at_once_are_refused(tonnage: Tonnage, folder: Path) -> None:
    with alone():
        result = tonnage("profile", "drift", "before.yaml")
    assert (result.exit_code, "another measurement is running" in result.stderr) == (4, True)
    assert tonnage("profile", "drift", "before.yaml", "--against", "before.yaml").exit_code == 0


def test_a_router_log_becomes_a_stored_profile(tonnage: Tonnage, folder: Path) -> None:
    (folder / "router.csv").write_text("layer,expert,count\n" + "".join(f"0,{i},{i}\n" for i in range(8)))
    result = tonnage("profile", "moe", "router.csv", "--model", "mixtral-8x7b", "-w", "experts.yaml", "-o", "table")
    assert result.exit_code == 0, result.stderr
    assert read_document(folder / "experts.yaml", ExpertProfile).spec.layers[0].imbalance == 2
    assert "1 layers of 8 experts, 2 per token" in result.stdout
    assert [one.kind for one in listing(open_store(str(folder / "store.db"))).profiles] == ["ExpertProfile"]


def test_schedules_are_printed(tonnage: Tonnage, folder: Path) -> None:
    assert " timeout --kill-after=30 1800 tonnage profile drift host " in tonnage("schedule", "crontab").stdout
    assert "OnCalendar=*-*-* 03:17:00" in tonnage("schedule", "systemd").stdout
    assert tonnage("schedule", "systemd", "-w", ".").exit_code == 0
    assert tonnage("schedule", "systemd", "-w", ".").exit_code == 2
    assert (folder / "tonnage-drift.timer").exists()
    job = yaml.safe_load(tonnage("schedule", "kubernetes", "--image", "i", "--node", "n").stdout)
    assert job["kind"] == "CronJob"
    short = tonnage("schedule", "crontab", "--timeout", "5m")
    assert (short.exit_code, "--timeout" in short.stderr) == (2, True)
