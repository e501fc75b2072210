"""Time of operators that only stream memory: norms, rotary embedding, activations, copies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from predictors.step_time.roofline.coefficients import GemmCoefficients, StreamCoefficients, coefficients
from predictors.step_time.roofline.rates import Anchors, memory_gb_per_s
from specs.device import DeviceSpec

FloatArray = npt.NDArray[np.float64]


def elementwise_s(
    device: DeviceSpec,
    bytes_moved: npt.ArrayLike,
    *,
    anchors: Anchors | None = None,
    fitted: StreamCoefficients | None = None,
    rates: GemmCoefficients | None = None,
) -> FloatArray:
    """Seconds of one kernel that reads and writes ``bytes_moved`` bytes in all (any shape; 0 bytes take 0 s) [std:
    roofline].

    ``t = launch + bytes / rate``, where the share of the bytes that fits the L2 cache moves ``l2_speedup`` times
    faster.
    """
    fitted, rates = fitted or coefficients().elementwise, rates or coefficients().gemm
    moved = np.asarray(bytes_moved, dtype=np.float64)
    rate = memory_gb_per_s(device, rates, anchors) * 1e9 * fitted.bandwidth_share
    cached = np.minimum(moved, device.l2_cache_mib * 2.0**20)
    return np.where(moved > 0, fitted.launch_us * 1e-6 + (moved - cached + cached / fitted.l2_speedup) / rate, 0.0)
