"""The two anchors of the roofline, taken from what `profile host` measured on a device. [ours]"""

from __future__ import annotations

from statistics import median

from predictors.step_time import roofline
from specs.catalog import reported_device
from specs.device import DeviceSpec
from specs.errors import InputError
from specs.host import BandwidthAnchor, ComputeAnchor, HostProfileSpec

STREAMED = (1, 16384, 16384)  # m, n, k: a matrix times a vector, which is how weights are streamed
PRECISIONS = ("bf16", "fp16")  # anchors are 16-bit rates; the first that was measured counts
Measured = tuple[tuple[BandwidthAnchor, ...], tuple[ComputeAnchor, ...]]


def anchors_of(profile: HostProfileSpec, device: DeviceSpec) -> roofline.Anchors:
    """Return the rates of ``device`` that ``profile`` measured: on its GPUs of that name, or on all cores of its CPU.

    Of several GPUs the median. Raises `InputError` where the profile has no such device or lacks one of the anchors.
    """
    found = [_anchors(one, device) for one in _measured(profile, device)]
    if not found:
        held = ", ".join(sorted({reported_device(gpu.name) for gpu in profile.gpus})) or "no GPU"
        raise InputError(
            f"host profile: it measured {held}, the deployment is on {device.name}",
            cure="Run `tonnage profile host` on a machine with one, with torch installed; or leave `profile` out.",
        )
    return roofline.Anchors(tflops=median(one.tflops for one in found), gb_per_s=median(one.gb_per_s for one in found))


def measures(profile: HostProfileSpec, device: DeviceSpec) -> bool:
    """Whether ``profile`` measured ``device``."""
    return bool(_measured(profile, device))


def _measured(profile: HostProfileSpec, device: DeviceSpec) -> list[Measured]:
    if device.architecture != "cpu":
        return [(gpu.bandwidth, gpu.compute) for gpu in profile.gpus if reported_device(gpu.name) == device.name]
    threads = max((one.threads or 0 for one in profile.bandwidth), default=0)
    bandwidth = tuple(one for one in profile.bandwidth if one.threads == threads)
    return [(bandwidth, tuple(one for one in profile.compute if one.threads == threads))] if threads else []


def _anchors(measured: Measured, device: DeviceSpec) -> roofline.Anchors:
    """Return the rates at which `gemm_s` takes the measured times; launches, hidden in the profile, are put back."""
    streams = {one.operation: one.gb_per_s for one in measured[0]}
    products = {one.precision: one for one in measured[1]}
    product = next((products[precision] for precision in PRECISIONS if precision in products), None)
    if "read" not in streams or product is None:
        lacking = "memory read" if "read" not in streams else f"matrices {' or '.join(PRECISIONS)}"
        raise InputError(
            f"host profile: it lacks the anchor `{lacking}` of {device.name}",
            cure="Run `tonnage profile host` again, with torch installed.",
        )
    launch_s = roofline.coefficients().gemm.launch_us * 1e-6
    tokens, n, k = STREAMED
    large_s = 2.0 * float(product.size) ** 3 / (product.tflops * 1e12) + launch_s
    thin_s = 2.0 * (n * k + tokens * (n + k)) / (streams["read"] * 1e9) + launch_s
    return roofline.anchors_from_gemms(device, (product.size,) * 3 + (large_s,), (tokens, n, k, thin_s))
