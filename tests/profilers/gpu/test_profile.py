"""The profile of all GPUs, and the command that shows it, over a library that the loader finds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from profilers.gpu import profile_gpus
from profilers.store import listing, open_store, samples_of
from specs.gpu import GpuProfile
from specs.reading import read_document
from specs.writing import to_yaml
from tests.profilers.gpu.conftest import Machine

ROOT = Path(__file__).resolve().parents[3]


def profile() -> GpuProfile:
    return profile_gpus(None, lambda samples: None, lambda done, total, what: None)


def test_no_gpu_gives_an_empty_profile(machine: Machine) -> None:
    machine("gpus=0")
    found = profile()
    assert (found.metadata.name, found.spec.gpus, found.spec.machine.driver) == ("no-gpus", (), "570.86.10")


def test_the_profile_survives_its_file(machine: Machine, tmp_path: Path) -> None:
    machine("gpus=3,lost=1,mig=2")
    found = profile()
    (tmp_path / "gpu.yaml").write_text(to_yaml(found))
    assert read_document(tmp_path / "gpu.yaml", GpuProfile) == found
    assert (found.spec.cuda, found.metadata.name) == ("12.8", "3x-nvidia-fake")


@pytest.mark.parametrize(
    ("machines", "same"), [(("gpus=2,busy=1", "gpus=2,busy=90"), True), (("gpus=2", "gpus=3"), False)]
)
def test_the_fingerprint_tells_makes_apart_and_not_moments(
    machine: Machine, machines: tuple[str, str], same: bool
) -> None:
    prints = []
    for one in machines:
        machine(one)
        prints.append(profile().spec.fingerprint)
    assert (prints[0] == prints[1]) is same


def run(library: Path | None, what: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "FAKE_NVML": what, "PYTHONPATH": str(ROOT), "TONNAGE_STORE": str(folder / "store.db")}
    environment["LD_LIBRARY_PATH"] = str(library.parent) if library else ""
    command = [sys.executable, "-m", "tonnage", "profile", "gpu", *arguments]
    return subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_command_shows_what_the_loaders_library_says(library: Path, tmp_path: Path) -> None:
    shown = run(library, "gpus=2,lost=1", tmp_path, "-o", "table")
    assert shown.returncode == 0, shown.stderr
    assert "2 GPUs, driver 570.86.10, CUDA up to 12.8" in shown.stdout
    assert "GPU 1: cannot tell: the GPU has fallen off the bus" in shown.stdout


@pytest.mark.parametrize(("what", "says"), [("init=18", "different versions"), ("init=4", "/dev/nvidiactl")])
def test_the_command_leaves_with_four_where_the_driver_cannot_be_asked(
    library: Path, tmp_path: Path, what: str, says: str
) -> None:
    shown = run(library, what, tmp_path)
    assert (shown.returncode, shown.stdout) == (4, "")
    assert says in shown.stderr
    assert not (tmp_path / "store.db").exists()


def test_a_watch_puts_its_samples_and_the_profile_into_the_store(machine: Machine, tmp_path: Path) -> None:
    machine("gpus=2,mig=1")
    store = tmp_path / "store.db"
    arguments = ["profile", "gpu", "--watch", "1.5", "--store", str(store), "-o", "table"]
    result = CliRunner().invoke(app, arguments, prog_name="tonnage", env={"COLUMNS": "100"})
    assert result.exit_code == 0, result.output
    assert "MIG-1-1: 16 SMs, 2.00 of 10.00 GiB used" in result.output
    assert "2 links to GPU 1 (version 4" in result.output
    samples = samples_of(open_store(str(store)), "gpu GPU-0-0")
    assert samples
    assert {figures["power_w"] for _, figures in samples} == {312.5}
    assert [entry.kind for entry in listing(open_store(str(store))).profiles] == ["GpuProfile"]


def test_a_wrong_watch_is_refused_before_anything_is_read(no_library: None, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["profile", "gpu", "--watch", "soon"], prog_name="tonnage")
    assert result.exit_code == 2
    assert "expected seconds above 0, or `forever`" in result.output


def test_without_a_driver_nothing_is_stored(no_library: None, tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    result = CliRunner().invoke(app, ["profile", "gpu", "--watch", "9", "--store", str(store)], prog_name="tonnage")
    assert result.exit_code == 4
    assert not store.exists()
