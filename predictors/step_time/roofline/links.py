"""Time of messages between GPUs: all-reduce for tensor parallelism, all-to-all for experts, point-to-point for
pipelines.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from predictors.step_time.roofline.coefficients import LinkCoefficients, coefficients
from specs.device import DeviceSpec
from specs.errors import InputError

FloatArray = npt.NDArray[np.float64]
Link = Literal["auto", "nvlink", "pcie"]


def all_reduce_s(
    device: DeviceSpec,
    bytes_: npt.ArrayLike,
    participants: int,
    link: Link = "auto",
    *,
    fitted: LinkCoefficients | None = None,
) -> FloatArray:
    """Seconds to sum ``bytes_`` bytes per GPU over ``participants`` GPUs of one node (1: 0 s) [ours].

    Volume ``2(p−1)/p·bytes`` per GPU [std: ring all-reduce, Patarasuk and Yuan 2009]; chunked transfer hides start-up
    behind the stream at best as ``(√start + √(volume/rate))²`` [ours], which is ``start`` for small messages and
    ``volume/rate`` for large ones.
    """
    if participants <= 1:
        return np.zeros_like(np.asarray(bytes_, dtype=np.float64))
    return _pipelined(device, bytes_, 2.0 * (participants - 1) / participants, participants, link, fitted)


def all_to_all_s(
    device: DeviceSpec,
    bytes_: npt.ArrayLike,
    participants: int,
    link: Link = "auto",
    *,
    fitted: LinkCoefficients | None = None,
) -> FloatArray:
    """Seconds for each of ``participants`` GPUs to send ``bytes_`` bytes spread evenly over all (1: 0 s) [std volume,
    ours above].
    """
    if participants <= 1:
        return np.zeros_like(np.asarray(bytes_, dtype=np.float64))
    return _pipelined(device, bytes_, (participants - 1) / participants, participants, link, fitted)


def point_to_point_s(
    device: DeviceSpec,
    bytes_: npt.ArrayLike,
    link: Link = "auto",
    *,
    gb_per_s: float | None = None,
    fitted: LinkCoefficients | None = None,
) -> FloatArray:
    """Seconds to send ``bytes_`` bytes to one other GPU; ``gb_per_s`` replaces the link's rate, for a network between
    nodes [std: α + β·n].
    """
    fitted = fitted or coefficients().links
    moved = np.asarray(bytes_, dtype=np.float64)
    rate = gb_per_s * fitted.pcie_share if gb_per_s else link_gb_per_s(device, link, fitted)
    return np.where(moved > 0, fitted.point_to_point_us * 1e-6 + moved / (rate * 1e9), 0.0)


def link_gb_per_s(device: DeviceSpec, link: Link, fitted: LinkCoefficients) -> float:
    """Sustained rate per direction and GPU, GB/s; ``auto`` takes NVLink where the device has it."""
    if link == "nvlink" and device.links.nvlink_gb_per_s <= 0:
        raise InputError(f"device {device.name!r} has no NVLink", cure="Use link pcie, or TP 1.")
    if link != "pcie" and device.links.nvlink_gb_per_s > 0:
        return device.links.nvlink_gb_per_s * fitted.nvlink_share
    return device.links.pcie_gb_per_s * fitted.pcie_share


def _pipelined(
    device: DeviceSpec,
    bytes_: npt.ArrayLike,
    volume_share: float,
    participants: int,
    link: Link,
    fitted: LinkCoefficients | None,
) -> FloatArray:
    fitted = fitted or coefficients().links
    volume = np.asarray(bytes_, dtype=np.float64) * volume_share
    start = (fitted.start_us + fitted.start_us_per_doubling * math.log2(participants)) * 1e-6
    stream = volume / (link_gb_per_s(device, link, fitted) * 1e9)
    return np.where(volume > 0, (np.sqrt(start) + np.sqrt(stream)) ** 2, 0.0)
