"""A libnvidia-ml.so.1 that is built here by the C compiler, and told by a variable what machine to play."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pynvml
import pytest

SOURCE = Path(__file__).parent / "fake_nvml.c"
Machine = Callable[..., None]


def build(folder: Path, *flags: str) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler to build a fake libnvidia-ml.so.1")
    library = folder / "libnvidia-ml.so.1"
    options = ("-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-Wl,-soname,libnvidia-ml.so.1")
    subprocess.run([compiler, *options, *flags, "-o", str(library), str(SOURCE)], check=True)
    return library


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture(scope="session")
def old_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As drivers before 510 had it: without what was added since."""
    return build(tmp_path_factory.mktemp("old"), "-DOLD_DRIVER")


@pytest.fixture
def machine(library: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Load the fake in place of the driver's library and say what machine it plays: `machine("gpus=2,lost=1")`."""

    def play(what: str = "", at: Path = library) -> None:
        monkeypatch.setattr(pynvml, "nvmlLib", ctypes.CDLL(str(at)))
        monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
        monkeypatch.setenv("FAKE_NVML", what)

    return play


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the binding as on a machine without a driver, whatever earlier tests have loaded."""

    def absent(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "CDLL", absent)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
