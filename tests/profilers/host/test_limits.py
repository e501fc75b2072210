"""The tightest limit on the way to the root counts, in either version of cgroups."""

from __future__ import annotations

import os

import pytest

from profilers.host.limits import read_limits, usable_cpus
from specs.host import Limits
from tests.profilers.host.conftest import Tree

V2 = "30 1 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)


def test_v2_takes_the_tightest_of_all_levels(tree: Tree) -> None:
    root = tree({
        "proc/self/mountinfo": V2, "proc/self/cgroup": "0::/a/b\n",
        "sys/fs/cgroup/a/cpu.max": "150000 100000\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
        "sys/fs/cgroup/a/memory.max": "max\n", "sys/fs/cgroup/a/b/memory.max": f"{6 * 2**30}\n",
    })  # fmt: skip
    limits = read_limits(root)
    assert (limits.cgroup, limits.path, limits.cpu_cores, limits.memory_gib) == ("v2", "/a/b", 1.5, 6.0)


def test_v1_reads_each_controller_where_it_is_mounted(tree: Tree) -> None:
    root = tree({
        "proc/self/mountinfo": V1, "proc/self/cgroup": "4:memory:/m\n2:cpu,cpuacct:/c\n",
        "sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_quota_us": "400000\n",
        "sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/memory/m/memory.limit_in_bytes": f"{2**31}\n",
    })  # fmt: skip
    limits = read_limits(root)
    assert (limits.cgroup, limits.path, limits.cpu_cores, limits.memory_gib) == ("v1", "/c", 4.0, 2.0)


def test_no_limit_is_no_figure_and_no_gap(tree: Tree) -> None:
    root = tree({
        "proc/self/mountinfo": V1 + V2, "proc/self/cgroup": "2:cpu:/\n0::/\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    })  # fmt: skip
    limits = read_limits(root)
    assert (limits.cgroup, limits.cpu_cores, limits.memory_gib) == ("hybrid", None, None)


def test_a_container_that_sees_only_its_own_group_finds_its_limits_at_the_mount(tree: Tree) -> None:
    mount = "32 31 0:29 /docker/abc /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
    root = tree({
        "proc/self/mountinfo": mount, "proc/self/cgroup": "2:cpu:/docker/abc\n",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    })  # fmt: skip
    assert read_limits(root).cpu_cores == 0.5


def test_a_group_outside_of_what_is_mounted_is_no_error(tree: Tree) -> None:
    mount = V2.replace(" / /sys", " /../.. /sys")
    root = tree(
        {"proc/self/mountinfo": mount, "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}
    )
    assert read_limits(root).cpu_cores == 2.0


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not pin processes")
def test_one_cpu_of_each_core_is_used_as_far_as_the_quota_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 2, 3, 9, 10, 11})
    cores = [[core, core + 8] for core in range(8)]

    def of(quota: float | None) -> list[int]:
        return usable_cpus(Limits(cgroup="v2", cpus="1-3,9-11", cpu_cores=quota), cores)

    assert of(None) == [1, 2, 3]
    assert of(2.5) == [1, 2]
    assert of(0.5) == [1]
    assert usable_cpus(Limits(cgroup="none", cpus="1-3"), []) == [1, 2, 3, 9, 10, 11]
