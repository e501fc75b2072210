"""Running totals are read from version 1 and 2 alike, and their differences are the figures of a window."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.cgroup import cgroup_at, read_mounts
from profilers.cpi import pressure
from profilers.cpi.pressure import Reading, between, limit_cores, read
from profilers.cpi.targets import Target, VanishedError, identity, resolve
from tests.profilers.cpi.conftest import MakeCgroup, Spin, move
from tests.profilers.cpi.hosts import PSI, Host, version_1, version_2

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def target_of(host: Host, path: str) -> Target:
    cgroup = cgroup_at(path, host.mounts)
    return Target(path, "cgroup", cgroup, identity(None, cgroup, host.proc))


def v2_files(usage_us: int, periods: int, throttled: int, lost_us: int, stalled_us: int) -> dict[str, str]:
    stat = f"usage_usec {usage_us}\nnr_periods {periods}\nnr_throttled {throttled}\nthrottled_usec {lost_us}\n"
    psi = PSI.format(some=stalled_us, full=stalled_us // 2)
    return {"cpu.stat": stat, "cpu.pressure": psi, "memory.pressure": psi, "io.pressure": psi}


def test_version_2_gives_every_figure(tmp_path: Path) -> None:
    host = version_2(tmp_path)
    host.process(7, cgroup="0::/web\n")
    host.group("unified", "web", {**v2_files(10**6, 100, 10, 5 * 10**5, 10**6), "cgroup.procs": "7\n"})
    host.machine(ticks=1000, steal=10)
    host.thread(7, 7, 10**9)
    target = target_of(host, "web")
    before = read(target, lambda: 100.0, host.proc)
    host.group("unified", "web", v2_files(9 * 10**6, 140, 20, 9 * 10**5, 3 * 10**6))
    host.machine(ticks=1900, steal=110)
    host.thread(7, 7, 3 * 10**9)
    host.thread(7, 8, 5 * 10**8)  # began within the window
    after = read(target, lambda: 104.0, host.proc)
    assert between(before, after) == pytest.approx(
        {
            "cpu_cores": 2.0, "throttled_share": 0.25, "throttled_s": 0.4, "cpu_pressure": 0.5, "memory_pressure": 0.5,
            "io_pressure": 0.5, "memory_full_pressure": 0.25, "io_full_pressure": 0.25, "steal_share": 0.1,
            "run_delay_s": 2.5,
        }
    )  # fmt: skip


def test_version_1_counts_in_nanoseconds_and_has_no_pressure(tmp_path: Path) -> None:
    host = version_1(tmp_path)
    stat = "nr_periods {}\nnr_throttled {}\nthrottled_time {}\n"
    host.group("cpu_and_cpuacct", "web", {"cpuacct.usage": "1000000000", "cpu.stat": stat.format(0, 0, 0)})
    host.machine(ticks=1000, steal=0)
    target = target_of(host, "web")
    before = read(target, lambda: 0.0, host.proc)
    host.group("cpu_and_cpuacct", "web", {"cpuacct.usage": "4000000000", "cpu.stat": stat.format(20, 5, 10**9)})
    after = read(target, lambda: 2.0, host.proc)
    expected = {"cpu_cores": 1.5, "throttled_share": 0.25, "throttled_s": 1.0}
    assert between(before, after) == pytest.approx(expected)


def test_the_root_has_the_pressure_of_the_machine(tmp_path: Path) -> None:
    host = version_2(tmp_path)
    host.write("proc/pressure/cpu", PSI.format(some=0, full=0))
    target = target_of(host, "/")
    before = read(target, lambda: 0.0, host.proc)
    host.write("proc/pressure/cpu", PSI.format(some=10**6, full=0))
    assert between(before, read(target, lambda: 4.0, host.proc)) == pytest.approx({"cpu_pressure": 0.25})


def test_a_process_has_its_own_time_and_its_cgroups_pressure(tmp_path: Path) -> None:
    host = version_2(tmp_path)
    host.group("unified", "web", v2_files(0, 0, 0, 0, 0))
    host.process(7, cgroup="0::/web\n", ticks=(0, 0))
    (target,) = resolve([7], [], [], proc=host.proc)
    before = read(target, lambda: 0.0, host.proc)
    host.process(7, cgroup="0::/web\n", ticks=(TICKS_PER_S, TICKS_PER_S))
    host.group("unified", "web", v2_files(10**9, 0, 0, 0, 10**6))
    found = between(before, read(target, lambda: 4.0, host.proc))
    assert found["cpu_cores"] == pytest.approx(0.5)
    assert found["cpu_pressure"] == pytest.approx(0.25)
    assert found["throttled_share"] == 0.0


def test_too_many_threads_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pressure, "MOST_THREADS", 3)
    host = version_2(tmp_path)
    host.process(7, cgroup="0::/\n")
    for thread in range(4):
        host.thread(7, thread, 0)
    (target,) = resolve([7], [], [], proc=host.proc)
    assert read(target, proc=host.proc).waits_s is None


@pytest.mark.parametrize(
    ("hierarchy", "files", "cores"),
    [
        ("unified", {"cpu.max": "150000 100000\n"}, 1.5),
        ("unified", {"cpu.max": "max 100000\n"}, None),
        ("unified", {}, None),
        ("cpu", {"cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "100000"}, 0.5),
        ("cpu", {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}, None),
    ],
)
def test_the_quota_is_told_in_cores(tmp_path: Path, hierarchy: str, files: dict[str, str], cores: float | None) -> None:
    host = Host(tmp_path).mount(**{hierarchy: "/"})
    host.group(hierarchy, "web", files)
    assert limit_cores(cgroup_at("web", host.mounts)) == cores


TOTALS = st.dictionaries(
    st.sampled_from(["own_cpu_s", "cpu_pressure", "io_full_pressure", "steal_ticks", "machine_ticks"]),
    st.floats(0, 1e9),
)


@given(TOTALS, TOTALS, st.floats(0.001, 1e4))
def test_shares_are_shares_and_no_figure_is_negative(
    before: dict[str, float], after: dict[str, float], window_s: float
) -> None:
    together = {"machine_ticks", "steal_ticks"}
    for totals in (before, after):
        if not together <= totals.keys():
            for name in together:
                totals.pop(name, None)
    try:
        found = between(Reading(0.0, before), Reading(window_s, after))
    except VanishedError:
        assert after["own_cpu_s"] < before["own_cpu_s"]
        return
    assert all(value >= 0 for value in found.values())
    assert all(value <= 1 for name, value in found.items() if name.endswith(("share", "pressure")))


def test_a_total_that_falls_is_another_target() -> None:
    with pytest.raises(VanishedError, match="cpu_s fell from 5 to 1"):
        between(Reading(0.0, {"own_cpu_s": 5.0}), Reading(1.0, {"own_cpu_s": 1.0}))


def test_the_real_kernel_tells_what_a_busy_process_uses_and_waits(spin: Spin) -> None:
    pid = spin()
    (target,) = resolve([pid], [], [])
    before = read(target)
    time.sleep(0.5)
    found = between(before, read(target))
    waited = found.get("run_delay_s")
    if waited is None:
        pytest.skip("the kernel keeps no schedstat")
    # a process that spins is either on a CPU or waits for one
    assert found["cpu_cores"] * 0.5 + waited == pytest.approx(0.5, abs=0.1)


def test_the_real_kernel_throttles_a_cgroup_of_version_1(spin: Spin, make_cgroup: MakeCgroup) -> None:
    folder = make_cgroup("cpu")
    try:
        (folder / "cpu.cfs_period_us").write_text("10000")
        (folder / "cpu.cfs_quota_us").write_text("2000")
    except OSError as error:
        pytest.skip(f"no quota can be set: {error.strerror}")
    move(spin(), folder)
    mounts = read_mounts()
    cgroup = cgroup_at(str(folder), mounts)
    target = Target("throttled", "cgroup", cgroup, identity(None, cgroup))
    assert limit_cores(cgroup) == pytest.approx(0.2)
    for _ in range(10):  # on a busy machine it may get less CPU than its quota for a while
        before = read(target)
        time.sleep(0.6)
        found = between(before, read(target))
        if found["throttled_share"] > 0.5 and found["throttled_s"] > 0.1:
            break
    assert found["throttled_share"] > 0.5
    assert found["throttled_s"] > 0.1
