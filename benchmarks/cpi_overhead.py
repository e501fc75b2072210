"""What `profile cpi` takes itself: 50 busy cgroups, one window of 10 s in 60 s; `python -m benchmarks.cpi_overhead`."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.line import Line, Result
from profilers.cgroup import UNIFIED, read_mounts
from profilers.cpi import Schedule, profile_cpi

CGROUPS = 50
THREADS = 4  # processes per cgroup; each sleeps most of the time, as services do
BUSY_S, IDLE_S = 0.0005, 0.05
MOST_SHARE = 0.01

LINE = Line(
    name="cpi-overhead",
    what=f"CPU time of `profile cpi` over {CGROUPS} cgroups of {THREADS} processes, windows of 10 s in 60 s",
    bar="at most 1 % of one core",
    data="processes started by the benchmark",
)


def run(windows: int = 2) -> Result:
    with cgroups() as folders:
        profile = profile_cpi(cgroups=[str(folder) for folder in folders], schedule=Schedule(windows=windows))
    spec = profile.spec
    if spec.overhead is None:
        raise AssertionError("a measured profile tells its overhead")
    period_s = windows * (spec.every_s or 0.0)  # the last period ends with its window, but the next would begin then
    share = spec.overhead.cpu_s / period_s
    counters = "hardware" if spec.source != "none" else "software (no hardware counters here)"
    figures = {
        "cpu_share": share, "cpu_s_per_window": spec.overhead.cpu_s / windows, "cpus": float(spec.cpus or 0),
        "file_descriptors": float(spec.overhead.file_descriptors),
    }  # fmt: skip
    text = f"{100 * share:.2f} % of one core, {spec.overhead.file_descriptors} open files, {counters} counters"
    return Result(holds=share <= MOST_SHARE, text=text, figures=figures)


@contextmanager
def cgroups() -> Iterator[list[Path]]:
    """Make the cgroups with their processes; both are gone afterwards."""
    root = read_mounts()[UNIFIED].folder
    folders = [root / f"tonnage-overhead-{os.getpid()}-{i}" for i in range(CGROUPS)]
    pids: list[int] = []
    try:
        for folder in folders:
            folder.mkdir()
            pids += [serve(folder) for _ in range(THREADS)]
        yield folders
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for folder in folders:
            if folder.exists():
                folder.rmdir()


def serve(folder: Path) -> int:
    """Start a process in the cgroup that works a little again and again."""
    pid = os.fork()
    if pid:
        return pid
    (folder / "cgroup.procs").write_text("0")
    while True:
        until = time.monotonic() + BUSY_S
        while time.monotonic() < until:
            pass
        time.sleep(IDLE_S)


if __name__ == "__main__":
    result = run()
    print(f"{LINE.name}: {result.text}  [{'holds' if result.holds else 'MISSES'}: {LINE.bar}]")
    sys.exit(not result.holds)
