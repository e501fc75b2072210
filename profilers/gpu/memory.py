"""Memory of a GPU or MIG instance, by the second version of the call where the driver has it."""

from __future__ import annotations

from typing import Any

import pynvml

from profilers.gpu.nvml import OLD_DRIVER, told, why
from specs.gpu import GpuMemoryReading
from specs.host import Unknown

GIB = 2.0**30


def read_memory(device: Any, unknown: Unknown) -> GpuMemoryReading | None:
    """Return the memory.

    Drivers before 510 know only the first version of the call, in which what is reserved counts as used: ``unknown``
    then says so.
    """
    return told(unknown, "memory", lambda: _read(device, unknown))


def _read(device: Any, unknown: Unknown) -> GpuMemoryReading:
    try:
        found = pynvml.nvmlDeviceGetMemoryInfo(device, version=pynvml.nvmlMemory_v2)
        return _reading(found, reserved_gib=round(found.reserved / GIB, 4))
    except pynvml.NVMLError as error:
        if error.value not in OLD_DRIVER:
            raise
        found = pynvml.nvmlDeviceGetMemoryInfo(device)
        unknown["memory.reserved_gib"] = f"{why(error)}; it is part of what is used"
        return _reading(found)


def _reading(found: Any, reserved_gib: float | None = None) -> GpuMemoryReading:
    total, used, free = (round(size / GIB, 4) for size in (found.total, found.used, found.free))
    return GpuMemoryReading(total_gib=total, used_gib=used, free_gib=free, reserved_gib=reserved_gib)
