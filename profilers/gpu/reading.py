"""One reading of one GPU: every figure that its driver tells, and why it does not tell the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import pynvml

from profilers.gpu.links import bus_id, read_nvlink, read_pcie
from profilers.gpu.memory import read_memory
from profilers.gpu.mig import mig_mode, read_instances
from profilers.gpu.nvml import ROOT, Handle, told, why
from specs.gpu import GpuClocks, GpuPower, GpuProcess, GpuReading
from specs.host import Unknown

MW_IN_W = 1000.0
GIB = 2.0**30
# Bits of nvmlClocksEventReasons (nvml.h), which older drivers call throttle reasons.
_REASONS = (
    "idle", "application_clocks", "software_power_cap", "hardware_slowdown", "sync_boost", "software_thermal",
    "hardware_thermal", "power_brake", "display_clocks",
)  # fmt: skip


def read_gpu(handle: Handle, peers: Mapping[str, int], root: Path = ROOT) -> GpuReading:
    """Return all that the driver tells of one GPU; ``peers`` maps bus ids to indices, for NVLink.

    A GPU that is lost, or that this user may not open, is its index and the reason.
    """
    if isinstance(handle.device, pynvml.NVMLError):
        return GpuReading(index=handle.index, unknown={"gpu": why(handle.device)})
    try:
        return _read(handle, peers, root)
    except pynvml.NVMLError as error:
        return GpuReading(index=handle.index, unknown={"gpu": why(error)})


def bus_ids(handles: list[Handle]) -> dict[str, int]:
    """Return the index of each GPU by its bus id, as far as they tell it."""
    found = {}
    for handle in handles:
        if not isinstance(handle.device, pynvml.NVMLError):
            try:
                found[bus_id(pynvml.nvmlDeviceGetPciInfo(handle.device))] = handle.index
            except pynvml.NVMLError:
                continue  # read_gpu says why
    return found


def throttle_reasons(device: Any) -> tuple[str, ...]:
    """Return the names of the reasons that keep the clocks down now; raises `pynvml.NVMLError`."""
    try:
        bits = pynvml.nvmlDeviceGetCurrentClocksEventReasons(device)
    except pynvml.NVMLError as error:
        if error.value != pynvml.NVML_ERROR_FUNCTION_NOT_FOUND:
            raise
        bits = pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(device)  # its name before driver 535
    names = dict(enumerate(_REASONS))
    return tuple(names.get(bit, f"bit_{bit}") for bit in range(64) if bits >> bit & 1)


def _read(handle: Handle, peers: Mapping[str, int], root: Path) -> GpuReading:
    device, unknown = handle.device, Unknown()
    uuid = told(unknown, "uuid", lambda: str(pynvml.nvmlDeviceGetUUID(device)))
    mode = mig_mode(device, unknown)
    capability = told(unknown, "compute_capability", lambda: pynvml.nvmlDeviceGetCudaComputeCapability(device))
    busy = told(unknown, "busy_share", lambda: pynvml.nvmlDeviceGetUtilizationRates(device))
    if busy is None:
        unknown["memory_busy_share"] = unknown["busy_share"]  # one call tells both
    reading = GpuReading(
        index=handle.index,
        name=told(unknown, "name", lambda: str(pynvml.nvmlDeviceGetName(device))),
        uuid=uuid,
        compute_capability=".".join(map(str, capability)) if capability else None,
        memory=read_memory(device, unknown),
        processes=_processes(device, unknown, root),
        busy_share=busy.gpu / 100 if busy else None,
        memory_busy_share=busy.memory / 100 if busy else None,
        clocks=_clocks(device, unknown),
        throttle_reasons=told(unknown, "throttle_reasons", lambda: throttle_reasons(device)) or (),
        power=_power(device, unknown),
        pcie=read_pcie(device, unknown),
        nvlink=read_nvlink(device, peers, unknown),
        mig=mode,
        mig_instances=read_instances(device, unknown) if mode == "enabled" else (),
    )
    reasons = {field: _with_mig(reason, mode) for field, reason in unknown.items()}
    return reading.model_copy(update={"unknown": reasons})


def _with_mig(reason: str, mode: str | None) -> str:
    return f"{reason} while MIG is on" if mode == "enabled" and reason.endswith("does not support it") else reason


def _clocks(device: Any, unknown: Unknown) -> GpuClocks:
    now, most = pynvml.nvmlDeviceGetClockInfo, pynvml.nvmlDeviceGetMaxClockInfo
    asked = {
        "sm_mhz": (now, pynvml.NVML_CLOCK_SM),
        "memory_mhz": (now, pynvml.NVML_CLOCK_MEM),
        "max_sm_mhz": (most, pynvml.NVML_CLOCK_SM),
        "max_memory_mhz": (most, pynvml.NVML_CLOCK_MEM),
    }
    return GpuClocks(**{name: told(unknown, f"clocks.{name}", _call(*how, device)) for name, how in asked.items()})


def _call(function: Callable[..., float], clock: int, device: Any) -> Callable[[], float]:
    return lambda: function(device, clock)


def _power(device: Any, unknown: Unknown) -> GpuPower:
    draw = told(unknown, "power.draw_w", lambda: pynvml.nvmlDeviceGetPowerUsage(device) / MW_IN_W)
    limit = told(unknown, "power.limit_w", lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(device) / MW_IN_W)
    sensor = pynvml.NVML_TEMPERATURE_GPU
    heat = told(unknown, "power.temperature_c", lambda: float(pynvml.nvmlDeviceGetTemperature(device, sensor)))
    return GpuPower(draw_w=draw, limit_w=limit, temperature_c=heat)


def _processes(device: Any, unknown: Unknown, root: Path) -> tuple[GpuProcess, ...]:
    found: list[GpuProcess] = []
    kinds: tuple[tuple[Literal["compute", "graphics"], str], ...] = (("compute", "Compute"), ("graphics", "Graphics"))
    for kind, function in kinds:
        listed = told(unknown, f"processes.{kind}", lambda name=function: _running(device, name))  # type: ignore[misc]
        found += [_process(one, kind, root) for one in listed or ()]
    return tuple(found)


def _running(device: Any, kind: str) -> list[Any]:
    try:
        return list(getattr(pynvml, f"nvmlDeviceGet{kind}RunningProcesses_v3")(device))
    except pynvml.NVMLError as error:
        if error.value != pynvml.NVML_ERROR_FUNCTION_NOT_FOUND:
            raise
        return list(getattr(pynvml, f"nvmlDeviceGet{kind}RunningProcesses_v2")(device))  # drivers before 510


def _process(one: Any, kind: Literal["compute", "graphics"], root: Path) -> GpuProcess:
    instance = one.gpuInstanceId
    try:
        name = (root / f"proc/{one.pid}/comm").read_text(errors="replace").strip() or None
    except OSError:
        name = None  # another PID namespace, or it has just ended
    return GpuProcess(
        pid=one.pid,
        name=name,
        kind=kind,
        memory_gib=None if one.usedGpuMemory is None else round(one.usedGpuMemory / GIB, 4),
        gpu_instance=None if instance in (None, pynvml.NVML_VALUE_NOT_AVAILABLE_uint.value) else instance,
    )
