"""What the cgroup of this process may use of a host: v1, v2 or both, the tightest limit on the way to the root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

import psutil

from profilers.host.files import GIB_IN_BYTES, listed, number, text
from specs.host import Limits

# cgroup v1 writes "no limit" as the largest multiple of a page in a signed 64-bit integer (kernel memcg). [std]
_V1_UNLIMITED_BYTES = 2.0**60


class Hierarchy(NamedTuple):
    """One mounted cgroup hierarchy: where it is mounted, which cgroup is at that folder, its controllers."""

    mount: Path
    top: str
    controllers: frozenset[str]  # empty for v2


def read_limits(root: Path) -> Limits:
    """Return the limits of this process's cgroup as the files below ``root`` say."""
    mounted = list(_mounted(root))
    own = _own_groups(root)
    cpu = list(_levels(mounted, own, "cpu"))
    memory = list(_levels(mounted, own, "memory"))
    cores = [limit for folder in cpu if (limit := _cpu_cores(folder)) is not None]
    sizes = [limit for folder in memory if (limit := _memory_gib(folder)) is not None]
    return Limits(
        cgroup=_version(mounted),
        path=own.get("cpu", own.get("")),
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


def _version(mounted: list[Hierarchy]) -> Literal["v1", "v2", "hybrid", "none"]:
    v2 = [one for one in mounted if not one.controllers]
    v1 = [one for one in mounted if one.controllers]
    if v1:
        return "hybrid" if v2 else "v1"
    return "v2" if v2 else "none"


def _mounted(root: Path) -> Iterator[Hierarchy]:
    """Yield the hierarchies of /proc/self/mountinfo (proc(5): field 4 is the root of the mount, 5 where it is)."""
    for line in (text(root / "proc/self/mountinfo") or "").splitlines():
        before, _, after = line.partition(" - ")
        kind, *_, options = after.split(" ") if after else ("", "")
        if kind in ("cgroup", "cgroup2"):
            _, _, _, top, mount, *_ = before.split(" ")
            controllers = frozenset(options.split(",")) - {"rw", "ro"} if kind == "cgroup" else frozenset[str]()
            yield Hierarchy(root / mount.lstrip("/"), top, controllers)


def _own_groups(root: Path) -> dict[str, str]:
    """Return the cgroup of this process by controller; the key of v2 is empty."""
    found: dict[str, str] = {}
    for line in (text(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        found.update(dict.fromkeys(controllers.split(","), path))
    return found


def _levels(mounted: list[Hierarchy], own: dict[str, str], controller: str) -> Iterator[Path]:
    """Yield the folder of the own cgroup and of each above it, in the hierarchy that has ``controller``."""
    for hierarchy in mounted:
        key = controller if controller in hierarchy.controllers else ""
        if key or not hierarchy.controllers:
            below = _below(own.get(key, "/"), hierarchy.top)
            yield from (hierarchy.mount / part for part in (below, *below.parents))


def _below(path: str, top: str) -> PurePosixPath:
    """Return ``path`` as seen from the mount, whose root is the cgroup ``top`` (a container may see no more)."""
    try:
        return PurePosixPath(path).relative_to(top)
    except ValueError:
        return PurePosixPath()


def _cpu_cores(folder: Path) -> float | None:
    both = (text(folder / "cpu.max") or "").split()
    if len(both) == 2:
        return None if both[0] == "max" else float(both[0]) / float(both[1])
    quota, period = number(folder / "cpu.cfs_quota_us"), number(folder / "cpu.cfs_period_us")
    return quota / period if quota is not None and period and quota > 0 else None


def _memory_gib(folder: Path) -> float | None:
    limit = number(folder / "memory.max") or number(folder / "memory.limit_in_bytes")  # `max` is no number
    return round(limit / GIB_IN_BYTES, 3) if limit and limit < _V1_UNLIMITED_BYTES else None
