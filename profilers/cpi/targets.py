"""Whom to measure: processes, cgroups and containers by the names an operator knows them by."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from profilers.cgroup import PROC, Cgroup, Mounts, all_cgroups, cgroup_at, cgroup_of_pid, cgroups_below, read_mounts
from specs.errors import InputError, MissingHardwareError

CONTAINER_ID = re.compile(r"(?:^|[-:])([0-9a-f]{32,64})(?:\.scope)?$")  # docker-<id>.scope, cri-containerd-…, <id>
MONITOR = "conmon"  # podman and CRI-O name the cgroup of a container's monitor by its id too
SHORT_ID = re.compile(r"[0-9a-f]{6,64}")
RUNTIMES = ("docker", "podman", "nerdctl")
RUNTIME_WAIT_S = 5.0
SHOWN = 5
ENDED = ("Z", "X")  # states of a process that has ended and was not yet waited for [std: proc_pid_stat(5)]
START_FIELD = 19  # of /proc/PID/stat, counted from the state that follows the name. [std: proc_pid_stat(5)]


class VanishedError(Exception):
    """A target that is no longer there, or is another one of the same name."""


@dataclass(frozen=True)
class Target:
    """One process or cgroup; ``identity`` tells it from a later one of the same number or path."""

    name: str
    kind: Literal["pid", "cgroup", "container"]
    cgroup: Cgroup
    identity: str
    pid: int | None = None

    def check(self, proc: Path = PROC) -> None:
        """Raise `VanishedError` where it is gone or another has taken its name."""
        if identity(self.pid, self.cgroup, proc) != self.identity:
            raise VanishedError(f"{self.name} was replaced by another of the same name")


def identity(pid: int | None, cgroup: Cgroup, proc: Path = PROC) -> str:
    """Return what a process's number or a cgroup's path cannot tell: when it started, or which folder it is."""
    try:
        if pid is not None and (fields := stat_fields(pid, proc))[0] not in ENDED:
            return fields[START_FIELD]
        folder = cgroup.any_folder
        if pid is None and folder is not None:
            return str(os.stat(folder).st_ino)
    except OSError:
        pass
    raise VanishedError(f"process {pid} is gone" if pid is not None else f"cgroup {cgroup.path} is gone")


def stat_fields(pid: int, proc: Path = PROC) -> list[str]:
    """Return the fields of /proc/PID/stat after the name, which may itself hold spaces and brackets."""
    return (proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()


def resolve(
    pids: Sequence[int], cgroups: Sequence[str], containers: Sequence[str], *, proc: Path = PROC
) -> tuple[Target, ...]:
    """Return the targets in the order given, each once; patterns stand for every cgroup that matches.

    Raises `InputError` where nothing is asked for or a name matches nothing, `MissingHardwareError` where the kernel
    has no /proc.
    """
    if not (pids or cgroups or containers):
        raise InputError(
            "nothing to measure: no process, cgroup or container was named",
            cure="Add --pid NUMBER, --cgroup PATH or --container ID; each may be repeated.",
        )
    if not (proc / "self/mountinfo").exists():
        raise MissingHardwareError(f"{proc} is not Linux's: no mountinfo", cure="Run it on a Linux host.")
    mounts = read_mounts(proc)
    found = [_process(pid, mounts, proc) for pid in pids]
    found += [target for path in cgroups for target in _cgroups(path, mounts)]
    found += [_container(name, mounts) for name in containers]
    return tuple({(target.kind, target.pid, target.cgroup.path): target for target in found}.values())


def _process(pid: int, mounts: Mounts, proc: Path) -> Target:
    try:
        cgroup = cgroup_of_pid(pid, mounts, proc)
        name = (proc / str(pid) / "comm").read_text(errors="replace").strip()
        return Target(f"{name}[{pid}]", "pid", cgroup, identity(pid, cgroup, proc), pid)
    except (OSError, VanishedError):
        raise InputError(f"--pid {pid}: there is no such process", cure="List them with `ps -e`.") from None


def _cgroups(path: str, mounts: Mounts) -> list[Target]:
    if not mounts:
        raise MissingHardwareError(
            "no cgroup hierarchy is mounted here", cure="Mount one, or run it outside the container; or use --pid."
        )
    pattern = any(mark in path for mark in "*?[")
    found = cgroups_below(path, mounts) if pattern else [cgroup_at(path, mounts)]
    found = [cgroup for cgroup in found if cgroup.folders]
    if not found:
        roots = ", ".join(sorted({str(mount.folder) for mount in mounts.values()})[:SHOWN])
        raise InputError(
            f"--cgroup {path}: no cgroup is there below {roots}", cure="List them with `systemd-cgls` or `ls`."
        )
    return [Target(cgroup.path, "cgroup", cgroup, identity(None, cgroup)) for cgroup in found]


def _container(name: str, mounts: Mounts) -> Target:
    found = _containers_of(name, mounts) if SHORT_ID.fullmatch(name) else {}
    if not found and (asked := _id_of(name)):
        found = _containers_of(asked, mounts)
    if len(found) == 1:
        ((full, path),) = found.items()
        cgroup = cgroup_at(path, mounts)
        return Target(name if not full.startswith(name) else full[:12], "container", cgroup, identity(None, cgroup))
    if found:
        told = ", ".join(sorted(one[:20] for one in found)[:SHOWN])
        raise InputError(f"--container {name}: {len(found)} containers match: {told}", cure="Give more of the id.")
    raise InputError(
        f"--container {name}: no cgroup is named after it, and no container runtime here knows it",
        cure="Give an id of `docker ps` or `crictl ps` (6 characters or more), or the cgroup itself by --cgroup PATH.",
    )


def _containers_of(start: str, mounts: Mounts) -> dict[str, str]:
    """Return full id → cgroup of the containers whose id begins so; the outermost cgroup of each."""
    found: dict[str, str] = {}
    for folder, path in sorted(all_cgroups(mounts), key=lambda entry: entry[1].count("/")):
        match = CONTAINER_ID.search(folder)
        if match and match[1].startswith(start) and MONITOR not in folder:
            found.setdefault(match[1], path)
    return found


def _id_of(name: str) -> str | None:
    """Ask the container runtimes that are installed for the id of ``name``; each gets five seconds."""
    for runtime in RUNTIMES:
        if shutil.which(runtime):
            command = [runtime, "inspect", "--type", "container", "--format", "{{.Id}}", "--", name]
            try:
                told = subprocess.run(command, capture_output=True, text=True, timeout=RUNTIME_WAIT_S, check=False)
            except (OSError, subprocess.TimeoutExpired):
                continue
            if told.returncode == 0 and SHORT_ID.fullmatch(told.stdout.strip()):
                return told.stdout.strip()
    return None
