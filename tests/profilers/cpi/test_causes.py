"""Every errno of the call has a cause and a cure that fit the machine."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from profilers.cpi.causes import cause_and_cure, has_pmu, refused
from profilers.cpi.perf_event import HARDWARE, Refusal

CODES = (
    errno.ENOENT, errno.EOPNOTSUPP, errno.EACCES, errno.EPERM, errno.EBADF, errno.EINVAL, errno.EBUSY, errno.ENOSYS,
    errno.EMFILE, errno.ENFILE, errno.ESRCH,
)  # fmt: skip


def machine(folder: Path, *devices: str) -> Path:
    for name in devices:
        (folder / "bus/event_source/devices" / name).mkdir(parents=True)
    return folder


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_explained(tmp_path: Path, code: int) -> None:
    cause, cure = cause_and_cure(code, proc=tmp_path, sys=tmp_path)
    assert cause != "the kernel refused it"
    assert len(cure) > 20


def test_no_such_counter_is_the_machines_or_the_cpus_lack(tmp_path: Path) -> None:
    virtual, real = machine(tmp_path / "v", "software", "msr"), machine(tmp_path / "r", "software", "cpu")
    arm = machine(tmp_path / "a", "armv8_pmuv3_0")
    assert [has_pmu(one) for one in (virtual, real, arm)] == [False, True, True]
    assert "virtual machine" in cause_and_cure(errno.ENOENT, sys=virtual)[0]
    assert "this CPU has no such counter" in cause_and_cure(errno.ENOENT, sys=real)[0]


def test_a_refusal_for_lack_of_rights_tells_the_level(tmp_path: Path) -> None:
    (tmp_path / "sys/kernel").mkdir(parents=True)
    (tmp_path / "sys/kernel/perf_event_paranoid").write_text("3\n")
    told = refused(Refusal(HARDWARE[0], errno.EACCES), proc=tmp_path)
    assert (told.quantity, told.error) == ("cycles", "EACCES")
    assert "perf_event_paranoid is 3" in told.cause
    assert "CAP_PERFMON" in told.cure


def test_an_unknown_code_is_still_told() -> None:
    assert refused(Refusal(HARDWARE[0], 9999)).error == "9999"
