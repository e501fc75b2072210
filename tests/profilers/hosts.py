"""Host profiles whose anchors have given block medians."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from profilers.anchors.repeats import summary
from profilers.host.reading import this_machine
from specs.base import Metadata
from specs.host import (
    BandwidthAnchor,
    ComputeAnchor,
    Cpu,
    Frequency,
    HostMemory,
    HostProfile,
    HostProfileSpec,
    HostSystem,
    Limits,
)

QUIET = (1.0, 1.002, 0.998, 1.001, 0.999, 1.003, 0.997)
NOISY = (1.0, 1.02, 0.98, 1.1, 0.9, 1.03, 0.97)
READ, FP32 = "memory read, 1 thread", "matrices fp32, 1 thread"


def host_profile(
    read: Sequence[float] = QUIET, fp32: Sequence[float] = QUIET, *, kernel: str = "6.1", name: str = "lab",
    fingerprint: str = "sha256:0123456789abcdef", labels: Mapping[str, str] | None = None,
) -> HostProfile:  # fmt: skip
    """A profile of this machine's name, with one block of equal repeats per given level (GB/s and TFLOP/s)."""
    machine = this_machine("a test").model_copy(update={"date": "2026-11-01T03:17:00Z"})
    rates, products = summary(_blocks(read), "gb_per_s", 1), summary(_blocks(fp32), "tflops", 1)
    spec = HostProfileSpec(
        fingerprint=fingerprint,
        machine=machine,
        system=HostSystem(kernel=kernel),
        cpu=Cpu(architecture="x86_64", threads=1),
        memory=HostMemory(total_gib=1, available_gib=1),
        limits=Limits(cgroup="v2", cpus="0"),
        frequency=Frequency(),
        bandwidth=(BandwidthAnchor(operation="read", threads=1, array_mib=64, **rates),),
        compute=(ComputeAnchor(precision="fp32", threads=1, size=8, library="b", **products),),
    )
    return HostProfile(metadata=Metadata(name=name, labels=dict(labels or {}), created=machine.date), spec=spec)


def scaled(factor: float, levels: Sequence[float] = QUIET) -> tuple[float, ...]:
    """Return levels times ``factor``."""
    return tuple(factor * level for level in levels)


def _blocks(levels: Sequence[float]) -> tuple[tuple[float, ...], ...]:
    return tuple((level,) * 3 for level in levels)
