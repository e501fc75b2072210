"""Whether torch and a GPU can be had here, told without importing torch, which takes seconds."""

from __future__ import annotations

import ctypes
from importlib.util import find_spec
from pathlib import Path

from specs.errors import MissingHardwareError

CUDA_LIBRARY = "libcuda.so.1"  # of the driver [std: CUDA driver API]; torch finds no device without it
INSTALL = "Install it: pip install 'tonnage[torch]'; profiles of others come by `tonnage profile import`."
ROCM_MARKS = ("dev/kfd", "sys/module/amdgpu")
ROOT = Path("/")


def refuse_absent(device: str, root: Path = ROOT) -> None:
    """Raise `MissingHardwareError` where torch is not installed, or ``device`` is `cuda` and no driver is here."""
    if find_spec("torch") is None:
        raise MissingHardwareError("profile layers runs a layer with torch, which is not installed", cure=INSTALL)
    if device != "cuda" or _loads(CUDA_LIBRARY):
        return
    why = f"no NVIDIA driver: {CUDA_LIBRARY} is not found"
    if mark := rocm(root):
        why = f"ROCm is not supported: this machine has an AMD GPU ({mark}) and no NVIDIA driver"
    raise MissingHardwareError(f"--device cuda: {why}", cure="Run it on a machine with one, or use --device cpu.")


def rocm(root: Path = ROOT) -> str | None:
    """Return the mark of AMD's compute driver below ``root``, or None."""
    return next((f"/{mark}" for mark in ROCM_MARKS if (root / mark).exists()), None)


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
