"""Folders of a cgroup are found in version 1, version 2 and both, from inside a container too."""

from __future__ import annotations

from pathlib import Path

from profilers.cgroup import UNIFIED, cgroup_at, cgroup_of_pid, cgroups_below
from tests.profilers.cpi.hosts import Host, version_1, version_2


def test_version_2_has_one_folder_for_all(tmp_path: Path) -> None:
    host = version_2(tmp_path)
    folder = host.group("unified", "system.slice/web.service")
    found = cgroup_at("system.slice/web.service", host.mounts)
    assert found.path == "/system.slice/web.service"
    assert found.folders == {UNIFIED: folder}
    assert found.counted == folder


def test_version_1_has_a_folder_per_controller_and_perf_event_counts(tmp_path: Path) -> None:
    host = version_1(tmp_path)
    cpu, perf = host.group("cpu_and_cpuacct", "docker/abc"), host.group("perf_event", "docker/abc")
    found = cgroup_at("/docker/abc", host.mounts)
    assert found.folders == {"cpu": cpu, "cpuacct": cpu, "perf_event": perf}
    assert found.counted == perf


def test_a_folder_given_in_full_is_found_in_every_hierarchy(tmp_path: Path) -> None:
    host = version_1(tmp_path)
    cpu = host.group("cpu_and_cpuacct", "docker/abc")
    host.group("perf_event", "docker/abc")
    assert cgroup_at(str(cpu), host.mounts) == cgroup_at("docker/abc", host.mounts)


def test_a_path_cannot_leave_the_hierarchy(tmp_path: Path) -> None:
    host = version_2(tmp_path)
    assert cgroup_at("../../proc", host.mounts).folders == {}


def test_a_pattern_finds_each_cgroup_once_and_in_order(tmp_path: Path) -> None:
    host = version_1(tmp_path)
    for hierarchy in ("cpu_and_cpuacct", "perf_event", "memory"):
        for pod in ("podb", "poda"):
            host.group(hierarchy, f"kubepods/{pod}")
    host.group("memory", "kubepods/podb/only-memory")
    found = cgroups_below("kubepods/pod*", host.mounts)
    assert [one.path for one in found] == ["/kubepods/poda", "/kubepods/podb"]
    assert "perf_event" in found[0].folders


def test_a_process_has_the_cgroup_of_each_hierarchy(tmp_path: Path) -> None:
    host = Host(tmp_path).mount(cpu="/", unified="/")
    cpu, unified = host.group("cpu", "docker/abc"), host.group("unified", "session")
    host.process(7, cgroup="3:cpu:/docker/abc\n1:name=systemd:/x\n0::/session\n")
    found = cgroup_of_pid(7, host.mounts, host.proc)
    assert found.folders == {"cpu": cpu, UNIFIED: unified}
    assert found.path == "/session"


def test_from_inside_a_container_paths_are_below_the_root_that_is_seen(tmp_path: Path) -> None:
    host = Host(tmp_path).mount(unified="/kubepods/pod1")
    folder = host.group("unified", "inner")
    host.process(7, cgroup="0::/kubepods/pod1/inner\n")
    assert cgroup_of_pid(7, host.mounts, host.proc).folders == {UNIFIED: folder}


def test_this_process_has_a_cgroup_on_this_machine() -> None:
    import os

    from profilers.cgroup import read_mounts

    mounts = read_mounts()
    found = cgroup_of_pid(os.getpid(), mounts)
    assert found.path.startswith("/")
    assert set(found.folders) <= set(mounts)
