"""How a GPU is partitioned by MIG."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pynvml

from profilers.gpu.memory import read_memory
from profilers.gpu.nvml import LOST, told, why
from specs.gpu import MigInstance
from specs.host import Unknown


def mig_mode(device: Any, unknown: Unknown) -> Literal["enabled", "disabled"] | None:
    """Return whether MIG is enabled, or None where the GPU (or a driver before 450) has no such thing."""
    try:
        return "enabled" if pynvml.nvmlDeviceGetMigMode(device)[0] else "disabled"
    except pynvml.NVMLError as error:
        if error.value in LOST:
            raise
        if error.value not in (pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND):
            unknown["mig"] = why(error)
        return None


def read_instances(device: Any, unknown: Unknown) -> tuple[MigInstance, ...]:
    """Return the instances of a GPU whose MIG mode is enabled."""
    return tuple(told(unknown, "mig_instances", lambda: list(_instances(device, unknown))) or ())


def _instances(device: Any, unknown: Unknown) -> Iterator[MigInstance]:
    for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(device)):
        try:
            instance = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(device, index)
        except pynvml.NVMLError as error:
            if error.value == pynvml.NVML_ERROR_NOT_FOUND:
                continue  # instances are numbered with holes
            raise
        yield _instance(index, instance, unknown)


def _instance(index: int, device: Any, unknown: Unknown) -> MigInstance:
    of_this = Unknown()
    found = MigInstance(
        index=index,
        uuid=told(of_this, "uuid", lambda: str(pynvml.nvmlDeviceGetUUID(device))),
        gpu_instance=told(of_this, "gpu_instance", lambda: int(pynvml.nvmlDeviceGetGpuInstanceId(device))),
        multiprocessors=told(
            of_this, "multiprocessors", lambda: int(pynvml.nvmlDeviceGetAttributes(device).multiprocessorCount)
        ),
        memory=read_memory(device, of_this),
    )
    unknown.update({f"mig_instances.{index}.{field}": reason for field, reason in of_this.items()})
    return found
