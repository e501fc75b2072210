"""What a machine says of itself is read as it stands, and what it does not say is named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.host.cpu import last_level_mib, physical_cores
from profilers.host.files import cpu_list, listed
from profilers.host.frequency import clock_mhz
from profilers.host.reading import HostReading, host_fingerprint, read_host, this_machine
from tests.profilers.host.conftest import Tree, two_sockets


def read(root: Path, environment: Mapping[str, str] | None = None) -> HostReading:
    return read_host(root, environment or {})


def test_a_server_of_two_sockets_is_told_in_full(tree: Tree) -> None:
    host = read(tree(two_sockets()))
    cpu = host.cpu
    assert (cpu.model, cpu.vendor) == ("Intel(R) Xeon(R) Gold", "GenuineIntel")
    assert (cpu.sockets, cpu.cores, cpu.threads, cpu.smt) == (2, 8, 16, True)
    assert cpu.features == ("avx2", "fma", "avx512f", "amx_tile", "amx_bf16")
    assert [(one.level, one.kind, one.size_kib, one.instances, one.shared_by_threads) for one in cpu.caches] == [
        (1, "data", 48, 8, 2),
        (2, "unified", 2048, 8, 2),
        (3, "unified", 61440, 2, 8),
    ]
    assert last_level_mib(cpu.caches) == 120
    assert [(node.cpus, node.memory_gib, node.distances) for node in host.numa] == [
        ("0-3,8-11", 251.749, (10, 21)),
        ("4-7,12-15", 251.749, (21, 10)),
    ]
    assert (host.memory.total_gib, host.memory.swap_gib) == (503.498, 8.0)
    assert host.memory.transparent_huge_pages == "madvise"
    assert host.system.distribution == "Debian GNU/Linux 12 (bookworm)"
    assert host.unknown == {}


def test_clocks_are_those_of_the_driver_not_of_cpuinfo(tree: Tree) -> None:
    root = tree(two_sockets())
    clocks = read(root).frequency
    assert (clocks.driver, clocks.governor, clocks.boost) == ("intel_pstate", "powersave", True)
    assert (clocks.nominal_mhz, clocks.min_mhz, clocks.max_mhz) == (2100, 800, 3900)
    assert clock_mhz(root, [0, 1]) == 3050


def test_a_core_that_is_offline_is_not_counted(tree: Tree) -> None:
    files = two_sockets() | {"sys/devices/system/cpu/online": "0-7\n"}
    root = tree(files)
    cpu = read(root).cpu
    assert (cpu.cores, cpu.threads, cpu.smt) == (8, 8, False)
    assert physical_cores(root) == [[number] for number in range(8)]


def test_what_a_bare_tree_does_not_tell_is_named_with_the_reason(tree: Tree) -> None:
    host = read(tree({"proc/cpuinfo": "flags : fpu hypervisor\ncpu MHz : 2596.1\n"}))
    assert {"cpu.model", "cpu.sockets", "cpu.caches", "numa", "system.virtualisation"} <= set(host.unknown)
    assert {"frequency.driver", "frequency.governor", "frequency.min_mhz", "frequency.boost"} <= set(host.unknown)
    assert all(host.unknown.values())
    assert host.frequency.nominal_mhz == 2596.1
    assert host.cpu.threads == psutil.cpu_count()
    assert (host.limits.cgroup, host.limits.cpu_cores, host.limits.memory_gib) == ("none", None, None)


def test_arm_is_named_by_implementer_and_part(tree: Tree) -> None:
    info = "CPU implementer\t: 0x41\nCPU part\t: 0xd4f\nFeatures\t: fp asimd sve sve2 i8mm bf16\n"
    cpu = read(tree({"proc/cpuinfo": info})).cpu
    assert (cpu.vendor, cpu.model) == ("Arm", "Arm part 0xd4f")
    assert cpu.features == ("asimd", "sve", "sve2", "i8mm", "bf16")


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"sys/class/dmi/id/sys_vendor": "QEMU"}, "kvm"),
        ({"sys/class/dmi/id/sys_vendor": "Amazon EC2", "sys/class/dmi/id/product_name": "m7i.large"}, "amazon"),
        ({"sys/class/dmi/id/sys_vendor": "Amazon EC2", "sys/class/dmi/id/product_name": "m7i.metal-24xl"}, "none"),
        ({"sys/hypervisor/type": "xen"}, "xen"),
        ({"sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc kvm-clock"}, "kvm"),
        ({"sys/class/dmi/id/sys_vendor": "Dell Inc."}, "none"),
        ({"proc/cpuinfo": "flags : fpu hypervisor"}, None),
    ],
)
def test_the_hypervisor_is_named_by_firmware_or_clock(tree: Tree, files: dict[str, str], name: str | None) -> None:
    host = read(tree(files))
    assert host.system.virtualisation == name
    assert ("system.virtualisation" in host.unknown) is (name is None)


@pytest.mark.parametrize(
    ("files", "environment", "name"),
    [
        ({".dockerenv": ""}, {}, "docker"),
        ({"run/.containerenv": ""}, {}, "podman"),
        ({".dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({"proc/self/cgroup": "0::/kubepods.slice/pod1\n"}, {}, "kubernetes"),
        ({}, {"container": "lxc"}, "lxc"),
        ({}, {}, None),
    ],
)
def test_the_container_is_named(
    tree: Tree, files: dict[str, str], environment: dict[str, str], name: str | None
) -> None:
    assert read(tree(files), environment).system.container == name


def test_the_fingerprint_holds_over_what_may_change_and_not_over_hardware(tree: Tree) -> None:
    host = read(tree(two_sockets()))
    slower = host._replace(frequency=host.frequency.model_copy(update={"governor": "performance"}))
    fuller = host._replace(memory=host.memory.model_copy(update={"available_gib": 1.0}))
    smaller = host._replace(memory=host.memory.model_copy(update={"total_gib": 251.7}))
    prints = [host_fingerprint(one) for one in (host, slower, fuller, smaller)]
    assert prints[0] == prints[1] == prints[2] != prints[3]


def test_this_very_machine_is_read_and_agrees_with_psutil() -> None:
    host = read_host()
    assert host.cpu.threads == psutil.cpu_count()
    assert host.memory.total_gib == pytest.approx(psutil.virtual_memory().total / 2**30, abs=0.01)
    assert host.cpu.cores in (None, psutil.cpu_count(logical=False))


def test_a_machine_is_named_by_a_hash_alone() -> None:
    machine = this_machine("tonnage profile host", packages=("numpy", "no-such-package"))
    assert machine.hostname_sha is not None
    assert len(machine.hostname_sha) == 16
    assert set(machine.versions) == {"python", "kernel", "numpy"}


@given(st.sets(st.integers(0, 300), min_size=1))
def test_a_list_of_cpus_is_written_as_it_is_read(cpus: set[int]) -> None:
    assert cpu_list(listed(list(cpus))) == sorted(cpus)
