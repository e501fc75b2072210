"""Programs that a benchmark starts end in time, with all that they started."""

from __future__ import annotations

import sys
import time

import pytest

from benchmarks.limited import run_limited
from specs.errors import MissingHardwareError


def test_a_program_that_ends_gives_what_it_wrote() -> None:
    done = run_limited([sys.executable, "-c", "import sys; print('out'); sys.exit('err')"], 30.0)
    assert (done.returncode, done.stdout, done.stderr) == (1, "out\n", "err\n")


def test_a_child_that_holds_the_pipes_open_hangs_nobody() -> None:
    started = time.monotonic()
    with pytest.raises(MissingHardwareError, match="not ended after"):
        run_limited(["bash", "-c", "sleep 60 & wait"], 0.3)
    assert time.monotonic() - started < 20.0
