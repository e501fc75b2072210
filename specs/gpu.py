"""What NVIDIA's management library says of the GPUs of a machine, at one moment or over a watch.

As in `specs.host`: an absent field that ``unknown`` does not name does not apply; one that it names could not be told.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from specs.base import Count, Document, NonNegative, Positive, Share, Spec
from specs.host import Unknown
from specs.profile import Machine


class GpuMemoryReading(Spec):
    """Memory of a GPU or MIG instance; ``reserved_gib`` is what driver and firmware keep for themselves."""

    total_gib: Positive
    used_gib: NonNegative
    free_gib: NonNegative
    reserved_gib: NonNegative | None = None


class GpuProcess(Spec):
    """One process on a GPU; its memory is absent where the driver does not tell it (containers, vGPU)."""

    pid: int
    name: str | None = None  # absent where the process lives in another PID namespace
    kind: Literal["compute", "graphics"]
    memory_gib: NonNegative | None = None
    gpu_instance: int | None = None  # MIG


class GpuClocks(Spec):
    """Clocks now and at most, MHz."""

    sm_mhz: NonNegative | None = None
    memory_mhz: NonNegative | None = None
    max_sm_mhz: NonNegative | None = None
    max_memory_mhz: NonNegative | None = None


class GpuPower(Spec):
    """Board power now and the limit in force, W."""

    draw_w: NonNegative | None = None
    limit_w: NonNegative | None = None
    temperature_c: NonNegative | None = None


class Pcie(Spec):
    """The PCIe link: generation and lanes now (links slow down when idle), and the most that GPU and slot allow."""

    bus_id: str | None = None
    generation: Count | None = None
    max_generation: Count | None = None
    width: Count | None = None
    max_width: Count | None = None


class NvlinkPeer(Spec):
    """What one or more active NVLinks lead to."""

    kind: Literal["gpu", "switch", "cpu", "unknown"]
    bus_id: str | None = None
    gpu: int | None = None  # index of the peer where it is a GPU of this machine
    links: Count
    version: Count | None = None


class MigInstance(Spec):
    """One slice of a GPU that is partitioned by MIG."""

    index: int
    uuid: str | None = None
    gpu_instance: int | None = None
    multiprocessors: Count | None = None
    memory: GpuMemoryReading | None = None


class GpuReading(Spec):
    """One GPU at one moment. A lost GPU has its index alone, and ``unknown`` says why."""

    index: int
    name: str | None = None
    uuid: str | None = None
    compute_capability: str | None = None
    memory: GpuMemoryReading | None = None
    processes: tuple[GpuProcess, ...] = ()
    busy_share: Share | None = None  # time in which a kernel ran
    memory_busy_share: Share | None = None  # time in which memory was read or written
    clocks: GpuClocks = GpuClocks()
    throttle_reasons: tuple[str, ...] = ()  # why clocks are below their maximum; idle counts
    power: GpuPower = GpuPower()
    pcie: Pcie = Pcie()
    nvlink: tuple[NvlinkPeer, ...] = ()
    mig: Literal["enabled", "disabled"] | None = None
    mig_instances: tuple[MigInstance, ...] = ()
    unknown: Unknown = Field(default_factory=dict)  # field → why it cannot be told


class GpuSample(Spec):
    """One row of a watch: the moving figures of one GPU; ``time_s`` in seconds since 1970 (UTC)."""

    time_s: NonNegative
    uuid: str
    busy_share: Share | None = None
    memory_used_gib: NonNegative | None = None
    power_w: NonNegative | None = None
    sm_mhz: NonNegative | None = None
    temperature_c: NonNegative | None = None
    throttle_reasons: str = ""  # joined by `+`


class Watched(Spec):
    """One figure over a watch: exact extremes and mean of all samples, percentiles of the newest that were kept."""

    mean: float
    low: float
    high: float
    p50: float
    p95: float


class GpuWatch(Spec):
    """One GPU over a watch; ``failed`` counts the readings that the driver refused, with the last reason."""

    index: int
    uuid: str | None = None
    samples: int
    failed: int = 0
    failure: str | None = None
    seconds: NonNegative
    figures: dict[str, Watched] = Field(default_factory=dict)
    throttled_share: dict[str, Share] = Field(default_factory=dict)  # reason → share of the samples that name it


class GpuProfileSpec(Spec):
    """The GPUs of one machine; none is no error."""

    fingerprint: str
    machine: Machine
    cuda: str | None = None  # the newest CUDA that the driver runs
    gpus: tuple[GpuReading, ...] = ()
    watch: tuple[GpuWatch, ...] = ()
    unknown: Unknown = Field(default_factory=dict)


class GpuProfile(Document):
    """A GPU profile document."""

    kind: Literal["GpuProfile"] = "GpuProfile"
    spec: GpuProfileSpec
