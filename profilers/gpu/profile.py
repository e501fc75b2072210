"""The profile of the NVIDIA GPUs of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pynvml

from profilers.devices import rocm
from profilers.gpu.nvml import LIMIT_S, ROOT, Handle, session, told, within
from profilers.gpu.reading import bus_ids, read_gpu
from profilers.gpu.sampling import Keep, OnProgress, watch
from profilers.host.reading import this_machine
from specs.base import Metadata
from specs.gpu import GpuProfile, GpuProfileSpec, GpuReading
from specs.host import Unknown, fingerprint

COMMAND = "tonnage profile gpu"


def profile_gpus(watch_s: float | None, keep: Keep, on_progress: OnProgress, *, root: Path = ROOT) -> GpuProfile:
    """Read every GPU, and watch them for ``watch_s`` seconds first where that is given.

    ``keep`` takes each round of samples. Raises `MissingHardwareError` where there is no NVIDIA driver to ask, it may
    not be asked, or it does not answer; a machine whose driver finds no GPU gives an empty profile.
    """
    with session(root) as handles:
        watched = watch(handles, watch_s, keep, on_progress) if watch_s and handles else ()
        unknown = Unknown({"rocm": f"not supported: {mark} is there too"} if (mark := rocm(root)) else {})
        gpus = within(LIMIT_S, lambda: _read_all(handles, root))
        driver, cuda = within(LIMIT_S, lambda: _versions(unknown))
    machine = this_machine(COMMAND, packages=("nvidia-ml-py",))
    names = sorted({gpu.name for gpu in gpus if gpu.name})
    spec = GpuProfileSpec(
        fingerprint=gpu_fingerprint(gpus),
        machine=machine.model_copy(update={"driver": driver, "gpu": ", ".join(names) or None}),
        cuda=f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else None,
        gpus=gpus,
        watch=watched,
        unknown=unknown,
    )
    return GpuProfile(metadata=Metadata(name=_name(gpus), created=machine.date), spec=spec)


def gpu_fingerprint(gpus: Sequence[GpuReading]) -> str:
    """Return the fingerprint of the make of the GPUs: names, memory, PCIe width; driver and clocks may change."""
    return fingerprint(*([gpu.name, gpu.memory and round(gpu.memory.total_gib, 1), gpu.pcie.max_width] for gpu in gpus))


def _versions(unknown: Unknown) -> tuple[str | None, int | None]:
    driver = told(unknown, "machine.driver", lambda: str(pynvml.nvmlSystemGetDriverVersion()))
    return driver, told(unknown, "cuda", lambda: int(pynvml.nvmlSystemGetCudaDriverVersion()))


def _read_all(handles: list[Handle], root: Path) -> tuple[GpuReading, ...]:
    peers = bus_ids(handles)
    return tuple(read_gpu(handle, peers, root) for handle in handles)


def _name(gpus: Sequence[GpuReading]) -> str:
    names = {gpu.name for gpu in gpus if gpu.name}
    kind = "-".join((names.pop() if len(names) == 1 else "mixed").lower().split()) if names else "unknown"
    return f"{len(gpus)}x-{kind}" if gpus else "no-gpus"
