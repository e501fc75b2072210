"""The rate of matrix multiplication on a CPU: every core its own matrices, by the library that numpy calls."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from profilers.anchors.crew import Crew
from profilers.anchors.repeats import Blocks, Task, summary
from specs.host import AnchorPrecision, ComputeAnchor

SIZE = 1024  # 2 GFLOP a call: tens of milliseconds on one core, and three matrices of 4 MiB
PRECISIONS: dict[Literal["fp32", "fp64"], type[np.floating]] = {"fp32": np.float32, "fp64": np.float64}
SEED = 0
# What each library calls "set the number of threads" (threadpoolctl lists the same ones): OpenBLAS as numpy's wheels
# carry it, OpenBLAS, MKL, BLIS.
_SETTERS = {
    "scipy_openblas_set_num_threads64_": "scipy_openblas_get_num_threads64_",
    "openblas_set_num_threads64_": "openblas_get_num_threads64_",
    "openblas_set_num_threads": "openblas_get_num_threads",
    "MKL_Set_Num_Threads": "MKL_Get_Max_Threads",
    "bli_thread_set_num_threads": "bli_thread_get_num_threads",
}


class Library(NamedTuple):
    """A BLAS that this process has loaded, and how its number of threads is asked and set."""

    name: str
    threads: Callable[[], int]
    set_threads: Callable[[int], None]


def loaded_library(maps: Path = Path("/proc/self/maps")) -> Library | None:
    """Return the BLAS that numpy has loaded, or None where none with a known control of threads is mapped."""
    try:
        mapped = sorted(set(re.findall(r"(/\S*(?:blas|mkl_rt|blis)\S*\.so\S*)$", maps.read_text(), re.MULTILINE)))
    except OSError:
        return None
    return next((library for path in mapped if (library := _controls(path))), None)


@contextmanager
def one_thread(library: Library) -> Iterator[None]:
    """Let ``library`` use one thread per call while the context lasts: the crew brings its own."""
    before = library.threads()
    library.set_threads(1)
    try:
        yield
    finally:
        library.set_threads(before)


def multiply_task(crew: Crew, precision: Literal["fp32", "fp64"]) -> Task:
    """Return the task in which every member of ``crew`` multiplies two square matrices of `SIZE`."""
    kind = PRECISIONS[precision]
    left = np.random.default_rng(SEED).random((SIZE, SIZE)).astype(kind)
    threads = len(crew.workers)
    made: list[tuple[np.ndarray, np.ndarray]] = [(left, left)] * threads

    def touch(worker: int) -> None:
        made[worker] = (left.copy(), np.zeros_like(left))

    crew.all(touch)
    what = f"{precision} matrices, {threads} thread{'s' * (threads > 1)}"
    return Task(
        what=what,
        amount=2.0 * SIZE**3 * threads,
        run=lambda: crew.all(lambda worker: np.matmul(made[worker][0], made[worker][0], out=made[worker][1])),
    )


def compute_anchor(
    precision: AnchorPrecision, threads: int | None, size: int, library: str, blocks: Blocks
) -> ComputeAnchor:
    """Return the anchor of one precision from its blocks of operations per second."""
    figures = summary(blocks, "tflops", 1e12)
    return ComputeAnchor(precision=precision, threads=threads, size=size, library=library, **figures)


def _controls(path: str) -> Library | None:
    try:
        loaded = ctypes.CDLL(path)
    except OSError:
        return None
    for setter, getter in _SETTERS.items():
        if hasattr(loaded, setter) and hasattr(loaded, getter):
            name = re.sub(r"[-.]\w*\.so.*|\.so.*", "", Path(path).name).removeprefix("lib")
            return Library(name, getattr(loaded, getter), getattr(loaded, setter))
    return None
