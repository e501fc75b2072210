"""The rate of multiplying matrices is that of one thread per core, whatever BLAS is loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from profilers.anchors.blas import SIZE, Library, loaded_library, multiply_task, one_thread
from profilers.anchors.crew import crew


def library() -> Library:
    found = loaded_library()
    if found is None:
        pytest.skip("numpy's BLAS has no control of threads that is known here")
    return found


def test_the_loaded_library_is_found_and_its_threads_are_given_back() -> None:
    found = library()
    np.ones((2, 2)) @ np.ones((2, 2))
    before = found.threads()
    with one_thread(found):
        assert found.threads() == 1
    assert found.threads() == before


def test_threads_are_given_back_after_an_error() -> None:
    found = library()
    before = found.threads()
    with pytest.raises(ZeroDivisionError), one_thread(found):
        raise ZeroDivisionError
    assert found.threads() == before


def test_a_process_without_a_known_library_is_told(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    assert loaded_library(maps) is None
    maps.write_text(
        "7f00-7f01 r-xp 00000000 00:00 1  /usr/lib/libm.so.6\n7f02-7f03 r-xp 0 00:00 2  /no/libopenblas.so.0\n"
    )
    assert loaded_library(maps) is None


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
def test_every_member_multiplies_and_is_counted(precision: str) -> None:
    with crew([0, 0]) as members:
        task = multiply_task(members, "fp32" if precision == "fp32" else "fp64")
        seconds = task.run()
    assert task.amount == 2 * 2 * SIZE**3
    assert seconds > 0
    assert task.what == f"{precision} matrices, 2 threads"
