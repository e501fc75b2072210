"""Machines as trees of small files: what /proc, /sys and /etc say on each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Tree = Callable[[Mapping[str, str]], Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Write files (path below the root: text) and return the root."""

    def write(files: Mapping[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def two_sockets() -> dict[str, str]:
    """Two sockets of four cores with two threads each: CPUs 0-7 are first threads, 8-15 their siblings."""
    cpu = "sys/devices/system/cpu"
    files = {
        f"{cpu}/online": "0-15\n",
        "proc/cpuinfo": "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) Gold\n"
        "cpu MHz\t\t: 801.2\nflags\t\t: fpu avx2 fma avx512f amx_tile amx_bf16\n",
        f"{cpu}/intel_pstate/no_turbo": "0\n",
        "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
        "proc/meminfo": "MemTotal:       527956112 kB\nMemAvailable:   500000000 kB\nSwapTotal:       8388604 kB\n",
        "etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
    }
    for number in range(16):
        core, socket = number % 8, number % 8 // 4
        files[f"{cpu}/cpu{number}/topology/physical_package_id"] = f"{socket}\n"
        files[f"{cpu}/cpu{number}/topology/thread_siblings_list"] = f"{core},{core + 8}\n"
        own, of_socket = f"{core},{core + 8}", f"{4 * socket}-{4 * socket + 3},{4 * socket + 8}-{4 * socket + 11}"
        caches = (("1", "Data", "48K", own), ("2", "Unified", "2048K", own), ("3", "Unified", "61440K", of_socket))
        for index, (level, kind, size, shared) in enumerate(caches):
            for name, text in (("level", level), ("type", kind), ("size", size), ("shared_cpu_list", shared)):
                files[f"{cpu}/cpu{number}/cache/index{index}/{name}"] = text + "\n"
        policy = f"{cpu}/cpu{number}/cpufreq"
        files[f"{policy}/scaling_driver"], files[f"{policy}/scaling_governor"] = "intel_pstate\n", "powersave\n"
        files[f"{policy}/cpuinfo_min_freq"], files[f"{policy}/cpuinfo_max_freq"] = "800000\n", "3900000\n"
        files[f"{policy}/base_frequency"] = "2100000\n"
        files[f"{policy}/scaling_cur_freq"] = f"{3000000 + 100000 * (number % 2)}\n"
    for socket in range(2):
        node = f"sys/devices/system/node/node{socket}"
        files[f"{node}/cpulist"] = f"{4 * socket}-{4 * socket + 3},{4 * socket + 8}-{4 * socket + 11}\n"
        files[f"{node}/meminfo"] = f"Node {socket} MemTotal:       263978056 kB\nNode {socket} MemFree: 1 kB\n"
        files[f"{node}/distance"] = "10 21\n" if socket == 0 else "21 10\n"
    return files
