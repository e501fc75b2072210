"""Main memory of a host and how it is spread over NUMA nodes."""

from __future__ import annotations

import re
from pathlib import Path

import psutil

from profilers.host.files import GIB_IN_BYTES, GIB_IN_KIB, fields, numbered, text
from specs.host import HostMemory, NumaNode, Unknown


def read_memory(root: Path) -> HostMemory:
    """Return memory as /proc/meminfo below ``root`` gives it, else as psutil does."""
    info = fields(root / "proc/meminfo")
    if "MemTotal" not in info:
        memory = psutil.virtual_memory()
        return HostMemory(total_gib=_gib(memory.total), available_gib=_gib(memory.available))
    swap = _meminfo_gib(info.get("SwapTotal", "0 kB"))
    return HostMemory(
        total_gib=_meminfo_gib(info["MemTotal"]),
        available_gib=_meminfo_gib(info.get("MemAvailable", info.get("MemFree", "0 kB"))),
        swap_gib=swap or None,
        transparent_huge_pages=_chosen(text(root / "sys/kernel/mm/transparent_hugepage/enabled")),
    )


def read_numa(root: Path, unknown: Unknown) -> tuple[NumaNode, ...]:
    """Return the NUMA nodes with their CPUs, memory and distances."""
    found = tuple(_node(number, folder) for number, folder in numbered(root / "sys/devices/system/node", "node"))
    if not found:
        unknown["numa"] = "/sys/devices/system/node is not there (a kernel without NUMA, or /sys is not mounted)"
    return found


def _node(number: int, folder: Path) -> NumaNode:
    total = re.search(r"MemTotal:\s+(\d+ kB)", text(folder / "meminfo") or "")
    return NumaNode(
        node=number,
        cpus=text(folder / "cpulist") or "",
        memory_gib=_meminfo_gib(total[1]) if total else None,
        distances=tuple(int(one) for one in (text(folder / "distance") or "").split() if one.isdigit()),
    )


def _meminfo_gib(value: str) -> float:
    return round(float(value.removesuffix("kB")) / GIB_IN_KIB, 3)


def _gib(size_bytes: int) -> float:
    return round(size_bytes / GIB_IN_BYTES, 3)


def _chosen(options: str | None) -> str | None:
    chosen = re.search(r"\[(\w+)\]", options or "")
    return chosen[1] if chosen else None
