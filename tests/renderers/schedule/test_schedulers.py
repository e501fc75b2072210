"""Schedules are what schedulers accept: cron's shell runs them, systemd and Kubernetes verify them."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from renderers.schedule.crontab import crontab_entry
from renderers.schedule.kubernetes import cron_job
from renderers.schedule.systemd import systemd_service, systemd_timer
from specs.errors import InputError
from specs.schedule import Schedule, nightly
from specs.writing import data_to_yaml

ODD = "/data/a b/50%/$x'y\"z\\w"


def schedule(
    program: str = "/usr/bin/env", textfile: str = "/var/lib/tonnage.prom", timeout_s: float = 1800
) -> Schedule:
    return nightly(
        "host", at="3:07", budget="10m", timeout_s=timeout_s, textfile=textfile, store="/data/store.db", program=program
    )


def run_as_cron(entry: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command of an entry as crontab(5) says: up to a bare `%`, those that are escaped without their mark."""
    command = re.split(r"(?<!\\)%", entry.splitlines()[-1].split(maxsplit=5)[5])[0].replace("\\%", "%")
    environment = {"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(folder)}
    return subprocess.run(["/bin/sh", "-c", command], env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def program(tmp_path: Path) -> str:
    """A program that prints its arguments, one a line, and leaves with 5."""
    path = tmp_path / "tonnage program"
    path.write_text(f"#!{sys.executable}\nimport sys\nprint(*sys.argv[1:], sep='\\n')\nsys.exit(5)\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(shutil.which("flock") is None, reason="util-linux's flock is not installed")
def test_cron_runs_what_was_asked_with_the_exit_code(program: str, tmp_path: Path) -> None:
    asked = schedule(program, ODD)
    entry = crontab_entry(asked)
    assert entry.splitlines()[-1].split()[:5] == ["7", "3", "*", "*", "*"]
    done = run_as_cron(entry, tmp_path)
    assert done.stdout.splitlines() == list(asked.arguments)
    assert done.returncode == 5


@pytest.mark.skipif(shutil.which("flock") is None, reason="util-linux's flock is not installed")
def test_cron_starts_no_second_one_and_ends_one_that_hangs(tmp_path: Path) -> None:
    hanging = tmp_path / "hanging"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    entry = crontab_entry(schedule(str(hanging), timeout_s=1))
    lock = tmp_path / "tonnage-drift.cron.lock"
    with subprocess.Popen(
        ["flock", str(lock), "sh", "-c", "echo held; read x"], stdin=-1, stdout=-1, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert run_as_cron(entry, tmp_path).returncode == 0
        holder.communicate("\n")
    assert run_as_cron(entry, tmp_path).returncode == 124


def exec_start(service: str) -> list[str]:
    """Return the words of ExecStart as systemd.service(5) reads them."""
    line = next(line for line in service.splitlines() if line.startswith("ExecStart="))
    words = shlex.split(line.removeprefix("ExecStart="))
    return [word.replace("%%", "%").replace("$$", "$") for word in words]


def test_systemd_gets_each_argument_as_it_is() -> None:
    asked = schedule(textfile=ODD)
    assert exec_start(systemd_service(asked)) == [asked.program, *asked.arguments]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("textfile", ["/var/lib/tonnage.prom", ODD])
def test_systemd_accepts_the_units(tmp_path: Path, textfile: str) -> None:
    asked = schedule(textfile=textfile)
    units = {f"{asked.name}.service": systemd_service(asked), f"{asked.name}.timer": systemd_timer(asked)}
    for name, text in units.items():
        (tmp_path / name).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in units)]
    verified = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    ours = [line for line in verified.stderr.splitlines() if asked.name in line]
    assert ours == []
    assert verified.returncode == 0, verified.stderr


def test_the_cron_job_runs_alone_on_its_node_and_ends() -> None:
    asked = schedule()
    job = yaml.safe_load(data_to_yaml(cron_job(asked, image="tonnage:0.1", node="gpu-1")))
    spec = job["spec"]
    assert (spec["schedule"], spec["concurrencyPolicy"]) == ("7 3 * * *", "Forbid")
    below = spec["jobTemplate"]["spec"]
    assert (below["activeDeadlineSeconds"], below["backoffLimit"]) == (1800, 0)
    pod = below["template"]["spec"]
    assert pod["nodeSelector"] == {"kubernetes.io/hostname": "gpu-1"}
    assert pod["hostNetwork"] is True  # else every pod is a machine of its own
    container = pod["containers"][0]
    assert [*container["command"], *container["args"]] == [asked.program, *asked.arguments]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_kubernetes_accepts_the_cron_job() -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    job = yaml.safe_load(data_to_yaml(cron_job(schedule(textfile=ODD), image="tonnage:0.1", node="gpu-1")))
    validator.validate(job, validator.latest_version(), strict=True)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"at": "24:00"}, "--at"),
        ({"at": "noon"}, "--at"),
        ({"textfile": "here.prom"}, "--textfile"),
        ({"profile": "profiles/host.yaml"}, "--profile"),
        ({"textfile": "/a\nb"}, "control character"),
        ({"store": "postgresql://me:hush@db/x"}, "--store: holds a password"),
    ],
)
def test_what_no_schedule_should_hold_is_refused(changed: dict[str, str], told: str) -> None:
    asked = {"at": "3:17", "textfile": "/a", "store": "/s.db", "budget": "10m", "profile": "host"} | changed
    with pytest.raises(InputError) as error:
        nightly(asked.pop("profile"), timeout_s=1800, **asked)
    assert told in str(error.value)
    assert "hush" not in str(error.value)
