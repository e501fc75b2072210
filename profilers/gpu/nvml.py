"""The live side of NVML: a session that is opened and closed, its handles, and what its refusals mean.

Errors are those of nvml.h (NVIDIA, NVML API Reference Guide); the binding is nvidia-ml-py, whose module is `pynvml`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pynvml

from profilers.devices import rocm
from specs.errors import MissingHardwareError
from specs.host import Unknown

T = TypeVar("T")
ROOT = Path("/")
LIMIT_S = 30.0  # a driver that hangs answers no call; healthy ones take milliseconds
LOST = (pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED)
OLD_DRIVER = (
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
    pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
    pynvml.NVML_ERROR_NOT_SUPPORTED,
)

# Code → what happened and what to do, where a session cannot be opened.
_AT_OPENING = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: (
        "no NVIDIA driver: libnvidia-ml.so.1 is not found",
        "Install the driver; in a container, start it with the NVIDIA runtime (`docker run --gpus all`).",
    ),
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        "the NVIDIA library and the loaded kernel module are of different versions",
        "Reboot, or reload the nvidia kernel module: the driver was updated under a running one.",
    ),
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: (
        "the NVIDIA kernel module is not loaded",
        "Run `modprobe nvidia`; `dmesg` says why where that fails (Secure Boot, a kernel without the module).",
    ),
    pynvml.NVML_ERROR_NO_PERMISSION: (
        "this user may not talk to the NVIDIA driver",
        "Check the permissions of /dev/nvidiactl and /dev/nvidia0 (usually the group `video`).",
    ),
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: (
        "the NVIDIA library lacks a function that every driver since 410 has",
        "Update the driver.",
    ),
    pynvml.NVML_ERROR_GPU_IS_LOST: (
        "every NVIDIA GPU has fallen off the bus",
        "Look for `Xid 79` in `dmesg`; reboot, and check power and seating of the card.",
    ),
}
# Code → why one figure cannot be told.
_AT_READING = {
    pynvml.NVML_ERROR_NOT_SUPPORTED: "this GPU does not support it",
    pynvml.NVML_ERROR_NO_PERMISSION: "this user may not read it",
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: "the installed driver is older and lacks it",
    pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH: "the installed driver knows another version of the structure",
    pynvml.NVML_ERROR_GPU_IS_LOST: "the GPU has fallen off the bus (look for Xid 79 in dmesg; reboot)",
    pynvml.NVML_ERROR_RESET_REQUIRED: "the GPU must be reset (nvidia-smi --gpu-reset) or the machine rebooted",
    pynvml.NVML_ERROR_TIMEOUT: "the driver did not answer in its time",
    pynvml.NVML_ERROR_NO_DATA: "the driver has no data yet",
    pynvml.NVML_ERROR_NOT_FOUND: "the driver does not find it",
}
_BINDING = ("nvmlInitWithFlags", "nvmlMemory_v2", "nvmlDeviceGetComputeRunningProcesses_v3")


@dataclass(frozen=True)
class Handle:
    """One live GPU; ``device`` is NVML's pointer, or the error that took its place."""

    index: int
    device: Any


@contextmanager
def session(root: Path = ROOT) -> Iterator[list[Handle]]:
    """Open NVML and give a handle per GPU (none is no error); raises `MissingHardwareError` with cause and cure."""
    _check_binding()
    try:
        within(LIMIT_S, pynvml.nvmlInit)
        count = within(LIMIT_S, pynvml.nvmlDeviceGetCount)
    except pynvml.NVMLError as error:
        raise _not_opened(error, root) from None
    try:
        yield [_handle(index) for index in range(count)]
    finally:
        with suppress(pynvml.NVMLError):  # all that was asked has been answered
            pynvml.nvmlShutdown()


def told(unknown: Unknown, field: str, call: Callable[[], T]) -> T | None:
    """Return what ``call`` answers; where NVML refuses, note why under ``field`` and return None.

    A lost GPU is raised on: it refuses everything, and one reason is enough.
    """
    try:
        return call()
    except pynvml.NVMLError as error:
        if error.value in LOST:
            raise
        unknown[field] = why(error)
        return None


def why(error: Any) -> str:
    """Return in words why NVML refused."""
    return _AT_READING.get(error.value, f"NVML error {error.value}: {error}")


def within(limit_s: float, call: Callable[[], T]) -> T:
    """Return what ``call`` returns or raise what it raises; raises `MissingHardwareError` after ``limit_s``."""
    answers: list[T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            answers.append(call())
        except (pynvml.NVMLError, MissingHardwareError) as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)  # a daemon: a call that hangs must not keep the process
    thread.start()
    thread.join(limit_s)
    if errors:
        raise errors[0]
    if not answers:
        cure = "Look at `dmesg`; a driver in this state usually needs a reboot."
        raise MissingHardwareError(f"the NVIDIA driver has not answered for {limit_s:g} s", cure=cure)
    return answers[0]


def _handle(index: int) -> Handle:
    try:
        return Handle(index, pynvml.nvmlDeviceGetHandleByIndex(index))
    except pynvml.NVMLError as error:
        return Handle(index, error)


def _check_binding() -> None:
    missing = [name for name in _BINDING if not hasattr(pynvml, name)]
    if missing:
        cure = "Run `pip uninstall pynvml` and `pip install --force-reinstall nvidia-ml-py`."
        message = f"another package hides nvidia-ml-py: {pynvml.__file__} lacks {missing[0]}"
        raise MissingHardwareError(message, cure=cure)


def _not_opened(error: Any, root: Path) -> MissingHardwareError:
    mark = rocm(root)
    if error.value == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND and mark:
        message = f"ROCm is not supported: this machine has an AMD GPU ({mark}) and no NVIDIA driver"
        return MissingHardwareError(message, cure="`tonnage profile host` measures its CPU; GPUs are NVIDIA's only.")
    happened, cure = _AT_OPENING.get(error.value, (f"NVML did not start: error {error.value}: {error}", ""))
    return MissingHardwareError(happened, cure=cure or "`nvidia-smi` should work first; look at `dmesg`.")
