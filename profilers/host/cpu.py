"""The processors of a host: model, sockets, cores, SMT, instruction sets and caches."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any, Literal

import psutil

from profilers.host.files import cpu_list, fields, numbered, text
from specs.host import Cache, Cpu, Unknown

# Instruction sets that decide how fast a CPU multiplies matrices, as Linux names them (x86 flags, Arm Features). [std]
FEATURES = (
    "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "avx_vnni", "amx_tile", "amx_int8",
    "amx_bf16", "amx_fp16", "asimd", "asimddp", "sve", "sve2", "i8mm", "bf16", "sme",
)  # fmt: skip
# Arm implementers (MIDR_EL1 bits 31:24, Arm Architecture Reference Manual), which Arm hosts give in place of a name.
_IMPLEMENTERS = {"0x41": "Arm", "0x4e": "NVIDIA", "0x51": "Qualcomm", "0x61": "Apple", "0xc0": "Ampere"}
_KINDS: dict[str, Literal["data", "instruction", "unified"]] = {
    "Data": "data",
    "Instruction": "instruction",
    "Unified": "unified",
}


def read_cpu(root: Path, unknown: Unknown) -> Cpu:
    """Return what /proc and /sys below ``root`` say of the CPU; notes in ``unknown`` what they do not."""
    info = fields(root / "proc/cpuinfo")
    cores = physical_cores(root)
    vendor = info.get("vendor_id") or _IMPLEMENTERS.get(info.get("CPU implementer", ""))
    model = info.get("model name") or info.get("Processor") or _arm_part(info)
    found: dict[str, Any] = {"model": model, "vendor": vendor, "sockets": _sockets(root), "cores": len(cores) or None}
    for name, value in found.items():
        if value is None:
            unknown[f"cpu.{name}"] = "neither /proc/cpuinfo nor /sys/devices/system/cpu tells it"
    return Cpu(
        architecture=platform.machine() or "unknown",
        threads=len(_online(root)),
        smt=max(map(len, cores)) > 1 if cores else None,
        features=_features(info),
        caches=read_caches(root, unknown),
        **found,
    )


def physical_cores(root: Path) -> list[list[int]]:
    """Return the online threads of each physical core, in the order of their first thread; empty where untold."""
    folder = root / "sys/devices/system/cpu"
    online = set(_online(root))
    siblings = (text(folder / f"cpu{cpu}/topology/thread_siblings_list") for cpu in sorted(online))
    cores = {tuple(sorted(online.intersection(cpu_list(one)))) for one in siblings if one}
    return [list(core) for core in sorted(cores) if core]


def read_caches(root: Path, unknown: Unknown) -> tuple[Cache, ...]:
    """Return the caches by level, each counted once however many threads share it."""
    seen: dict[tuple[int, str, float], dict[str, int]] = {}
    for cpu in _online(root):
        for _, index in numbered(root / f"sys/devices/system/cpu/cpu{cpu}/cache", "index"):
            key, shared = _cache(index, cpu)
            if key is not None:
                seen.setdefault(key, {})[shared] = len(cpu_list(shared))
    if not seen:
        unknown["cpu.caches"] = "/sys/devices/system/cpu/cpu*/cache is not there (some virtual machines hide it)"
    return tuple(
        Cache(
            level=level, kind=_KINDS[kind], size_kib=size, instances=len(shared), shared_by_threads=max(shared.values())
        )
        for (level, kind, size), shared in sorted(seen.items())
    )


def last_level_mib(caches: tuple[Cache, ...]) -> float:
    """Return the size of all last-level caches together in MiB, 0 where the caches could not be told."""
    last = max((cache.level for cache in caches), default=0)
    return sum(cache.size_kib * cache.instances for cache in caches if cache.level == last) / 1024


def _cache(index: Path, cpu: int) -> tuple[tuple[int, str, float] | None, str]:
    level, kind, size = (text(index / name) for name in ("level", "type", "size"))
    shared = text(index / "shared_cpu_list") or str(cpu)
    if level is None or not level.isdigit() or kind not in _KINDS or size is None or not size[:-1].isdigit():
        return None, shared
    return (int(level), kind, int(size[:-1]) * {"K": 1.0, "M": 1024.0, "G": 2.0**20}.get(size[-1], 1.0)), shared


def _online(root: Path) -> list[int]:
    stated = text(root / "sys/devices/system/cpu/online")
    return cpu_list(stated) if stated else list(range(psutil.cpu_count() or 1))


def _sockets(root: Path) -> int | None:
    folder = root / "sys/devices/system/cpu"
    packages = {text(folder / f"cpu{cpu}/topology/physical_package_id") for cpu in _online(root)}
    packages.discard(None)
    return len(packages) or None


def _features(info: dict[str, str]) -> tuple[str, ...]:
    flags = set((info.get("flags") or info.get("Features") or "").split())
    return tuple(name for name in FEATURES if name in flags)


def _arm_part(info: dict[str, str]) -> str | None:
    part = info.get("CPU part")
    return f"{_IMPLEMENTERS.get(info.get('CPU implementer', ''), 'Arm')} part {part}" if part else None
