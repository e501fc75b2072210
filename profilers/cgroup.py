"""Where the kernel keeps a cgroup: hierarchies of version 1 and 2, and the folders of one group in each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

PROC = Path("/proc")
ROOT = Path("/")
UNIFIED = "unified"  # version 2, beside the names of version 1's controllers
CONTROLLERS = ("cpu", "cpuacct", "perf_event", "memory", "pids", "cpuset", "systemd")


@dataclass(frozen=True)
class Mount:
    """One mounted hierarchy: its folder, and which part of the hierarchy is seen there."""

    folder: Path
    root: str = "/"


Mounts = dict[str, Mount]  # by controller, and UNIFIED


@dataclass(frozen=True)
class Cgroup:
    """One cgroup: its path below the root, and its folder in each hierarchy that has one."""

    path: str
    folders: dict[str, Path] = field(default_factory=dict)

    def folder(self, *names: str) -> Path | None:
        """Return the folder in the first of the named hierarchies that has the cgroup."""
        return next((self.folders[name] for name in names if name in self.folders), None)

    @property
    def counted(self) -> Path | None:
        """The folder that perf_event_open takes: version 1's own controller where it is mounted, else version 2."""
        return self.folder("perf_event", UNIFIED)

    @property
    def any_folder(self) -> Path | None:
        """A folder that tells whether the cgroup is still there and which processes are in it."""
        return self.folder(UNIFIED, "cpu", "cpuacct", "perf_event", *CONTROLLERS)


def read_mounts(proc: Path = PROC, root: Path = ROOT) -> Mounts:
    """Return the mounted hierarchies by controller, from mountinfo; folders lie below ``root``.

    [std: proc_pid_mountinfo(5)]
    """
    mounts: Mounts = {}
    for line in (proc / "self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        top, folder = (_unescaped(word) for word in before.split()[3:5])
        kind, _, options = after.split(" ", 2)
        mount = Mount(root / folder.lstrip("/"), top)
        if kind == "cgroup2":
            mounts.setdefault(UNIFIED, mount)
        elif kind == "cgroup":
            for option in options.split(","):
                mounts.setdefault(option.removeprefix("name="), mount)
    return {name: mount for name, mount in mounts.items() if name in (UNIFIED, *CONTROLLERS)}


def _unescaped(word: str) -> str:
    """Undo the octal escapes of spaces in mountinfo."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), word)


def cgroup_of_pid(pid: int, mounts: Mounts, proc: Path = PROC) -> Cgroup:
    """Return the cgroup of a process; raises `OSError` where the process is gone."""
    paths = paths_of_pid(pid, proc)
    below = {name: _below(mounts[name], path) for name, path in paths.items() if name in mounts}
    folders = {name: folder for name, folder in below.items() if folder.is_dir()}
    told = next((paths[name] for name in (UNIFIED, "cpu", "cpuacct") if paths.get(name, "/") != "/"), "/")
    return Cgroup(told, folders)


def paths_of_pid(pid: int | str, proc: Path = PROC) -> dict[str, str]:
    """Return the path of a process's cgroup (`self`: of this one) by controller, UNIFIED for version 2."""
    paths: dict[str, str] = {}
    for line in (proc / str(pid) / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        names = controllers.removeprefix("name=").split(",") if controllers else [UNIFIED]
        paths |= dict.fromkeys(names, path)
    return paths


def levels(mount: Mount, path: str) -> Iterator[Path]:
    """Yield the folder of a hierarchy's ``path`` and of each cgroup above it, as far as they are seen there."""
    below = PurePosixPath(os.path.relpath(path, mount.root))
    if ".." in below.parts:  # outside of what is mounted
        below = PurePosixPath()
    yield from (mount.folder / part for part in (below, *below.parents))


def cgroup_at(path: str, mounts: Mounts) -> Cgroup:
    """Return the cgroup at a path below the root of the hierarchies, or at an absolute folder in one of them.

    The cgroup has no folders where there is none.
    """
    relative = _relative(path, mounts)
    folders = {name: mount.folder / relative for name, mount in mounts.items() if (mount.folder / relative).is_dir()}
    return Cgroup(f"/{relative}" if str(relative) != "." else "/", folders)


def cgroups_below(path: str, mounts: Mounts) -> list[Cgroup]:
    """Return the cgroups whose path matches a shell pattern, in order of their paths."""
    relative = str(_relative(path, mounts))
    found: set[str] = set()
    for mount in set(mounts.values()):
        found |= {str(folder.relative_to(mount.folder)) for folder in mount.folder.glob(relative) if folder.is_dir()}
    return [cgroup_at(one, mounts) for one in sorted(found)]


def all_cgroups(mounts: Mounts) -> Iterator[tuple[str, str]]:
    """Yield the last part and the path of every cgroup, each path once."""
    told: set[str] = set()
    for mount in set(mounts.values()):
        for folder, names, _ in os.walk(mount.folder):
            for name in names:
                path = str((Path(folder) / name).relative_to(mount.folder))
                if path not in told:
                    told.add(path)
                    yield name, path


def _relative(path: str, mounts: Mounts) -> PurePosixPath:
    """Return ``path`` below the root; the folder of a mount is cut off, the longest that fits."""
    pure = PurePosixPath(os.path.normpath("/" + path.lstrip("/")))
    inside = [mount.folder for mount in mounts.values() if pure.is_relative_to(mount.folder)]
    return pure.relative_to(max(inside, key=lambda folder: len(folder.parts)) if inside else "/")


def _below(mount: Mount, path: str) -> Path:
    """Return the folder of a hierarchy's ``path``, of which only the part below the mount's root is seen."""
    return mount.folder / os.path.relpath(path, mount.root)
