"""What is not here is said before anything that takes long is imported, so that it is said at once."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Each of these takes between a fifth of a second and several seconds to import.
SLOW = ("scipy", "numba", "polars", "sklearn", "sqlalchemy", "alembic", "torch", "plotly", "pyarrow")
WITHOUT = """
import atexit, sys
import profilers.devices
from cli.main import run
profilers.devices.find_spec = lambda name: {torch}
profilers.devices.CUDA_LIBRARY = "libno-such-driver.so.1"
atexit.register(lambda: print("SLOW", [name for name in {slow} if name in sys.modules]))
sys.argv = ["tonnage", *{arguments}]
run()
"""


def has_driver() -> bool:
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return False
    return True


NOWHERE = "http://127.0.0.1:9"  # the discard port, which nobody listens on
of_no_driver = pytest.mark.skipif(has_driver(), reason="an NVIDIA driver is here")


@pytest.mark.parametrize(
    ("arguments", "torch", "said"),
    [
        pytest.param(("profile", "gpu"), True, "no NVIDIA driver", marks=of_no_driver),
        pytest.param(("profile", "gpu", "--watch", "5"), True, "no NVIDIA driver", marks=of_no_driver),
        (("profile", "layers", "llama-3.1-8b"), False, "torch, which is not installed"),
        (("profile", "layers", "llama-3.1-8b", "--device", "cpu"), False, "torch, which is not installed"),
        (("profile", "layers", "llama-3.1-8b"), True, "--device cuda: no NVIDIA driver"),
        (("profile", "engine", NOWHERE), True, "Connection refused"),
        (("profile", "services", "--prometheus", NOWHERE), True, "Connection refused"),
    ],
)
def test_what_is_missing_is_said_before_anything_slow_is_imported(
    arguments: tuple[str, ...], torch: bool, said: str, tmp_path: Path
) -> None:
    code = WITHOUT.format(torch=True if torch else None, slow=SLOW, arguments=arguments)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LD_LIBRARY_PATH": "", "TONNAGE_STORE": "store.db"}
    command = (sys.executable, "-c", code)
    shown = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert said in shown.stderr, shown.stderr
    assert shown.returncode == 4
    assert shown.stdout == "SLOW []\n"
    assert not (tmp_path / "store.db").exists()  # nothing is made for what cannot be measured
