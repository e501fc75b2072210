"""What the cgroup of this process may use of a host: v1, v2 or both, the tightest limit on the way to the root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import psutil

from profilers.cgroup import UNIFIED, Mounts, levels, paths_of_pid, read_mounts
from profilers.host.files import GIB_IN_BYTES, listed, number, text
from specs.host import Limits

# cgroup v1 writes "no limit" as the largest multiple of a page in a signed 64-bit integer (kernel memcg). [std]
_V1_UNLIMITED_BYTES = 2.0**60


def read_limits(root: Path) -> Limits:
    """Return the limits of this process's cgroup as the files below ``root`` say."""
    try:
        mounts, own = read_mounts(root / "proc", root), paths_of_pid("self", root / "proc")
    except OSError:  # no Linux, or a /proc that hides them
        mounts, own = {}, {}
    cores = [limit for folder in _folders(mounts, own, "cpu") if (limit := _cpu_cores(folder)) is not None]
    sizes = [limit for folder in _folders(mounts, own, "memory") if (limit := _memory_gib(folder)) is not None]
    return Limits(
        cgroup=_version(mounts),
        path=own.get("cpu", own.get(UNIFIED)),
        cpus=listed(sorted(_affinity())),
        cpu_cores=min(cores, default=None),
        memory_gib=min(sizes, default=None),
    )


def usable_cpus(limits: Limits, cores: list[list[int]]) -> list[int]:
    """Return one CPU per physical core this process may run on, no more of them than its quota has whole cores."""
    allowed = _affinity()
    firsts = [mine[0] for core in cores if (mine := sorted(allowed.intersection(core)))]
    chosen = firsts or sorted(allowed)
    quota = max(1, int(limits.cpu_cores)) if limits.cpu_cores else len(chosen)
    return chosen[:quota]


def _affinity() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(psutil.cpu_count() or 1))


def _version(mounts: Mounts) -> Literal["v1", "v2", "hybrid", "none"]:
    if set(mounts) - {UNIFIED}:
        return "hybrid" if UNIFIED in mounts else "v1"
    return "v2" if UNIFIED in mounts else "none"


def _folders(mounts: Mounts, own: dict[str, str], controller: str) -> Iterator[Path]:
    """Yield the folder of the own cgroup and of each above it, in the hierarchies that may limit ``controller``."""
    for name in (controller, UNIFIED):
        if name in mounts:
            yield from levels(mounts[name], own.get(name, "/"))


def _cpu_cores(folder: Path) -> float | None:
    both = (text(folder / "cpu.max") or "").split()
    if len(both) == 2:
        return None if both[0] == "max" else float(both[0]) / float(both[1])
    quota, period = number(folder / "cpu.cfs_quota_us"), number(folder / "cpu.cfs_period_us")
    return quota / period if quota is not None and period and quota > 0 else None


def _memory_gib(folder: Path) -> float | None:
    limit = number(folder / "memory.max") or number(folder / "memory.limit_in_bytes")  # `max` is no number
    return round(limit / GIB_IN_BYTES, 3) if limit and limit < _V1_UNLIMITED_BYTES else None
