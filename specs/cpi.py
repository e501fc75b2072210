"""What was counted of processes, cgroups and containers: cycles per instruction with what else held them up."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from specs.base import Count, Document, NonNegative, Positive, Share, Spec
from specs.profile import Machine

Source = Literal["perf_event_open", "perf stat", "perfspect", "none"]
TargetKind = Literal["pid", "cgroup", "container", "recorded"]


class MissingFigure(Spec):
    """One quantity that could not be measured: why, what to do about it, and what was measured in its place."""

    quantity: str
    cause: str
    cure: str
    instead: str | None = None
    error: str | None = None  # the kernel's own code, such as ENOENT
    targets: tuple[str, ...] = ()  # whom it concerns; none: all


class CpiWindow(Spec):
    """One window of one target. Counts are scaled for multiplexing; what could not be measured is left out.

    Shares are of the window's length, but for ``throttled_share`` (of the quota's periods), ``steal_share`` (of all
    CPU time of the machine) and ``stalled_share`` (of the cycles).
    """

    started: str | None = None  # UTC, ISO 8601
    window_s: Positive | None = None  # length as it was
    cycles: NonNegative | None = None
    instructions: NonNegative | None = None
    llc_misses: NonNegative | None = None
    stalled_cycles: NonNegative | None = None
    task_clock_s: NonNegative | None = None
    context_switches: NonNegative | None = None
    counted_share: Share | None = None  # part of its CPU time in which the counters counted; the rest is scaled up
    cpi: Positive | None = None  # cycles / instructions
    llc_mpki: NonNegative | None = None  # misses of the last level cache per 1000 instructions
    stalled_share: NonNegative | None = None  # stalled cycles / cycles
    cpu_cores: NonNegative | None = None  # CPU seconds per second
    throttled_share: Share | None = None  # periods of the CPU quota that were cut short
    throttled_s: NonNegative | None = None  # summed over the CPUs
    run_delay_s: NonNegative | None = None  # threads ready to run but waiting for a CPU, summed over the threads
    cpu_pressure: Share | None = None  # PSI some: at least one task waited for a CPU
    memory_pressure: Share | None = None  # PSI some
    io_pressure: Share | None = None  # PSI some
    memory_full_pressure: Share | None = None  # PSI full: every task waited
    io_full_pressure: Share | None = None  # PSI full
    steal_share: Share | None = None  # taken by the hypervisor


class Spread(Spec):
    """One quantity over the windows that have it; ``sd`` needs two of them."""

    mean: float
    sd: float | None = None
    low: float | None = None
    p95: float | None = None
    high: float | None = None
    windows: int | None = None


class CpiTarget(Spec):
    """One process, cgroup or container: its windows and their summary by quantity."""

    name: str
    target: TargetKind
    cgroup: str | None = None  # path below the root of the hierarchy
    limit_cores: Positive | None = None  # CPU quota
    user_only: bool = False  # kernel time was not counted
    vanished: bool = False  # went away before all windows were measured
    summary: dict[str, Spread] = Field(default_factory=dict)
    windows: tuple[CpiWindow, ...] = ()
    notes: tuple[str, ...] = ()


class Overhead(Spec):
    """What measuring itself took; what the kernel takes to switch counters between tasks is not in it."""

    cpu_s: NonNegative
    wall_s: NonNegative
    cpu_share: NonNegative  # of one core
    file_descriptors: int  # most at once
    turns: Count = 1  # groups of targets measured one after the other within a period


class CpiProfileSpec(Spec):
    """Windows of ``window_s`` in every ``every_s``. A CPI holds for the CPU model it was counted on."""

    source: Source
    cpu: str | None = None
    cpus: int | None = None
    fingerprint: str | None = None  # of the host, equal for machines of the same make
    machine: Machine = Machine()
    window_s: Positive | None = None  # as asked for
    every_s: Positive | None = None
    targets: tuple[CpiTarget, ...] = Field(min_length=1)
    missing: tuple[MissingFigure, ...] = ()
    overhead: Overhead | None = None
    notes: tuple[str, ...] = ()


class CpiProfile(Document):
    """Cycles per instruction and pressure of processes, cgroups or containers; the output of `profile cpi`."""

    kind: Literal["CpiProfile"] = "CpiProfile"
    spec: CpiProfileSpec
