"""The system call is made as the kernel wants it, groups are read and scaled, and no descriptor is left open."""

from __future__ import annotations

import errno
import os
import platform
import resource
import struct
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.cpi import perf_event
from profilers.cpi.counts import ratios
from profilers.cpi.perf_event import HARDWARE, SOFTWARE, Accepted, Group, Place
from tests.profilers.cpi.conftest import MakeCgroup, Spin, move
from tests.profilers.cpi.kernels import FakeKernel, install

RATES = {
    "cycles": 3e9, "instructions": 2e9, "llc_misses": 4e6, "stalled_cycles": 1.2e9,
    "task_clock_s": 1.0, "context_switches": 50.0,
}  # fmt: skip
ALL = Accepted(HARDWARE, ())


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def assert_the_task_clock_is_that_of_schedstat(places: Sequence[Place], pids: Sequence[int]) -> None:
    """Count for 0.4 s: what was used while counting ≤ task clock ≤ what was used from before until after."""

    def used_s() -> float:
        return sum(map(cpu_seconds, pids))

    groups = perf_event.open_groups(Accepted(SOFTWARE, ()), places)
    try:
        before = used_s()
        perf_event.switch(groups, on=True)
        within = used_s()
        time.sleep(0.4)
        within = used_s() - within
        perf_event.switch(groups, on=False)
        before = used_s() - before
        counts = perf_event.read_groups(groups)
    finally:
        perf_event.close_groups(groups)
    assert counts is not None
    assert within > 0
    # schedstat moves in ticks of the scheduler, up to 10 ms per process
    assert within - 0.02 <= counts.values["task_clock_s"] <= before + 0.02


def software_or_skip(place: Place) -> None:
    refused = perf_event.accepted(SOFTWARE, place).refused
    if refused:
        pytest.skip(f"software counters are not allowed here: {errno.errorcode[refused[0].code]}")


def cpu_seconds(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) * 1e-9


def test_the_real_kernel_counts_another_process_as_schedstat_does(spin: Spin) -> None:
    pid = spin()
    software_or_skip(Place(pid))
    assert_the_task_clock_is_that_of_schedstat([Place(pid)], [pid])


def test_the_real_kernel_counts_a_cgroup_on_every_cpu(spin: Spin, make_cgroup: MakeCgroup) -> None:
    folder = make_cgroup("unified")
    pids = [spin(), spin()]
    for pid in pids:
        move(pid, folder)
    handle = os.open(folder, os.O_RDONLY)
    try:
        places = [Place(handle, cpu, cgroup=True) for cpu in range(os.cpu_count() or 1)]
        software_or_skip(places[0])
        assert_the_task_clock_is_that_of_schedstat(places, pids)
    finally:
        os.close(handle)


def test_the_real_kernel_says_which_hardware_counter_it_has_not() -> None:
    found = perf_event.accepted(HARDWARE, Place(os.getpid()))
    assert {event.name for event in found.events} | {one.event.name for one in found.refused} == {
        event.name for event in HARDWARE
    }
    for refusal in found.refused:
        assert refusal.code in errno.errorcode


def test_a_folder_that_is_no_cgroup_is_refused_by_its_errno(tmp_path: Path) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        found = perf_event.accepted(SOFTWARE, Place(handle, 0, cgroup=True))
    finally:
        os.close(handle)
    assert not found.events
    assert {one.code for one in found.refused} <= {errno.EBADF, errno.EACCES, errno.EPERM, errno.ENOSYS}


def test_a_process_that_is_gone_is_left_out() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert perf_event.open_groups(Accepted(SOFTWARE, ()), [Place(pid)]) == []


def test_a_machine_whose_call_number_is_unknown_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    with pytest.raises(OSError, match="vax") as caught:
        perf_event.perf_event_open(SOFTWARE[0], Place(0), -1, False)
    assert caught.value.errno == errno.ENOSYS


def test_trying_leaves_no_descriptor_open() -> None:
    before = open_descriptors()
    perf_event.accepted((*HARDWARE, *SOFTWARE), Place(os.getpid()))
    assert open_descriptors() == before


def test_a_group_has_one_leader_and_is_switched_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = FakeKernel(RATES)
    calls = install(monkeypatch, kernel)
    groups = perf_event.open_groups(ALL, [Place(7, 0, cgroup=True), Place(7, 1, cgroup=True)])
    perf_event.switch(groups, on=True)
    assert [leader < 0 for _, _, leader, _ in kernel.opened] == [True, False, False, False] * 2
    assert [(request, flag) for _, request, flag in calls.calls] == [(0x2400, 1)] * 2
    counts = perf_event.read_groups(groups)
    assert counts is not None
    assert counts.values["cycles"] == pytest.approx(2 * 2 * 3e9)
    assert ratios(counts) == pytest.approx({"cpi": 1.5, "llc_mpki": 2.0, "stalled_share": 0.4})
    perf_event.close_groups(groups)
    assert not kernel.alive


@given(
    st.lists(st.tuples(st.integers(1, 10**10), st.floats(0.02, 1.0), st.integers(0, 10**12)), min_size=1, max_size=8)
)
def test_multiplexing_is_scaled_by_enabled_over_counted_time(cpus: list[tuple[int, float, int]]) -> None:
    raw = [(enabled, max(1, int(enabled * share)), count) for enabled, share, count in cpus]
    expected = sum(count * enabled / counted for enabled, counted, count in raw)
    groups, handles = [], []
    for enabled, counted, count in raw:
        reader, writer = os.pipe()
        os.write(writer, struct.pack("=QQQQ", 1, enabled, counted, count))
        os.close(writer)
        handles.append(reader)
        groups.append(Group((HARDWARE[0],), (reader,)))
    found = perf_event.read_groups(groups)
    perf_event.close(handles)
    assert found is not None
    assert found.values["cycles"] == pytest.approx(expected, rel=1e-9, abs=0.5)
    share = sum(counted for _, counted, _ in raw) / sum(enabled for enabled, _, _ in raw)
    assert found.counted_share == pytest.approx(share)


def test_what_ran_and_was_never_counted_is_not_a_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeKernel(RATES, share=lambda members: 0.0))
    assert perf_event.read_groups(perf_event.open_groups(ALL, [Place(1)])) is None


def test_what_never_ran_has_counts_of_zero_and_no_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeKernel(RATES, enabled_ns=0))
    counts = perf_event.read_groups(perf_event.open_groups(ALL, [Place(1)]))
    assert counts is not None
    assert counts.values["cycles"] == 0
    assert ratios(counts) == {}


def test_without_the_right_to_the_kernel_user_mode_is_counted_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeKernel(RATES, denies_kernel=errno.EACCES))
    found = perf_event.accepted(HARDWARE, Place(1))
    assert found.user_only
    assert found.has_cpi


def test_an_optional_counter_that_is_refused_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeKernel(RATES, refuses={"stalled_cycles": errno.ENOENT}))
    found = perf_event.accepted(HARDWARE, Place(1))
    assert [event.name for event in found.events] == ["cycles", "instructions", "llc_misses"]
    assert [(one.event.name, one.code) for one in found.refused] == [("stalled_cycles", errno.ENOENT)]
    assert found.has_cpi


def test_a_group_whose_cpu_was_switched_off_adds_nothing() -> None:
    reader, writer = os.pipe()
    os.close(writer)
    counts = perf_event.read_groups([Group((HARDWARE[0],), (reader,))])
    os.close(reader)
    assert counts is not None
    assert (counts.values, counts.counted_share) == ({"cycles": 0.0}, None)


def test_a_refusal_half_way_closes_what_was_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = FakeKernel(RATES, refuses={"llc_misses": errno.EMFILE})
    install(monkeypatch, kernel)
    with pytest.raises(OSError, match="Too many open files"):
        perf_event.open_groups(ALL, [Place(1), Place(2)])
    assert not kernel.alive


def test_the_budget_of_descriptors_is_bounded_by_the_limit_and_by_us(monkeypatch: pytest.MonkeyPatch) -> None:
    for soft, budget in ((1024, 960), (10**6, 8192), (10, 0), (-1, 8192)):
        monkeypatch.setattr(resource, "getrlimit", lambda which, soft=soft: (soft, soft))
        assert perf_event.descriptor_budget() == budget
