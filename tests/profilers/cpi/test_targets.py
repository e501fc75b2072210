"""Processes, cgroups and containers are found by their names; what is not there is refused with a cure."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from profilers.cpi import targets
from profilers.cpi.targets import Target, VanishedError, resolve
from specs.errors import InputError, MissingHardwareError
from tests.profilers.cpi.hosts import Host, version_2

DOCKER, CRI = "ab12cd" * 10 + "ab12", "ab99ff" * 10 + "ab99"
PODS = f"kubepods.slice/kubepods-burstable.slice/cri-containerd-{CRI}.scope"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(targets, "RUNTIMES", ())
    host = version_2(tmp_path)
    host.group("unified", f"system.slice/docker-{DOCKER}.scope/init")
    host.group("unified", PODS)
    host.process(7, cgroup="0::/system.slice\n")
    return host


def found(host: Host, **asked: list[str]) -> list[Target]:
    pids = [int(pid) for pid in asked.pop("pids", [])]
    return list(resolve(pids, asked.get("cgroups", []), asked.get("containers", []), proc=host.proc))


def test_a_process_is_named_by_its_command(host: Host) -> None:
    (one,) = found(host, pids=["7"])
    assert (one.name, one.kind, one.pid, one.cgroup.path) == ("a (b) c[7]", "pid", 7, "/system.slice")


@pytest.mark.parametrize(("start", "path"), [("ab12cd", f"/system.slice/docker-{DOCKER}.scope"), (CRI, f"/{PODS}")])
def test_a_container_is_its_outermost_cgroup(host: Host, start: str, path: str) -> None:
    (one,) = found(host, containers=[start])
    assert (one.kind, one.cgroup.path) == ("container", path)


def test_a_target_asked_for_twice_is_measured_once(host: Host) -> None:
    assert [one.name for one in found(host, cgroups=["system.slice", "/system.slice", "system*"])] == ["/system.slice"]


def test_a_container_is_found_by_the_name_that_its_runtime_knows(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = tmp_path / "docker"
    runtime.write_text(f'#!/bin/sh\n[ "$7" = web ] && echo {DOCKER}\n')
    runtime.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(targets, "RUNTIMES", ("docker",))
    (one,) = found(host, containers=["web"])
    assert (one.name, one.cgroup.path) == ("web", f"/system.slice/docker-{DOCKER}.scope")


def test_a_runtime_that_hangs_is_given_up(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = tmp_path / "docker"
    runtime.write_text("#!/bin/sh\nexec sleep 60\n")
    runtime.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(targets, "RUNTIMES", ("docker",))
    monkeypatch.setattr(targets, "RUNTIME_WAIT_S", 0.1)
    with pytest.raises(InputError, match="no container runtime here knows it"):
        found(host, containers=["web"])


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, "nothing to measure"),
        ({"pids": ["8"]}, "--pid 8: there is no such process"),
        ({"cgroups": ["nope"]}, "--cgroup nope: no cgroup is there below"),
        ({"cgroups": ["kubepods.slice/x*"]}, "no cgroup is there below"),
        ({"containers": ["ffffff"]}, "--container ffffff: no cgroup is named after it"),
        ({"containers": ["ab"]}, "--container ab: no cgroup is named after it"),
    ],
)
def test_what_is_not_there_is_refused(host: Host, asked: dict[str, list[str]], told: str) -> None:
    with pytest.raises(InputError) as caught:
        found(host, **asked)
    assert told in caught.value.message
    assert caught.value.cure


def test_the_monitor_of_a_container_is_not_the_container(host: Host) -> None:
    host.group("unified", f"libpod-conmon-{CRI}.scope")
    (one,) = found(host, containers=["ab99" + "ff"])
    assert one.cgroup.path == f"/{PODS}"


def test_an_id_that_several_containers_begin_with_is_refused(host: Host) -> None:
    host.group("unified", f"system.slice/docker-{'ab12cd' + 'e' * 58}.scope")
    with pytest.raises(InputError, match="2 containers match"):
        found(host, containers=["ab12cd"])


def test_without_any_hierarchy_cgroups_are_not_here(tmp_path: Path) -> None:
    with pytest.raises(MissingHardwareError, match="no cgroup hierarchy"):
        resolve([], ["x"], [], proc=Host(tmp_path).mount().proc)
    with pytest.raises(MissingHardwareError, match="no mountinfo"):
        resolve([], ["x"], [], proc=tmp_path / "elsewhere")


@pytest.mark.parametrize(
    "change",
    [
        lambda host: host.process(7, cgroup="0::/\n", started=101),  # the number was given to another
        lambda host: (host.proc / "7/stat").unlink(),
    ],
)
def test_a_process_that_is_gone_or_another_is_told(host: Host, change: Callable[[Host], object]) -> None:
    (one,) = found(host, pids=["7"])
    one.check(host.proc)
    change(host)
    with pytest.raises(VanishedError):
        one.check(host.proc)


def test_a_cgroup_that_was_made_anew_is_another(host: Host) -> None:
    (one,) = found(host, cgroups=["system.slice"])
    folder = one.cgroup.any_folder
    assert folder is not None
    one.check(host.proc)
    folder.rename(folder.with_name("kept"))  # keeps its inode from being given out again
    with pytest.raises(VanishedError, match="is gone"):
        one.check(host.proc)
    folder.mkdir()
    with pytest.raises(VanishedError, match="replaced"):
        one.check(host.proc)
