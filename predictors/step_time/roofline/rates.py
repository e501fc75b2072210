"""The rates a device sustains: tensor and memory, from its datasheet figures or from two measured anchors."""

from __future__ import annotations

from dataclasses import dataclass

from predictors.step_time.roofline.coefficients import GemmCoefficients
from specs.device import DeviceSpec
from specs.errors import InputError

# Power of one tensor operation relative to TSMC 4N/N4, by compute capability. N5 against N7: 30 % less at equal speed
# (TSMC, "5nm Technology", 2020), so N7 is 1.43; Samsung 8N (8.6) and TSMC 12FFN (7.x) lie above N7 [assumed 1.6 and
# 2.2].
_NODE_POWER = {"7.0": 2.2, "7.5": 2.2, "8.0": 1.43, "8.6": 1.6, "8.7": 1.6}
_ARCHITECTURE_NODE_POWER = {"volta": 2.2, "turing": 2.2, "ampere": 1.43, "cdna3": 1.0}
_HBM_CAPABILITIES = ("7.0", "8.0", "9.0", "10.0", "10.3")  # the data-centre chips; 7.5, 8.6, 8.9, 12.0 carry GDDR [std]
_REFERENCE_FLOP_PER_CLOCK_SM = 4096.0  # Hopper, dense 16-bit: 989.4e12 / (132 · 1.83e9); H100 datasheet, 2023
_POWER_SHARPNESS = 6.0  # assumed: how abruptly the power limit takes over; any value of 4 and above fits alike

# Bytes per stored weight with group scales: int4 16 bits per 128, MXFP4 8 bits per 32 (OCP MX 1.0), NVFP4 8 bits per
# 16. [std]
_WEIGHT_BYTES = {
    "fp32": 4.0, "tf32": 4.0, "fp16": 2.0, "bf16": 2.0, "fp8": 1.0, "int8": 1.0,
    "int4": 0.516, "mxfp4": 0.531, "fp4": 0.563,
}  # fmt: skip
_COMPUTE_PRECISION = {"int4": "bf16", "mxfp4": "bf16"}  # weight-only formats: unpacked, then multiplied at 16 bits


@dataclass(frozen=True, kw_only=True)
class Anchors:
    """Two measured rates of one device that replace the datasheet's: see `anchors_from_gemms`.

    ``tflops``: the rate inside full tiles (16-bit, fp32 accumulate), TFLOP/s;
    ``gb_per_s``: the rate of streaming weights, launch time taken off, GB/s (10⁹ bytes).
    """

    tflops: float
    gb_per_s: float


def bytes_per_weight(precision: str) -> float:
    """Bytes of one stored weight with its share of group scales; raises `InputError` for an unknown precision."""
    if precision not in _WEIGHT_BYTES:
        raise InputError(f"precision {precision!r} is unknown; known: {', '.join(_WEIGHT_BYTES)}")
    return _WEIGHT_BYTES[precision]


def peak_tflops(device: DeviceSpec, precision: str) -> float:
    """Peak dense rate at which ``precision`` is multiplied on this device, TFLOP/s.

    A precision that the hardware lacks (int4 and mxfp4 always) is multiplied at 16 bits: weight-only quantisation
    [assumed].
    """
    peaks = device.peak_tflops
    for name in (_COMPUTE_PRECISION.get(precision, precision), "bf16", "fp16"):
        if peaks.get(name, 0.0) > 0.0:
            return peaks[name]
    raise InputError(f"device {device.name!r} states no 16-bit tensor rate (peak_tflops.bf16 or .fp16)")


def quantises_activations(device: DeviceSpec, precision: str) -> bool:
    """Whether activations are brought to ``precision`` before a product: where the tensor units multiply it."""
    return precision in ("fp8", "int8", "fp4") and device.peak_tflops.get(precision, 0.0) > 0.0


def tensor_tflops(
    device: DeviceSpec, precision: str, fitted: GemmCoefficients, anchors: Anchors | None = None
) -> float:
    """Rate inside full tiles that the device sustains at ``precision``, TFLOP/s [ours].

    The ceiling times the peak, lowered by a soft minimum where the power limit is short of what the tensor rate draws.
    The power that a FLOP draws falls with the process node and with the square root of the FLOP per clock and SM: wider
    units, and narrower numbers, move fewer bits per FLOP. Anchors are 16-bit rates; other precisions scale with the
    law.
    """
    rate = _sustained_tflops(device, peak_tflops(device, precision), fitted)
    if anchors is None:
        return rate
    return anchors.tflops * rate / _sustained_tflops(device, peak_tflops(device, "bf16"), fitted)


def _sustained_tflops(device: DeviceSpec, peak: float, fitted: GemmCoefficients) -> float:
    flop_per_clock_sm = peak * 1e6 / (device.sm_count * device.boost_clock_mhz)
    needed = fitted.watts_per_tflop * _node_power(device) * (_REFERENCE_FLOP_PER_CLOCK_SM / flop_per_clock_sm) ** 0.5
    supplied = device.power_limit_w / peak / needed
    return float(fitted.tensor_ceiling * peak * (1.0 + supplied**-_POWER_SHARPNESS) ** (-1.0 / _POWER_SHARPNESS))


def memory_gb_per_s(device: DeviceSpec, fitted: GemmCoefficients, anchors: Anchors | None = None) -> float:
    """Rate at which the device streams weights from memory, GB/s [ours]."""
    if anchors is not None:
        return anchors.gb_per_s
    share = fitted.hbm if _has_hbm(device) else fitted.gddr
    return device.memory_bandwidth_gb_per_s * share * (fitted.inline_ecc if device.inline_ecc else 1.0)


def _node_power(device: DeviceSpec) -> float:
    by_architecture = _ARCHITECTURE_NODE_POWER.get(device.architecture, 1.0)
    return _NODE_POWER.get(device.compute_capability or "", by_architecture)


def _has_hbm(device: DeviceSpec) -> bool:
    return device.compute_capability in _HBM_CAPABILITIES or device.architecture in ("volta", "hopper", "cdna3")
