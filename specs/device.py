"""What a GPU can do by its datasheet: rates, memory, links, each figure with its source."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from specs.base import Count, Document, NonNegative, Positive, Spec

Architecture = Literal["volta", "turing", "ampere", "ada", "hopper", "blackwell", "cdna3", "cpu"]


class Links(Spec):
    """Bandwidths between GPUs, per GPU and per direction, in GB/s (10⁹ bytes)."""

    nvlink_gb_per_s: NonNegative = 0.0  # 0: none
    pcie_gb_per_s: Positive


class FigureSource(Spec):
    """Where one figure (a dotted field name of the device) was read, and when."""

    source: str
    date: str


class DeviceSpec(Spec):
    """Datasheet figures of one GPU.

    ``peak_tflops`` is dense (no sparsity), at the sustained tensor rate with fp32 accumulate for
    16-bit inputs, keyed by precision; a precision that the hardware lacks is absent.
    ``sources`` maps a field name ("memory_gib", "peak_tflops.bf16") to its source and date; "*" covers the rest.
    """

    name: str
    aliases: tuple[str, ...] = ()
    vendor: Literal["nvidia", "amd"] = "nvidia"
    architecture: Architecture
    compute_capability: str | None = None
    sm_count: Count
    boost_clock_mhz: Positive
    l2_cache_mib: Positive
    power_limit_w: Positive
    memory_gib: Positive
    usable_memory_gib: Positive | None = None  # what the driver reports as total, where it was measured
    memory_bandwidth_gb_per_s: Positive
    inline_ecc: bool = False  # ECC words share the memory bus and cost bandwidth (GDDR: A40, A10G, L4, L40S, T4)
    peak_tflops: dict[str, float]
    links: Links
    gpus_per_node: Count = 8
    accuracy_claim: bool = True  # False: from the datasheet alone, nothing here was held against a measurement
    sources: dict[str, FigureSource] = Field(default_factory=dict)


class Device(Document):
    """A device document: an operator's own GPU, or one of the catalogue."""

    kind: Literal["Device"] = "Device"
    spec: DeviceSpec
