"""`tonnage profile cpi`: a profile as YAML and as a table, and the exit codes of what it refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from specs.cpi import CpiProfile
from specs.reading import read_document
from tests.cli.conftest import Tonnage

RECORDED = "name,cycles,instructions,cache-misses\nweb,3000,2000,4\ndb,2000,2000,1\n"
QUICK = ("--window", "0.05", "--every", "0.1", "--windows", "2")


@pytest.fixture(autouse=True)
def store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TONNAGE_STORE", str(folder / "store.db"))


def test_a_process_is_measured_written_and_stored(tonnage: Tonnage, folder: Path) -> None:
    result = tonnage("profile", "cpi", "--pid", str(os.getpid()), *QUICK, "-w", "cpi.yaml")
    assert result.exit_code == 0
    found = read_document(folder / "cpi.yaml", CpiProfile)
    assert [len(target.windows) for target in found.spec.targets] == [2]
    assert found.spec.targets[0].summary["cpu_cores"].mean >= 0
    assert "CpiProfile" in tonnage("store", "list", "-o", "json").stdout
    if found.spec.source == "none":
        assert "not measured: cycles" in result.stderr
        assert "cpi" not in found.spec.targets[0].summary


def test_a_recorded_output_is_read(tonnage: Tonnage, folder: Path) -> None:
    (folder / "perf.csv").write_text(RECORDED)
    result = tonnage("profile", "cpi", "--recorded", "perf.csv", "-o", "table")
    assert result.exit_code == 0
    assert "counted by perf stat" in result.stdout
    assert [line.split() for line in result.stdout.splitlines()][-2:] == [
        ["web", "1.50", "2.00"],
        ["db", "1.00", "0.50"],
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "nothing to measure"),
        (("--pid", "4194305"), "there is no such process"),
        (("--cgroup", "no/such/cgroup"), "no/such/cgroup"),
        (("--pid", "1", "--window", "20", "--every", "10"), "do not fit a period of 10 s"),
        (("--pid", "1", "--recorded", "perf.csv"), "--recorded reads what was measured before"),
        (("--recorded", "trace.csv"), "no line counts an event"),
        (("--recorded", "nowhere"), "cannot be read"),
    ],
)
def test_wrong_input_is_refused_with_a_cure(tonnage: Tonnage, arguments: tuple[str, ...], told: str) -> None:
    result = tonnage("profile", "cpi", *arguments)
    assert result.exit_code in ((2, 4) if "--cgroup" in arguments else (2,))
    if result.exit_code == 2:
        assert told in result.stderr
    assert "\n  " in result.stderr
