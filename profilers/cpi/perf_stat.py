"""Counting by the command `perf stat -j`, where it may count and this process may not."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from profilers.cgroup import Mounts
from profilers.cpi.targets import Target
from profilers.importers.perf_events import Gathered
from profilers.importers.perf_stat import json_rows, recordings
from specs.errors import InputError

EVENTS = "{cycles,instructions},cache-misses,stalled-cycles-backend"
GRACE_S = 5.0  # that perf may take beyond the window to start, stop and print
TRIAL_S = 0.02


def perf_command() -> str | None:
    """Return the path of `perf`, None where it is not installed."""
    return shutil.which("perf")


def can_count(target: Target, mounts: Mounts) -> bool:
    """Whether perf counts cycles and instructions of ``target``, found out by a trial of 20 ms."""
    counting = Counting([target], mounts, TRIAL_S)
    found = counting.finish().get(target.name)
    return found is not None and {"cycles", "instructions"} <= found.counts.values.keys()


class Counting:
    """Runs of perf over one window, begun by the constructor: one for all cgroups and one per process."""

    def __init__(self, targets: Sequence[Target], mounts: Mounts, window_s: float) -> None:
        self._limit_s = window_s + GRACE_S
        self._runs: list[tuple[Target | None, subprocess.Popen[str]]] = []
        self._names = {relative(target, mounts): target.name for target in targets if target.pid is None}
        nap = ["--", "sleep", f"{window_s:g}"]
        if self._names:
            chosen = ["-a", "--for-each-cgroup", ",".join(self._names)]
            self._runs.append((None, _start([*chosen, *nap])))
        for target in targets:
            if target.pid is not None:
                self._runs.append((target, _start(["-p", str(target.pid), *nap])))

    def stop(self) -> None:
        """End what still runs, so that an interrupted window leaves no perf behind."""
        for _, run in self._runs:
            if run.poll() is None:
                run.kill()
                run.communicate()

    def finish(self) -> dict[str, Gathered]:
        """Wait for perf and return what it counted by the names of the targets; what it could not is left out."""
        found: dict[str, Gathered] = {}
        for target, run in self._runs:
            for one in self._output(run, target.name if target else ""):
                name = target.name if target else self._names.get(one[0], one[0])
                found[name] = one[1]
        self.stop()
        return found

    def _output(self, run: subprocess.Popen[str], name: str) -> list[tuple[str, Gathered]]:
        try:
            _, told = run.communicate(timeout=self._limit_s)
            lines = [line for line in told.splitlines() if line.lstrip().startswith("{")]
            return [(one.name, one.gathered) for one in recordings(json_rows(lines, "perf stat"), name)]
        except (subprocess.TimeoutExpired, InputError):
            return []


def relative(target: Target, mounts: Mounts) -> str:
    """Return the cgroup's path below the hierarchy that perf looks in."""
    folder = target.cgroup.counted
    roots = [mount.folder for mount in mounts.values() if folder and folder.is_relative_to(mount.folder)]
    best = max(roots, key=lambda root: len(root.parts), default=Path("/"))
    below = str(folder.relative_to(best)) if folder else target.cgroup.path.lstrip("/")
    return "/" if below in (".", "") else below


def _start(arguments: list[str]) -> subprocess.Popen[str]:
    command = [perf_command() or "perf", "stat", "-j", "-e", EVENTS, *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
