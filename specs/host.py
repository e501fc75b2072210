"""What a host is and can do: its CPU, memory, limits and clocks as read, and the rates that were measured on it.

A field that is absent and not named in ``unknown`` does not apply (no swap, no limit); one that is named there could
not be told, and the entry says why. There is no other spelling of either.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import Field

from specs.base import Count, Document, NonNegative, Positive, Spec
from specs.profile import Machine

CANNOT_TELL = "cannot tell"
Unknown = dict[str, str]
AnchorPrecision = Literal["fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "int8"]


class HostSystem(Spec):
    """The software under everything else."""

    kernel: str | None = None
    distribution: str | None = None
    virtualisation: str | None = None  # hypervisor's name, or `none` on bare metal
    container: str | None = None  # docker, podman, kubernetes, lxc …; absent outside a container


class Cache(Spec):
    """One level of the cache hierarchy: the size of one instance, how many there are, the threads that share one."""

    level: Count
    kind: Literal["data", "instruction", "unified"]
    size_kib: Positive
    instances: Count
    shared_by_threads: Count


class Cpu(Spec):
    """The processors that are online; ``features``: the instruction sets that decide how fast matrices multiply."""

    model: str | None = None
    vendor: str | None = None
    architecture: str
    sockets: Count | None = None
    cores: Count | None = None  # physical, all sockets
    threads: Count  # logical CPUs online
    smt: bool | None = None  # whether a core runs more than one thread
    features: tuple[str, ...] = ()
    caches: tuple[Cache, ...] = ()


class HostMemory(Spec):
    """Main memory of the whole machine."""

    total_gib: Positive
    available_gib: NonNegative
    swap_gib: NonNegative | None = None
    transparent_huge_pages: str | None = None  # always, madvise, never


class NumaNode(Spec):
    """One NUMA node; ``distances`` to every node, 10 is itself (ACPI SLIT)."""

    node: int
    cpus: str
    memory_gib: NonNegative | None = None
    distances: tuple[int, ...] = ()


class Limits(Spec):
    """What the cgroup of this process may use; the tightest limit on the way to the root counts."""

    cgroup: Literal["v1", "v2", "hybrid", "none"]
    path: str | None = None
    cpus: str  # those this process may run on
    cpu_cores: Positive | None = None  # CPU quota in cores
    memory_gib: Positive | None = None


class Frequency(Spec):
    """How the clocks behave; the three measured ones are means over the cores that worked."""

    driver: str | None = None
    governor: str | None = None
    boost: bool | None = None
    nominal_mhz: Positive | None = None
    min_mhz: Positive | None = None
    max_mhz: Positive | None = None
    idle_mhz: Positive | None = None
    one_core_mhz: Positive | None = None  # while one core multiplies matrices
    all_cores_mhz: Positive | None = None  # while all do


class Noise(Spec):
    """How far repeats lie apart: blocks are spread over the whole run and interleaved with the other anchors.

    ``spread``: interquartile range of all repeats, relative to their median. ``block_spread``: the largest less the
    smallest block median, relative to the median.
    """

    repeats: Count
    blocks: Count
    spread: NonNegative
    block_spread: NonNegative


class BandwidthAnchor(Spec):
    """Measured memory bandwidth in GB/s (10⁹ bytes); low and high are the 5th and 95th percentile of the repeats.

    Bytes are counted as STREAM does: what the operation reads and writes, without write-allocate traffic.
    """

    operation: Literal["read", "copy", "triad"]
    threads: Count | None = None  # CPU threads, each pinned to its own core; absent on a GPU
    array_mib: Positive  # of one array, all threads together
    gb_per_s: Positive  # median
    low_gb_per_s: Positive
    high_gb_per_s: Positive
    best_gb_per_s: Positive
    noise: Noise
    blocks_gb_per_s: tuple[tuple[float, ...], ...]  # the repeats of each block


class ComputeAnchor(Spec):
    """Achievable rate of dense matrix multiplication in TFLOP/s; low and high as in `BandwidthAnchor`."""

    precision: AnchorPrecision
    threads: Count | None = None  # CPU threads; absent on a GPU
    size: Count  # rows and columns of the square matrices; by numpy each thread has its own, by torch all share
    library: str
    tflops: Positive  # median
    low_tflops: Positive
    high_tflops: Positive
    best_tflops: Positive
    noise: Noise
    blocks_tflops: tuple[tuple[float, ...], ...]  # the repeats of each block


class Disturbance(Spec):
    """What else happened on the machine while the anchors were measured, as shares of all CPU time."""

    seconds: NonNegative
    others_share: NonNegative | None = None  # CPU time of other processes
    steal_share: NonNegative | None = None  # CPU time that the hypervisor gave to others


class GpuAnchors(Spec):
    """The two anchors of one GPU."""

    name: str
    index: int
    bandwidth: tuple[BandwidthAnchor, ...] = ()
    compute: tuple[ComputeAnchor, ...] = ()


class HostProfileSpec(Spec):
    """A host as it was read and measured; ``fingerprint`` is equal for machines of the same make."""

    fingerprint: str
    machine: Machine
    system: HostSystem
    cpu: Cpu
    memory: HostMemory
    numa: tuple[NumaNode, ...] = ()
    limits: Limits
    frequency: Frequency
    bandwidth: tuple[BandwidthAnchor, ...] = ()
    compute: tuple[ComputeAnchor, ...] = ()
    disturbance: Disturbance | None = None
    gpus: tuple[GpuAnchors, ...] = ()
    unknown: Unknown = Field(default_factory=dict)  # field → why it cannot be told


class HostProfile(Document):
    """A host profile document."""

    kind: Literal["HostProfile"] = "HostProfile"
    spec: HostProfileSpec


def fingerprint(*parts: Any) -> str:
    """Return `sha256:` and 16 digits of JSON-like ``parts``: equal parts in any order of keys, equal fingerprints."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:16]
