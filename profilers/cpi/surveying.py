"""What can be counted of each target, found out before the first window: the counters, the way, and what is missing."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from profilers.cgroup import UNIFIED, Cgroup, Mounts
from profilers.cpi.causes import INSTEAD, TWO_KINDS, has_pmu, is_hybrid, refused
from profilers.cpi.perf_event import HARDWARE, SOFTWARE, Accepted, Place, Refusal, accepted
from profilers.cpi.perf_stat import can_count, perf_command
from profilers.cpi.pressure import threads_of
from profilers.cpi.targets import Target
from specs.cpi import MissingFigure
from specs.errors import InputError

ONLINE = Path("/sys/devices/system/cpu/online")
CPUSETS = ((UNIFIED, "cpuset.cpus.effective"), ("cpuset", "cpuset.effective_cpus"))
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.ENOSYS)  # another program may have the right that this one lacks


@dataclass(frozen=True)
class Watch:
    """One target and what is counted of it: by our own call, or by the command perf."""

    target: Target
    counted: Accepted
    refused: tuple[Refusal, ...] = ()  # hardware counters
    by_perf: bool = False

    @property
    def has_cpi(self) -> bool:
        """Whether cycles and instructions are counted, either way."""
        return self.by_perf or self.counted.has_cpi


def survey(targets: Sequence[Target], mounts: Mounts) -> list[Watch]:
    """Find out what the kernel counts of each target: hardware counters, else those of perf, else software counters."""
    watches = [_watch(target) for target in targets]
    if perf_command() is None:
        return watches
    cgroups_work: bool | None = None
    for index, watch in enumerate(watches):
        if not watch.has_cpi and _perf_may(watch):
            if watch.target.pid is not None:
                works = can_count(watch.target, mounts)
            else:
                works = cgroups_work = can_count(watch.target, mounts) if cgroups_work is None else cgroups_work
            watches[index] = replace(watch, by_perf=works, counted=Accepted((), ())) if works else watch
    return watches


def _watch(target: Target) -> Watch:
    with_place = next(iter(places(target)), None)
    if with_place is None:
        code = errno.ESRCH if target.pid is not None else errno.EBADF if has_pmu() else errno.ENOENT
        return Watch(target, Accepted((), ()), tuple(Refusal(event, code) for event in HARDWARE))
    try:
        hardware = accepted(HARDWARE, with_place)
        if is_hybrid():
            hardware = Accepted((), tuple(Refusal(event, TWO_KINDS) for event in HARDWARE))
        counted = hardware if hardware.has_cpi else accepted(SOFTWARE, with_place)
    finally:
        leave([with_place])
    return Watch(target, counted, hardware.refused if hardware.has_cpi else _all_refused(hardware))


def _all_refused(hardware: Accepted) -> tuple[Refusal, ...]:
    """Without cycles and instructions the other counters are not counted either: for the same reason."""
    code = hardware.refused[0].code
    told = {refusal.event: refusal for refusal in hardware.refused}
    return tuple(told.get(event, Refusal(event, code)) for event in HARDWARE)


def _perf_may(watch: Watch) -> bool:
    return is_hybrid() or any(refusal.code in FORBIDDEN for refusal in watch.refused)


def places(target: Target) -> Iterator[Place]:
    """Yield where a target's groups count: its threads, or its cgroup on every CPU.

    The cgroup's folder is opened; `leave` closes it.
    """
    if target.pid is not None:
        yield from (Place(thread) for _, thread in threads_of(target))
    elif (folder := target.cgroup.counted) is not None:
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        yield from (Place(handle, cpu, cgroup=True) for cpu in cpus_of(target.cgroup))


def leave(taken: Sequence[Place]) -> None:
    """Close the cgroup folders that `places` opened."""
    for handle in {place.pid for place in taken if place.cgroup}:
        os.close(handle)


def cpus_of(cgroup: Cgroup) -> list[int]:
    """Return the CPUs that are switched on and that the cgroup may run on: the others need no counters."""
    for hierarchy, name in CPUSETS:
        folder = cgroup.folder(hierarchy)
        if folder is not None and (folder / name).exists() and (allowed := listed_cpus(folder / name)):
            return sorted(set(allowed) & set(listed_cpus(ONLINE)))
    return listed_cpus(ONLINE)


def listed_cpus(path: Path) -> list[int]:
    """Return the CPUs of a list such as 0-3,8; none of an empty one."""
    found: list[int] = []
    text = path.read_text().strip()
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def descriptors(watch: Watch) -> int:
    """Return how many counters a window of ``watch`` opens."""
    each = len(watch.counted.events)
    if not each:
        return 0
    many = (
        sum(1 for _ in threads_of(watch.target)) if watch.target.pid is not None else len(cpus_of(watch.target.cgroup))
    )
    return each * many + (watch.target.pid is None)


def turns(watches: Sequence[Watch], budget: int) -> list[list[Watch]]:
    """Split the targets into turns whose counters fit ``budget`` descriptors, in their order.

    Raises `InputError` where one target alone does not fit.
    """
    found: list[list[Watch]] = [[]]
    left = budget
    for watch in watches:
        need = descriptors(watch)
        if need > budget:
            raise InputError(
                f"{watch.target.name}: needs {need} counters at once, {budget} file descriptors are allowed",
                cure="Raise `ulimit -n` (8,256 at most are used), or measure its cgroup instead of its threads.",
            )
        if need > left:
            found.append([])
            left = budget
        found[-1].append(watch)
        left -= need
    return found


def missing_counters(watches: Sequence[Watch]) -> list[MissingFigure]:
    """Say which hardware counters are not counted of whom, why, and what is measured in their place."""
    merged: dict[tuple[str, str], MissingFigure] = {}
    for watch in watches:
        for refusal in () if watch.by_perf else watch.refused:
            one = refused(refusal)
            known = merged.get((one.quantity, one.cause), one)
            instead = None if watch.has_cpi else INSTEAD
            names = (*known.targets, watch.target.name)
            merged[one.quantity, one.cause] = known.model_copy(update={"targets": names, "instead": instead})
    everyone = tuple(watch.target.name for watch in watches)
    return [one.model_copy(update={"targets": ()}) if one.targets == everyone else one for one in merged.values()]
