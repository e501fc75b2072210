"""A perf_event_open without a machine: every counter is a pipe's end with the group read that a test wants."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from profilers.cpi import perf_event
from profilers.cpi.perf_event import Event, Place

Rates = Mapping[str, float]  # counts per second of CPU time, by our names


@dataclass
class FakeKernel:
    """Counts ``rates``; an event in ``refuses`` gets that errno; of the time enabled, ``share`` is counted."""

    rates: Rates
    refuses: dict[str, int] = field(default_factory=dict)
    denies_kernel: int | None = None  # errno for those who ask for kernel time too
    share: Callable[[int], float] = lambda members: 1.0  # by how many are in the group
    enabled_ns: int = 2_000_000_000
    opened: list[tuple[str, Place, int, bool]] = field(default_factory=list)
    groups: dict[int, list[Event]] = field(default_factory=dict)
    alive: set[int] = field(default_factory=set)
    most_alive: int = 0

    def open(self, event: Event, place: Place, leader: int, user_only: bool) -> int:
        code = self.refuses.get(event.name) or (None if user_only else self.denies_kernel)
        if code:
            raise OSError(code, os.strerror(code))
        handle = os.open(os.devnull, os.O_RDONLY)
        self.opened.append((event.name, place, leader, user_only))
        self.groups.setdefault(handle if leader < 0 else leader, []).append(event)
        if leader < 0:
            self.groups[handle] = [event]
        self.alive.add(handle)
        self.most_alive = max(self.most_alive, len(self.alive))
        return handle

    def read(self, handle: int, size: int) -> bytes:
        events = self.groups[handle]
        counted_ns = int(self.enabled_ns * self.share(len(events)))
        raw = [int(self.rates[event.name] * counted_ns / 1e9 / event.scale) for event in events]
        data = struct.pack(f"=QQQ{len(raw)}Q", len(raw), self.enabled_ns, counted_ns, *raw)
        assert size == len(data)
        return data

    def close(self, handle: int) -> None:
        self.alive.discard(handle)
        os.close(handle)


class _Os:
    """The module os as perf_event sees it, with this kernel's read and close."""

    def __init__(self, kernel: FakeKernel) -> None:
        self.read, self.close = kernel.read, kernel.close

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)


class _Fcntl:
    """The module fcntl as perf_event sees it: keeps the calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, int]] = []

    def ioctl(self, handle: int, request: int, argument: int) -> int:
        self.calls.append((handle, request, argument))
        return 0


def install(monkeypatch: pytest.MonkeyPatch, kernel: FakeKernel) -> _Fcntl:
    """Put ``kernel`` in the place of the real one; return what is told to its counters."""
    calls = _Fcntl()
    monkeypatch.setattr(perf_event, "perf_event_open", kernel.open)
    monkeypatch.setattr(perf_event, "os", _Os(kernel))
    monkeypatch.setattr(perf_event, "fcntl", calls)
    return calls
