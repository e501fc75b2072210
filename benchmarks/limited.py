"""Another program run to its end or to a limit of time, after which it and all it started are ended."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from specs.errors import MissingHardwareError


def run_limited(
    command: Sequence[object], limit_s: float, *, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Return how ``command`` ended and what it wrote; raises `MissingHardwareError` where it outlasts ``limit_s``."""
    words = [str(word) for word in command]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=env, cwd=cwd,
        start_new_session=True,
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        what = f"`{' '.join(words[:6])} …` has not ended after {limit_s:g} s"
        raise MissingHardwareError(what, cure="Run it by hand and see what it waits for.") from None
    finally:
        if process.poll() is None:  # a kill of the child alone would leave its children holding the pipes
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return subprocess.CompletedProcess(words, process.returncode, out, err)
