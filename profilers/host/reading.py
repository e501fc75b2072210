"""Everything that is read of a host, in under a second, and the fingerprint of the machine it is."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from profilers.host.cpu import read_cpu
from profilers.host.frequency import read_frequency
from profilers.host.limits import read_limits
from profilers.host.memory import read_memory, read_numa
from profilers.host.system import read_system
from specs.host import Cpu, Frequency, HostMemory, HostSystem, Limits, NumaNode, Unknown, fingerprint
from specs.profile import Machine

ROOT = Path("/")


class HostReading(NamedTuple):
    """What a host says of itself."""

    system: HostSystem
    cpu: Cpu
    memory: HostMemory
    numa: tuple[NumaNode, ...]
    limits: Limits
    frequency: Frequency
    unknown: Unknown


def read_host(root: Path = ROOT, environment: Mapping[str, str] = os.environ) -> HostReading:
    """Read the host whose /proc, /sys and /etc lie below ``root``; what cannot be told is in ``unknown``."""
    unknown: Unknown = {}
    return HostReading(
        system=read_system(root, environment, unknown),
        cpu=read_cpu(root, unknown),
        memory=read_memory(root),
        numa=read_numa(root, unknown),
        limits=read_limits(root),
        frequency=read_frequency(root, unknown),
        unknown=unknown,
    )


def host_fingerprint(host: HostReading) -> str:
    """Return the fingerprint of the make of a machine: processor, caches, memory to the GiB, NUMA, hypervisor.

    Kernel, clocks and limits are left out: they may change under a machine, and drift is then to be looked for.
    """
    caches = [[one.level, one.kind, one.size_kib, one.instances] for one in host.cpu.caches]
    processor = [host.cpu.model, host.cpu.architecture, host.cpu.sockets, host.cpu.cores, host.cpu.threads]
    return fingerprint(processor, caches, round(host.memory.total_gib), len(host.numa), host.system.virtualisation)


def this_machine(command: str, *, packages: tuple[str, ...] = ()) -> Machine:
    """Return where and how a profile is measured: a hash of the host's name, versions, ``command``, the time (UTC)."""
    found = {"python": platform.python_version(), "kernel": platform.release()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # what is not installed was not used
            continue
    name = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:16]
    return Machine(hostname_sha=name, versions=found, command=command, date=now())


def now() -> str:
    """Return the time as documents write it: UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
