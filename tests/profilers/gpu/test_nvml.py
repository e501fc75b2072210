"""A session with NVML opens, or says what happened and what to do."""

from __future__ import annotations

from pathlib import Path

import pynvml
import pytest

from profilers.gpu import nvml
from profilers.gpu.nvml import session, told, within
from specs.errors import MissingHardwareError
from specs.host import Unknown
from tests.profilers.gpu.conftest import Machine


@pytest.mark.parametrize(
    ("code", "happened", "cure"),
    [
        (12, "no NVIDIA driver", "--gpus all"),
        (18, "of different versions", "Reboot"),
        (9, "not loaded", "modprobe nvidia"),
        (4, "may not talk", "/dev/nvidiactl"),
        (15, "fallen off the bus", "Xid 79"),
        (999, "NVML did not start: error 999", "nvidia-smi"),
    ],
)
def test_a_session_that_does_not_open_says_why_and_what_to_do(
    machine: Machine, tmp_path: Path, code: int, happened: str, cure: str
) -> None:
    machine(f"init={code}")
    with pytest.raises(MissingHardwareError) as caught, session(tmp_path):
        pass
    assert happened in caught.value.message
    assert cure in caught.value.cure


def test_a_driver_that_cannot_count_its_gpus_is_no_defect_of_ours(machine: Machine, tmp_path: Path) -> None:
    machine("count=4")
    with pytest.raises(MissingHardwareError, match="may not talk"), session(tmp_path):
        pass


def test_a_machine_without_the_library_is_told_so(no_library: None, tmp_path: Path) -> None:
    with (
        pytest.raises(MissingHardwareError, match=r"no NVIDIA driver: libnvidia-ml\.so\.1 is not found"),
        session(tmp_path),
    ):
        pass


@pytest.mark.parametrize("mark", ["dev/kfd", "sys/module/amdgpu"])
def test_rocm_is_refused_by_name(no_library: None, tmp_path: Path, mark: str) -> None:
    (tmp_path / mark).mkdir(parents=True)
    with pytest.raises(MissingHardwareError, match=rf"ROCm is not supported: .* \(/{mark}\)"), session(tmp_path):
        pass


def test_a_broken_driver_is_not_called_rocm(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "dev/kfd").mkdir(parents=True)
    machine("init=18")
    with pytest.raises(MissingHardwareError, match="different versions"), session(tmp_path):
        pass


def test_a_driver_that_hangs_is_not_waited_for(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "LIMIT_S", 0.05)
    machine("hang=1")
    with pytest.raises(MissingHardwareError, match=r"has not answered for 0\.05 s"), session():
        pass


def test_a_package_that_hides_the_binding_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(pynvml, "nvmlMemory_v2")
    with pytest.raises(MissingHardwareError, match=r"hides nvidia-ml-py: .*pynvml\.py lacks nvmlMemory_v2"), session():
        pass


def test_handles_are_given_for_the_others_where_one_gpu_is_gone(machine: Machine) -> None:
    machine("gpus=3,gone=1")
    with session() as handles:
        errors = [isinstance(handle.device, pynvml.NVMLError) for handle in handles]
    assert errors == [False, True, False]


def test_no_gpu_is_no_error(machine: Machine) -> None:
    machine("gpus=0")
    with session() as handles:
        assert handles == []


@pytest.mark.parametrize("code", [3, 4, 6, 10, 13, 21, 25, 999])
def test_what_nvml_refuses_is_noted_once_under_its_field(code: int) -> None:
    unknown: Unknown = {}

    def refuse() -> int:
        raise pynvml.NVMLError(code)

    assert told(unknown, "a", refuse) is None
    assert told(unknown, "b", lambda: 7) == 7
    assert list(unknown) == ["a"]
    assert unknown["a"]


def test_a_lost_gpu_is_no_field(machine: Machine) -> None:
    def lost() -> int:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)

    with pytest.raises(pynvml.NVMLError):
        told({}, "a", lost)


def test_within_gives_back_answers_and_errors() -> None:
    assert within(1.0, lambda: 3) == 3

    def refuse() -> int:
        raise pynvml.NVMLError(4)

    with pytest.raises(pynvml.NVMLError):
        within(1.0, refuse)
