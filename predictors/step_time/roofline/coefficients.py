"""The coefficients that every device shares, as fitted and stored in `catalog/efficiency.yaml`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import yaml

from specs.catalog import CATALOG
from specs.errors import InputError

Tier = Literal["calibrated", "anchored", "datasheet"]


@dataclass(frozen=True, kw_only=True)
class GemmCoefficients:
    """What dense matrix products have in common on every device [ours].

    ``tensor_ceiling``: share of the peak rate that tiles reach where power does not limit;
    ``watts_per_tflop``: board power per peak TFLOP/s at which a 4 nm part with 4096 FLOP/clock/SM starts to throttle;
    ``hbm``, ``gddr``: share of the memory bandwidth reached by streaming; ``inline_ecc``: factor where ECC shares the
    bus; ``launch_us``: fixed time of a kernel; ``sharpness``: exponent of the soft maximum of compute and memory time;
    ``tile_overhead``: loss of a tile per 64/rows + 64/columns; ``prologue_k``: pipeline fill, in elements of k;
    ``split_k``: share of the partial sums' traffic that is not hidden.
    """

    tensor_ceiling: float
    watts_per_tflop: float
    hbm: float
    gddr: float
    inline_ecc: float
    launch_us: float
    sharpness: float
    tile_overhead: float
    prologue_k: float
    split_k: float


@dataclass(frozen=True, kw_only=True)
class PrefillCoefficients:
    """``tensor_share`` of the sustained tensor rate; ``launch_us``; ``fill_tokens``: keys whose time a block of
    queries pays to start.
    """

    tensor_share: float
    launch_us: float
    fill_tokens: float


@dataclass(frozen=True, kw_only=True)
class DecodeCoefficients:
    """``bandwidth_share`` of the streaming rate, ``launch_us`` of a call, ``wave_us`` per wave of thread blocks.

    ``tensor_share`` of the sustained tensor rate, taken from prefill attention: no decode table is bound by it.
    """

    bandwidth_share: float
    launch_us: float
    wave_us: float
    tensor_share: float


@dataclass(frozen=True, kw_only=True)
class StreamCoefficients:
    """``bandwidth_share`` of the streaming rate, ``launch_us``, and how many times faster what fits the L2 cache is
    (``l2_speedup``).
    """

    bandwidth_share: float
    launch_us: float
    l2_speedup: float


@dataclass(frozen=True, kw_only=True)
class LinkCoefficients:
    """Latencies per message and shares of the link rate that collectives reach."""

    start_us: float
    start_us_per_doubling: float
    nvlink_share: float
    pcie_share: float
    point_to_point_us: float


@dataclass(frozen=True, kw_only=True)
class ExpertKernel:
    """One kernel of routed experts.

    ``launch_us`` per layer, with its routing; ``bandwidth_share`` of the streaming rate, above one where skewed routing
    touches fewer experts than the uniform formula counts; ``flop_per_clock_sm``: what one SM multiplies per clock at
    most; ``sharpness`` of the soft maximum of compute and weights.
    """

    launch_us: float
    bandwidth_share: float
    flop_per_clock_sm: float
    sharpness: float


@dataclass(frozen=True, kw_only=True)
class ExpertCoefficients:
    """Kernels by name: triton-, cutlass- with bf16, fp8 or fp8-block; marlin; openai-mxfp4."""

    kernels: dict[str, ExpertKernel]


@dataclass(frozen=True, kw_only=True)
class Coefficients:
    """All of them, with the out-of-fold half-widths of 90 % intervals by operator and tier."""

    gemm: GemmCoefficients
    prefill_attention: PrefillCoefficients
    decode_attention: DecodeCoefficients
    elementwise: StreamCoefficients
    links: LinkCoefficients
    experts: ExpertCoefficients
    relative_error: dict[str, dict[str, float]]


@cache
def coefficients() -> Coefficients:
    """Return the shipped coefficients; the file says from which tables, and when, each was fitted."""
    data: dict[str, Any] = yaml.load((CATALOG / "efficiency.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return Coefficients(
        gemm=GemmCoefficients(**data["gemm"]["coefficients"]),
        prefill_attention=PrefillCoefficients(**data["prefill_attention"]["coefficients"]),
        decode_attention=DecodeCoefficients(**data["decode_attention"]["coefficients"]),
        elementwise=StreamCoefficients(**data["elementwise"]["coefficients"]),
        links=LinkCoefficients(**data["links"]["coefficients"]),
        experts=ExpertCoefficients(
            kernels={name: ExpertKernel(**values) for name, values in data["experts"]["coefficients"].items()}
        ),
        relative_error={name: dict(part["relative_error"]) for name, part in data.items() if "relative_error" in part},
    )


def relative_error(operator: str, tier: Tier = "calibrated") -> float:
    """Half-width, as a ratio, of the interval that held 90 % of the measured times of devices left out of the fit.

    ``operator``: gemm, prefill_attention, decode_attention, elementwise, links or experts.
    ``datasheet`` is the tier of a device outside every family that was measured: its half-width is widened by half.
    """
    known = coefficients().relative_error
    if operator not in known or tier not in known[operator]:
        raise InputError(f"no error is known for operator {operator!r} at tier {tier!r}; known: {', '.join(known)}")
    return known[operator][tier]
