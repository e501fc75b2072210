"""The command perf counts where this process may not; what it cannot count is left out, and none is left running."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from profilers.cgroup import read_mounts
from profilers.cpi import Schedule, perf_event, perf_stat, profile_cpi
from profilers.cpi.perf_stat import Counting, can_count
from profilers.cpi.targets import resolve
from tests.profilers.cpi.conftest import MakeCgroup, Spin

LINE = (
    '{{"counter-value" : "{value}", "unit" : "", "event" : "{event}",{cgroup} "event-runtime" : 100, '
    '"pcnt-running" : 80.00, "metric-value" : 0.0, "metric-unit" : ""}}'
)
COUNTS = {
    "cycles": "3000.0",
    "instructions": "1000.0",
    "cache-misses": "5.0",
    "stalled-cycles-backend": "<not counted>",
}


def stub(folder: Path, body: str) -> None:
    (folder / "perf").write_text(f"#!/bin/sh\n{body}\n")
    (folder / "perf").chmod(0o755)


@pytest.fixture
def perf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A perf that keeps its arguments, sleeps as asked and prints counts: per cgroup where cgroups are asked for."""
    lines = [LINE.format(value=value, event=event, cgroup="") for event, value in COUNTS.items()]
    grouped = [LINE.format(value=value, event=event, cgroup=' "cgroup" : "%s",') for event, value in COUNTS.items()]
    (tmp_path / "plain").write_text("# started on\n" + "\n".join(lines) + "\n")
    (tmp_path / "grouped").write_text("\n".join(grouped).replace("%s", "CGROUP") + "\n")
    stub(
        tmp_path,
        f"""echo "$@" >> {tmp_path}/calls
for word in "$@"; do last=$word; done
sleep "$last"
case "$*" in
*--for-each-cgroup*) for one in $(echo "$7" | tr , ' '); do sed "s#CGROUP#$one#" {tmp_path}/grouped >&2; done;;
*) cat {tmp_path}/plain >&2;;
esac""",
    )
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path


def deny(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*arguments: object) -> int:
        raise OSError(errno.EPERM, "denied")

    monkeypatch.setattr(perf_event, "perf_event_open", denied)


def test_perf_counts_processes_one_by_one_and_cgroups_together(
    perf: Path, spin: Spin, make_cgroup: MakeCgroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    deny(monkeypatch)
    folders = [make_cgroup("unified"), make_cgroup("unified")]
    pid = spin()
    found = profile_cpi(pids=[pid], cgroups=[str(one) for one in folders], schedule=Schedule(0.1, 0.4, 2))
    assert found.spec.source == "perf stat"
    for target in found.spec.targets:
        assert [window.cpi for window in target.windows] == pytest.approx([3.0, 3.0])
        assert [window.llc_mpki for window in target.windows] == pytest.approx([5.0, 5.0])
        assert [window.counted_share for window in target.windows] == pytest.approx([0.8, 0.8])
        assert target.windows[0].stalled_cycles is None
        assert not target.user_only
    assert [(one.quantity, one.cause) for one in found.spec.missing if one.quantity == "stalled_cycles"] == [
        ("stalled_cycles", "perf says <not counted>")
    ]
    calls = (perf / "calls").read_text().splitlines()
    assert sum("--for-each-cgroup" in call for call in calls) == 1 + 2  # the trial and one per window
    assert sum(f"-p {pid}" in call for call in calls) == 1 + 2
    assert f"{folders[0].name},{folders[1].name}" in calls[-1] + calls[-2]


def test_what_perf_counts_in_user_mode_alone_is_marked(perf: Path, spin: Spin, monkeypatch: pytest.MonkeyPatch) -> None:
    deny(monkeypatch)
    text = (perf / "plain").read_text()
    for event in COUNTS:
        text = text.replace(f'"{event}"', f'"{event}:u"')
    (perf / "plain").write_text(text)
    (target,) = profile_cpi(pids=[spin()], schedule=Schedule(0.1, 0.1, 1)).spec.targets
    assert target.user_only
    assert target.windows[0].cpi == pytest.approx(3.0)


def test_where_perf_cannot_count_either_the_refusal_stands(
    perf: Path, spin: Spin, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(perf, "echo 'Error: no permission' >&2; exit 255")
    deny(monkeypatch)
    found = profile_cpi(pids=[spin()], schedule=Schedule(0.1, 0.1, 1))
    assert found.spec.source == "none"
    assert {one.error for one in found.spec.missing if one.quantity == "cycles"} == {"EPERM"}


def test_a_perf_that_hangs_is_ended(perf: Path, spin: Spin, monkeypatch: pytest.MonkeyPatch) -> None:
    stub(perf, "exec sleep 600")
    monkeypatch.setattr(perf_stat, "GRACE_S", 0.1)
    (target,) = resolve([spin()], [], [])
    counting = Counting([target], read_mounts(), 0.05)
    assert counting.finish() == {}
    assert all(run.poll() is not None for _, run in counting._runs)


def test_a_perf_whose_output_is_cut_off_counts_nothing(perf: Path, spin: Spin) -> None:
    stub(perf, """echo '{"counter-value" : "12' >&2""")
    (target,) = resolve([spin()], [], [])
    assert not can_count(target, read_mounts())
