"""One measurement at a time, whatever happens to the one before."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from profilers.alone import alone, default_lock
from specs.errors import MissingHardwareError

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys, pathlib
from profilers.alone import alone
with alone(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(lock: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_one_is_refused_by_name_until_the_first_is_gone(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with holder(lock) as first:
        with pytest.raises(MissingHardwareError, match=f"process {first.pid} holds"), alone(lock):
            pass
        first.communicate("")
    with alone(lock):
        assert lock.read_text().strip().isdigit()


def test_a_kill_leaves_no_lock_behind(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with holder(lock) as first:
        first.send_signal(signal.SIGKILL)
        first.wait()
        with alone(lock):
            pass


def test_an_error_inside_lets_it_go(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with pytest.raises(KeyError), alone(lock):
        raise KeyError
    with alone(lock):
        pass


def test_a_lock_that_cannot_be_opened_is_explained(tmp_path: Path) -> None:
    with pytest.raises(MissingHardwareError, match="cannot be opened"), alone(tmp_path / "no" / "lock"):
        pass


def test_a_link_in_a_folder_of_all_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").touch()
    (tmp_path / "lock").symlink_to(tmp_path / "target")
    with pytest.raises(MissingHardwareError), alone(tmp_path / "lock"):
        pass


def test_the_lock_lies_in_the_runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert default_lock().parent == tmp_path
