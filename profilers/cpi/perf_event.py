"""Counters of other processes and of cgroups, by the system call perf_event_open and group reads."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import os
import platform
import resource
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from profilers.cpi.counts import Counts

# Number of the system call by machine. [std: Linux, arch/*/entry/syscalls]
SYSCALL = {"x86_64": 298, "aarch64": 241, "riscv64": 241, "ppc64le": 319, "s390x": 331}
HARDWARE_TYPE, SOFTWARE_TYPE = 0, 1  # [std: linux/perf_event.h, enum perf_type_id]
FORMAT = 0b1011  # read_format: TOTAL_TIME_ENABLED | TOTAL_TIME_RUNNING | GROUP [std]
HEADER = struct.Struct("=QQQ")  # what a group read starts with: how many, ns enabled, ns running
DISABLED, INHERIT, EXCLUDE_KERNEL, EXCLUDE_HV = 1 << 0, 1 << 1, 1 << 5, 1 << 6  # bits of the attribute [std]
PID_CGROUP, CLOEXEC = 1 << 2, 1 << 3  # flags of the call [std]
ENABLE, DISABLE, WHOLE_GROUP = 0x2400, 0x2401, 1  # ioctl [std]
ATTRIBUTE_BYTES = 112  # PERF_ATTR_SIZE_VER5, which every kernel since 4.1 accepts
MOST_DESCRIPTORS = 8192  # ours: an unbounded number of counters per cgroup has hurt others' monitors
KEPT_DESCRIPTORS = 64  # left to the rest of this process
DENIED = (errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class Event:
    """One counter: our name of it, and the kernel's type and number."""

    name: str
    type: int
    config: int
    scale: float = 1.0  # from the kernel's unit to ours


# Numbers: [std: linux/perf_event.h, enum perf_hw_id and perf_sw_ids]
HARDWARE = (
    Event("cycles", HARDWARE_TYPE, 0),
    Event("instructions", HARDWARE_TYPE, 1),
    Event("llc_misses", HARDWARE_TYPE, 3),
    Event("stalled_cycles", HARDWARE_TYPE, 8),
)
SOFTWARE = (Event("task_clock_s", SOFTWARE_TYPE, 1, 1e-9), Event("context_switches", SOFTWARE_TYPE, 3))
CORE = ("cycles", "instructions")  # without both there is no CPI


@dataclass(frozen=True)
class Place:
    """Where a group counts: a thread on any CPU (``cpu`` −1), or a cgroup's open folder on one CPU."""

    pid: int
    cpu: int = -1
    cgroup: bool = False


@dataclass(frozen=True)
class Refusal:
    """An event that the kernel does not count at a place, with its errno."""

    event: Event
    code: int


@dataclass(frozen=True)
class Accepted:
    """What the kernel counts at a place in one group, and what it refuses."""

    events: tuple[Event, ...]
    refused: tuple[Refusal, ...]
    user_only: bool = False

    @property
    def has_cpi(self) -> bool:
        """Whether cycles and instructions are both counted."""
        return {event.name for event in self.events} >= set(CORE)


class _Attribute(ctypes.Structure):
    """The kernel's struct perf_event_attr up to the fields that are used. [std]"""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample_period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("read_format", ctypes.c_uint64),
        ("bits", ctypes.c_uint64),
        ("rest", ctypes.c_uint8 * (ATTRIBUTE_BYTES - 48)),
    )


def perf_event_open(event: Event, place: Place, leader: int, user_only: bool) -> int:
    """Open one disabled, inherited counter and return its file descriptor; raises `OSError` with the kernel's errno."""
    number = SYSCALL.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"the number of perf_event_open on {platform.machine()} is not known")
    bits = INHERIT | (DISABLED if leader < 0 else 0) | ((EXCLUDE_KERNEL | EXCLUDE_HV) if user_only else 0)
    attribute = _Attribute(
        type=event.type, size=ATTRIBUTE_BYTES, config=event.config, read_format=FORMAT, bits=bits
    )  # fmt: skip
    flags = CLOEXEC | (PID_CGROUP if place.cgroup else 0)
    handle: int = _syscall()(number, ctypes.byref(attribute), place.pid, place.cpu, leader, flags)
    if handle < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return handle


@functools.cache
def _syscall() -> Callable[..., int]:
    """Return the C library's syscall; looked up once, which is most of what opening a counter would cost."""
    call: Any = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    call.argtypes = (ctypes.c_long, ctypes.c_void_p, ctypes.c_long, ctypes.c_long, ctypes.c_long, ctypes.c_long)
    found: Callable[..., int] = call
    return found


def accepted(events: Sequence[Event], place: Place) -> Accepted:
    """Try ``events`` as one group at ``place``.

    Where counting the kernel is denied, user mode alone is tried. Descriptors are closed again.
    """
    found = _try_group(events, place, user_only=False)
    if not found.events and any(refusal.code in DENIED for refusal in found.refused):
        in_user_mode = _try_group(events, place, user_only=True)
        return in_user_mode if in_user_mode.events else found
    return found


def _try_group(events: Sequence[Event], place: Place, *, user_only: bool) -> Accepted:
    handles: list[int] = []
    opened: list[Event] = []
    refused: list[Refusal] = []
    try:
        for event in events:
            try:
                handles.append(perf_event_open(event, place, handles[0] if handles else -1, user_only))
                opened.append(event)
            except OSError as error:
                refused.append(Refusal(event, error.errno or errno.EIO))
    finally:
        close(handles)
    return Accepted(tuple(opened), tuple(refused), user_only)


def descriptor_budget() -> int:
    """Return how many counters may be open at once: the process's limit less what it needs, at most 8192."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft - KEPT_DESCRIPTORS
    return max(0, min(limit, MOST_DESCRIPTORS))


@dataclass(frozen=True)
class Group:
    """Open counters of one place, the leader first."""

    events: tuple[Event, ...]
    handles: tuple[int, ...]


def open_groups(what: Accepted, places: Iterable[Place]) -> list[Group]:
    """Open one disabled group per place; threads that are gone by now are left out.

    Raises `OSError` for any other refusal; what was opened is closed before.
    """
    groups: list[Group] = []
    try:
        for place in places:
            try:
                groups.append(_open_group(what, place))
            except ProcessLookupError:
                continue
    except OSError:
        close_groups(groups)
        raise
    return groups


def _open_group(what: Accepted, place: Place) -> Group:
    handles: list[int] = []
    try:
        for event in what.events:
            handles.append(perf_event_open(event, place, handles[0] if handles else -1, what.user_only))
    except OSError:
        close(handles)
        raise
    return Group(what.events, tuple(handles))


def switch(groups: Iterable[Group], on: bool) -> None:
    """Start or stop every group, each with one call."""
    for group in groups:
        fcntl.ioctl(group.handles[0], ENABLE if on else DISABLE, WHOLE_GROUP)


def read_groups(groups: Sequence[Group]) -> Counts | None:
    """Return the sum over the groups, each scaled by the time it was enabled over the time it counted.

    A group whose target ran but that never counted makes the share of counted time smaller and adds nothing. None where
    the target ran and nothing at all was counted.
    """
    values: dict[str, float] = {}
    enabled = running = 0
    for group in groups:
        on_ns, counted_ns, raw = _read(group)
        enabled, running = enabled + on_ns, running + counted_ns
        factor = on_ns / counted_ns if counted_ns else 0.0
        for event, count in zip(group.events, raw, strict=True):
            values[event.name] = values.get(event.name, 0.0) + count * event.scale * factor
    if enabled and not running:
        return None
    whole = {event.name for group in groups for event in group.events if event.scale == 1.0}
    counts = {name: float(round(value)) if name in whole else value for name, value in values.items()}
    return Counts(counts, min(1.0, running / enabled) if enabled else None)


def _read(group: Group) -> tuple[int, int, tuple[int, ...]]:
    """Return ns enabled, ns counted and the raw counts: the kernel gives 24 bytes and 8 more per counter."""
    size = HEADER.size + 8 * len(group.handles)
    data = os.read(group.handles[0], size)
    if len(data) < size:  # its CPU was switched off
        return 0, 0, (0,) * len(group.handles)
    _, enabled, running = HEADER.unpack_from(data)
    return enabled, running, struct.unpack_from(f"={len(group.handles)}Q", data, HEADER.size)


def close_groups(groups: Iterable[Group]) -> None:
    """Close every counter of every group."""
    for group in groups:
        close(group.handles)


def close(handles: Iterable[int]) -> None:
    """Close the descriptors, members before their leader."""
    for handle in reversed(tuple(handles)):
        os.close(handle)
