"""Real cgroups where this user may make them, busy processes, and a kernel without a machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from profilers.cgroup import UNIFIED, Mounts, read_mounts

SPIN = "import sys; sys.stdout.write('x'); sys.stdout.flush()\nwhile True: pass"
Spin = Callable[[], int]
MakeCgroup = Callable[[str], Path]


@pytest.fixture
def mounts() -> Mounts:
    return read_mounts()


@pytest.fixture
def spin() -> Iterator[Spin]:
    """Start processes that use all the CPU they get."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> int:
        process = subprocess.Popen([sys.executable, "-c", SPIN], stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        process.stdout.read(1)  # it runs
        return process.pid

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def make_cgroup(mounts: Mounts) -> Iterator[MakeCgroup]:
    """Make a cgroup in the hierarchy of that name; skips where that is not allowed."""
    made: list[Path] = []

    def make(controller: str = UNIFIED) -> Path:
        if controller not in mounts:
            pytest.skip(f"no cgroup hierarchy of {controller} is mounted")
        folder = mounts[controller].folder / f"tonnage-test-{uuid.uuid4().hex[:8]}"
        try:
            folder.mkdir()
        except OSError as error:
            pytest.skip(f"no cgroup can be made in {folder.parent}: {error.strerror}")
        made.append(folder)
        return folder

    yield make
    for folder in made:
        remove(folder)


def remove(folder: Path) -> None:
    """End the processes of a cgroup and remove it; one that is gone already is no error."""
    for _ in range(200):
        try:
            pids = (folder / "cgroup.procs").read_text().split()
        except FileNotFoundError:
            return
        if not pids:
            break
        for pid in map(int, pids):
            os.kill(pid, signal.SIGKILL)
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                continue
    folder.rmdir()


def move(pid: int, folder: Path) -> None:
    """Put a process into a cgroup; skips where that is not allowed."""
    try:
        (folder / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        pytest.skip(f"no process can be moved into {folder}: {error.strerror}")
