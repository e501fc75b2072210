"""What holds a target up besides its own code: CPU use, throttling, pressure stalls, steal and waiting for a CPU."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from profilers.cgroup import PROC, UNIFIED, Cgroup
from profilers.cpi.targets import Target, VanishedError, stat_fields

MOST_THREADS = 512  # per target and reading; each costs about 20 µs
NS, US = 1e-9, 1e-6
UTIME, STIME = 11, 12  # of /proc/PID/stat after the name [std: proc_pid_stat(5)]
STEAL, CPU_FIELDS = 7, 8  # of the first line of /proc/stat; guest time is in user time already [std: proc_stat(5)]
CLOCK_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Reading:
    """Running totals of one target at one moment; what the kernel does not offer is left out.

    ``totals`` by name, seconds or counts. ``waits_s``: run-queue delay by thread, None with too many threads.
    """

    at_s: float
    totals: dict[str, float] = field(default_factory=dict)
    waits_s: dict[int, float] | None = None


def read(target: Target, now_s: Callable[[], float] = time.monotonic, proc: Path = PROC) -> Reading:
    """Read every total of ``target``; raises `VanishedError` where it is no longer there."""
    target.check(proc)
    at_s = now_s()
    totals = _cpu_seconds(target, proc) | _throttling(target.cgroup) | _pressure(target.cgroup, proc) | _steal(proc)
    reading = Reading(at_s, totals, _waits(target, proc))
    target.check(proc)
    return reading


def between(before: Reading, after: Reading) -> dict[str, float]:
    """Return the figures of the window between two readings by the names of `CpiWindow`.

    Raises `VanishedError` where a total went down, because the target is then another one of the same name.
    """
    grown = {name: after.totals[name] - before.totals[name] for name in before.totals.keys() & after.totals.keys()}
    for name in grown:
        if name.startswith("own_") and grown[name] < 0:
            told = name.removeprefix("own_")
            raise VanishedError(f"its {told} fell from {before.totals[name]:g} to {after.totals[name]:g}")
    window_s = after.at_s - before.at_s
    found: dict[str, float] = {}
    if "own_cpu_s" in grown:
        found["cpu_cores"] = grown["own_cpu_s"] / window_s
    if "own_periods" in grown:
        periods = grown["own_periods"]
        found["throttled_share"] = min(1.0, grown["own_throttled"] / periods) if periods else 0.0
        found["throttled_s"] = grown["own_throttled_s"]
    for name in [name for name in grown if name.endswith("_pressure")]:
        found[name] = min(1.0, max(0.0, grown[name] / window_s))
    if grown.get("machine_ticks", 0.0) > 0:
        found["steal_share"] = min(1.0, max(0.0, grown["steal_ticks"] / grown["machine_ticks"]))
    if before.waits_s is not None and after.waits_s is not None:
        found["run_delay_s"] = sum(max(0.0, s - before.waits_s.get(thread, 0.0)) for thread, s in after.waits_s.items())
    return found


def limit_cores(cgroup: Cgroup) -> float | None:
    """Return the CPU quota of a cgroup in cores, None without one (limits of the groups above it are not looked at)."""
    unified = cgroup.folder(UNIFIED)
    words = _words(unified / "cpu.max") if unified else []
    if len(words) == 2 and words[0] != "max":
        return int(words[0]) / int(words[1])
    old = cgroup.folder("cpu")
    quota = _words(old / "cpu.cfs_quota_us") if old else []
    period = _words(old / "cpu.cfs_period_us") if old else []
    return int(quota[0]) / int(period[0]) if quota and period and int(quota[0]) > 0 else None


def threads_of(target: Target, proc: Path = PROC) -> Iterator[tuple[int, int]]:
    """Yield (process, thread) of the target; a process that ends meanwhile is left out."""
    for pid in [target.pid] if target.pid is not None else _processes(target.cgroup):
        try:
            names = os.listdir(proc / str(pid) / "task")
        except OSError:
            continue
        yield from ((pid, int(name)) for name in names)


def _processes(cgroup: Cgroup) -> Iterator[int]:
    """Yield the processes of a cgroup and of those below it; the root's are not listed, they are the machine's."""
    folder = cgroup.any_folder
    if folder is None or cgroup.path == "/":
        return
    for path, _, _ in os.walk(folder):
        yield from (int(word) for word in _words(Path(path) / "cgroup.procs"))


def _waits(target: Target, proc: Path) -> dict[int, float] | None:
    """Return seconds that each thread waited for a CPU since it began. [std: Documentation/scheduler/sched-stats]"""
    if target.pid is None and target.cgroup.path == "/":
        return None
    waits: dict[int, float] = {}
    for pid, thread in threads_of(target, proc):
        if len(waits) >= MOST_THREADS:
            return None
        if len(words := _words(proc / str(pid) / "task" / str(thread) / "schedstat")) > 1:
            waits[thread] = int(words[1]) * NS
    return waits or None


def _cpu_seconds(target: Target, proc: Path) -> dict[str, float]:
    """CPU time: of a process with its ended threads, of a cgroup from version 2, else version 1."""
    if target.pid is not None:
        try:
            fields = stat_fields(target.pid, proc)
        except OSError:
            raise VanishedError(f"process {target.pid} is gone") from None
        return {"own_cpu_s": (int(fields[UTIME]) + int(fields[STIME])) / CLOCK_TICKS_PER_S}
    unified, old = target.cgroup.folder(UNIFIED), target.cgroup.folder("cpuacct")
    if unified and (usage := _pairs(unified / "cpu.stat").get("usage_usec")) is not None:
        return {"own_cpu_s": usage * US}
    words = _words(old / "cpuacct.usage") if old else []
    return {"own_cpu_s": int(words[0]) * NS} if words else {}


def _throttling(cgroup: Cgroup) -> dict[str, float]:
    """Periods of the quota, those cut short, and seconds lost: version 2 counts µs, version 1 ns."""
    for name, key, unit in ((UNIFIED, "throttled_usec", US), ("cpu", "throttled_time", NS)):
        folder = cgroup.folder(name)
        stat = _pairs(folder / "cpu.stat") if folder else {}
        if "nr_periods" in stat:
            return {
                "own_periods": stat["nr_periods"], "own_throttled": stat["nr_throttled"],
                "own_throttled_s": stat.get(key, 0) * unit,
            }  # fmt: skip
    return {}


def _pressure(cgroup: Cgroup, proc: Path) -> dict[str, float]:
    """Stalled seconds by resource, of the cgroup, or of the machine for the root. [std: Documentation/accounting]"""
    folder = cgroup.folder(UNIFIED)
    found: dict[str, float] = {}
    for resource in ("cpu", "memory", "io"):
        path = folder / f"{resource}.pressure" if folder else None
        if (path is None or not path.exists()) and cgroup.path == "/":
            path = proc / "pressure" / resource
        for line in _text(path).splitlines() if path else ():
            kind, *values = line.split()
            if kind == "some" or resource != "cpu":  # "full" of the CPU is not defined for the machine
                name = f"{resource}_pressure" if kind == "some" else f"{resource}_{kind}_pressure"
                found[name] = int(values[-1].removeprefix("total=")) * US
    return found


def _steal(proc: Path) -> dict[str, float]:
    """CPU ticks of the machine, and those that the hypervisor took."""
    words = _text(proc / "stat").partition("\n")[0].split()[1:]
    if len(words) < CPU_FIELDS:
        return {}
    return {"steal_ticks": float(words[STEAL]), "machine_ticks": float(sum(map(int, words[:CPU_FIELDS])))}


def _pairs(path: Path) -> dict[str, float]:
    words = [line.split() for line in _text(path).splitlines()]
    return {pair[0]: float(pair[1]) for pair in words if len(pair) == 2}


def _words(path: Path) -> list[str]:
    return _text(path).split()


def _text(path: Path) -> str:
    """Return a file's text, nothing where the kernel has none to give (no such file, not supported, just gone)."""
    try:
        return path.read_text()
    except OSError:
        return ""
