"""Windows are measured for many targets at once; what vanishes, steps back or does not fit is handled."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from profilers.cgroup import cgroup_at
from profilers.cpi import document, perf_event, sampling, surveying
from profilers.cpi import profile_cpi as measure
from profilers.cpi.perf_event import HARDWARE, SOFTWARE, Accepted
from profilers.cpi.sampling import Clock, Sampled, Schedule, sample
from profilers.cpi.surveying import Watch, descriptors, turns
from profilers.cpi.targets import Target, identity, resolve
from specs.cpi import CpiProfile
from specs.errors import InputError, MissingHardwareError
from tests.profilers.cpi.conftest import MakeCgroup, Spin, move, remove
from tests.profilers.cpi.hosts import Host, version_2
from tests.profilers.cpi.kernels import FakeKernel, install
from tests.profilers.cpi.test_perf_event import RATES

QUICK = Schedule(window_s=0.1, every_s=0.15, windows=3)


@dataclass
class Hands:
    """Clocks moved by hand: sleeping moves both; ``meanwhile`` is called with the steady time after each sleep."""

    steady_s: float = 1000.0
    wall_s: float = 1_800_000_000.0
    meanwhile: Callable[[float], None] = lambda steady_s: None
    slept: list[float] = field(default_factory=list)

    def clock(self) -> Clock:
        return Clock(lambda: self.steady_s, lambda: self.wall_s, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.steady_s += seconds
        self.wall_s += seconds
        self.meanwhile(self.steady_s)


def run(watches: list[Watch], schedule: Schedule, hands: Hands) -> Sampled:
    return sample(watches, {}, schedule, clock=hands.clock(), on_progress=lambda done, total, what: None)


def hardware_watch(host: Host, path: str) -> Watch:
    host.group("unified", path, {"cpu.stat": "usage_usec 0\n"})
    cgroup = cgroup_at(path, host.mounts)
    return Watch(Target(path, "cgroup", cgroup, identity(None, cgroup)), Accepted(HARDWARE, ()))


@pytest.fixture
def two_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveying, "cpus_of", lambda cgroup: [0, 1])


@pytest.mark.usefixtures("two_cpus")
def test_cpi_is_cycles_over_instructions_in_every_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = FakeKernel(RATES, share=lambda members: 0.5)
    install(monkeypatch, kernel)
    host = version_2(tmp_path)
    hands = Hands()
    found = run([hardware_watch(host, "a"), hardware_watch(host, "b")], Schedule(), hands)
    assert sum(hands.slept) == pytest.approx(4 * 60 + 10)
    for tally in found.tallies:
        assert [window.cpi for window in tally.windows] == pytest.approx([1.5] * 5)
        assert [window.counted_share for window in tally.windows] == pytest.approx([0.5] * 5)
        assert [window.window_s for window in tally.windows] == pytest.approx([10.0] * 5)
        assert tally.windows[0].cycles == pytest.approx(2 * 2 * 3e9)
    assert not kernel.alive
    assert kernel.most_alive == found.overhead.file_descriptors - 2 == 2 * 2 * len(HARDWARE)


@pytest.mark.usefixtures("two_cpus")
def test_a_wall_clock_that_steps_back_moves_no_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeKernel(RATES))
    hands = Hands()

    def step_back(steady_s: float) -> None:
        if steady_s >= 1065.0 and hands.wall_s > 1_799_999_000:
            hands.wall_s -= 3600.0

    hands.meanwhile = step_back
    found = run([hardware_watch(version_2(tmp_path), "a")], Schedule(), hands)
    (tally,) = found.tallies
    started = [window.started for window in tally.windows]
    assert started == sorted(started, key=str)
    assert [one[14:19] for one in map(str, started)] == ["00:00", "01:00", "02:00", "03:00", "04:00"]
    assert found.notes == (
        "the wall clock was set by -3600 s meanwhile; times are counted on from the start of the run",
    )
    assert all(window.window_s == pytest.approx(10.0) for window in tally.windows)


@pytest.mark.usefixtures("two_cpus")
def test_a_cgroup_that_vanishes_within_a_window_keeps_its_whole_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = FakeKernel(RATES)
    install(monkeypatch, kernel)
    host = version_2(tmp_path)
    watches = [hardware_watch(host, "stays"), hardware_watch(host, "goes")]

    def vanish(steady_s: float) -> None:
        if steady_s >= 1125.0 and (folder := watches[1].target.cgroup.any_folder) and folder.exists():
            (folder / "cpu.stat").unlink()
            folder.rmdir()

    found = run(watches, Schedule(), Hands(meanwhile=vanish))
    stays, goes = found.tallies
    assert (len(stays.windows), stays.vanished) == (5, False)
    assert (len(goes.windows), goes.vanished) == (2, True)
    assert "2 of 5 windows were measured before" in goes.notes[0]
    assert not kernel.alive


@pytest.mark.usefixtures("two_cpus")
def test_counters_that_do_not_fit_together_are_counted_without_the_optional(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, FakeKernel(RATES, share=lambda members: 1.0 if members <= 2 else 0.0))
    (tally,) = run([hardware_watch(version_2(tmp_path), "a")], Schedule(), Hands()).tallies
    assert [window.cpi for window in tally.windows] == [None, *[pytest.approx(1.5)] * 4]
    assert tally.windows[0].counted_share == 0.0
    assert tally.windows[0].cycles is None
    assert "did not fit the PMU together" in tally.notes[0]


@pytest.mark.usefixtures("two_cpus")
def test_counters_that_someone_else_holds_give_no_cpi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeKernel(RATES, share=lambda members: 0.001))
    (tally,) = run([hardware_watch(version_2(tmp_path), "a")], Schedule(), Hands()).tallies
    assert [window.cpi for window in tally.windows] == [None] * 5
    assert any("another user" in note for note in tally.notes)


@pytest.mark.usefixtures("two_cpus")
def test_targets_take_turns_where_descriptors_are_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = FakeKernel(RATES)
    install(monkeypatch, kernel)
    monkeypatch.setattr(sampling, "descriptor_budget", lambda: 20)
    host = version_2(tmp_path)
    found = run([hardware_watch(host, f"g{i}") for i in range(5)], Schedule(windows=2), Hands())
    assert found.overhead.turns == 3
    assert kernel.most_alive <= 20
    assert [len(tally.windows) for tally in found.tallies] == [2] * 5
    seconds = [str(tally.windows[0].started)[17:19] for tally in found.tallies]
    assert seconds == ["00", "00", "10", "10", "20"]


def test_turns_that_do_not_fit_the_period_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = version_2(tmp_path)
    monkeypatch.setattr(surveying, "cpus_of", lambda cgroup: [0])
    monkeypatch.setattr(sampling, "descriptor_budget", lambda: 5)
    watches = [hardware_watch(host, f"g{i}") for i in range(7)]
    with pytest.raises(InputError, match=r"in 7 turns.*do not fit a period of 60 s") as caught:
        run(watches, Schedule(), Hands())
    assert "--every 70" in caught.value.cure
    with pytest.raises(InputError, match="needs 5 counters at once, 4 file descriptors"):
        turns(watches, 4)


@pytest.mark.parametrize("schedule", [Schedule(0.0), Schedule(float("nan")), Schedule(-1.0), Schedule(20.0, 10.0)])
def test_a_schedule_that_cannot_be_is_refused(schedule: Schedule) -> None:
    with pytest.raises(InputError):
        schedule.check(1)


def test_a_counter_refused_in_a_window_leaves_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeKernel(RATES, refuses={"instructions": errno.EMFILE}))
    monkeypatch.setattr(surveying, "cpus_of", lambda cgroup: [0])
    (tally,) = run([hardware_watch(version_2(tmp_path), "a")], Schedule(windows=1), Hands()).tallies
    assert tally.windows[0].cpi is None
    assert tally.windows[0].cpu_cores == 0.0
    assert tally.notes[0].startswith("counters could not be opened in a window: Too many open files")


def test_no_cpi_is_invented_where_the_kernel_has_no_counters(spin: Spin, monkeypatch: pytest.MonkeyPatch) -> None:
    real = perf_event.perf_event_open

    def without_hardware(event: perf_event.Event, *rest: object) -> int:
        if event in HARDWARE:
            raise OSError(errno.ENOENT, "no")
        return real(event, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(perf_event, "perf_event_open", without_hardware)
    told: list[str] = []
    found = measure(pids=[spin()], schedule=QUICK, on_missing=lambda missing: told.extend(m.quantity for m in missing))
    assert told == [event.name for event in HARDWARE]
    assert found.spec.source == "none"
    (target,) = found.spec.targets
    assert len(target.windows) == 3
    assert not {"cpi", "cycles", "instructions"} & target.summary.keys()
    assert target.summary["cpu_cores"].mean > 0.02
    assert {one.instead for one in found.spec.missing if one.quantity == "cycles"} != {None}
    assert CpiProfile.model_validate(found.model_dump(mode="json")) == found


def test_real_software_counters_agree_with_the_cgroups_cpu_time(spin: Spin, make_cgroup: MakeCgroup) -> None:
    folder = make_cgroup("unified")
    move(spin(), folder)
    found = measure(cgroups=[str(folder)], schedule=Schedule(0.3, 0.35, 5))
    if found.spec.source != "none":
        pytest.skip("this machine has hardware counters; software ones are not used")
    windows = found.spec.targets[0].windows
    if any(window.task_clock_s is None for window in windows):
        pytest.skip("software counters are not allowed here")
    # from just before the counters to just after: longer where this process has to wait for a CPU meanwhile
    used_s = sum((window.cpu_cores or 0.0) * (window.window_s or 0.0) for window in windows)
    counted_s = sum(window.task_clock_s or 0.0 for window in windows)
    assert 0.2 * used_s <= counted_s <= used_s + 0.05 * len(windows)


def test_a_real_cgroup_removed_in_a_window_ends_with_those_before(spin: Spin, make_cgroup: MakeCgroup) -> None:
    stays, goes = make_cgroup("unified"), make_cgroup("unified")
    move(spin(), stays)
    move(spin(), goes)

    def progress(done: float, total: float, what: str) -> None:
        if done > 0.3 and goes.exists():
            remove(goes)

    found = measure(cgroups=[str(stays), str(goes)], schedule=Schedule(0.2, 0.25, 3), on_progress=progress)
    first, second = found.spec.targets
    assert (len(first.windows), first.vanished) == (3, False)
    assert len(second.windows) < 3
    assert second.vanished


def test_a_process_that_ends_before_a_window_is_whole_is_told(spin: Spin) -> None:
    pid = spin()

    def end(done: float, total: float, what: str) -> None:
        os.kill(pid, signal.SIGKILL)  # nobody waits for it: it stays listed as ended

    with pytest.raises(MissingHardwareError, match=f"process {pid} is gone; 0 of 3 windows"):
        measure(pids=[pid], schedule=QUICK, on_progress=end)


def test_an_interrupted_window_leaves_no_counter_open(spin: Spin) -> None:
    def interrupt(done: float, total: float, what: str) -> None:
        raise KeyboardInterrupt

    pid, before = spin(), set(os.listdir("/proc/self/fd"))
    with pytest.raises(KeyboardInterrupt):
        measure(pids=[pid], schedule=QUICK, on_progress=interrupt)
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_process_needs_a_group_per_thread(spin: Spin) -> None:
    (target,) = resolve([spin()], [], [])
    assert descriptors(Watch(target, Accepted(SOFTWARE, ()))) == len(SOFTWARE)


def test_the_spread_is_that_of_the_windows() -> None:
    one = document.spread([1.0, 2.0, 4.0])
    assert one.mean == pytest.approx(7 / 3)
    assert (one.low, one.high, one.windows) == (1.0, 4.0, 3)
    assert one.sd == pytest.approx((7 / 3) ** 0.5)
    assert document.spread([1.0]).sd is None


def test_a_cpu_with_two_kinds_of_cores_is_left_to_perf(spin: Spin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveying, "is_hybrid", lambda: True)
    monkeypatch.setattr(surveying, "perf_command", lambda: None)
    found = measure(pids=[spin()], schedule=Schedule(0.05, 0.05, 1))
    assert found.spec.source == "none"
    (cycles,) = [one for one in found.spec.missing if one.quantity == "cycles"]
    assert "two kinds of cores" in cycles.cause
    assert "perf" in cycles.cure
    assert cycles.error is None


@pytest.mark.parametrize(("text", "cpus"), [("0-2,5,8-9\n", [0, 1, 2, 5, 8, 9]), ("3\n", [3]), ("\n", [])])
def test_a_list_of_cpus_is_read(tmp_path: Path, text: str, cpus: list[int]) -> None:
    path = tmp_path / "online"
    path.write_text(text)
    assert surveying.listed_cpus(path) == cpus


@pytest.mark.parametrize(
    ("hierarchy", "name", "allowed", "cpus"),
    [
        ("unified", "cpuset.cpus.effective", "1-2,9\n", [1, 2]),  # 9 is switched off
        ("cpuset", "cpuset.effective_cpus", "3\n", [3]),
        ("unified", "cpuset.cpus.effective", "\n", [0, 1, 2, 3]),
        ("unified", "cpu.stat", "", [0, 1, 2, 3]),
    ],
)
def test_a_cgroup_is_counted_where_it_may_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hierarchy: str, name: str, allowed: str, cpus: list[int]
) -> None:
    host = Host(tmp_path).mount(**{hierarchy: "/"})
    host.group(hierarchy, "web", {name: allowed})
    monkeypatch.setattr(surveying, "ONLINE", host.write("online", "0-3\n"))
    assert surveying.cpus_of(cgroup_at("web", host.mounts)) == cpus
