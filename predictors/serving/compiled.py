"""How the engine kernel is compiled: the decorators, and where compiled code is kept between runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

from solvers import compiled

Function = TypeVar("Function", bound=Callable[..., Any])
PACKAGE = Path(__file__).parent


def cache_folder() -> Path | None:
    """The folder for compiled kernels, keyed by the sources of this package; None where none can be written."""
    return compiled.cache_folder(PACKAGE)


INNER: dict[str, Any] = {"error_model": "numpy", "_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Division as numpy's; no entry from Python; and, since nothing in the kernel allocates, no reference counts, which
alone makes it 2.6 times faster."""


def inner(function: Function) -> Function:
    """Compile a function that only compiled functions call: Python must not call it, it has no entry and no cache."""
    return cast(Function, numba.njit(**INNER)(function))


def inlined(function: Function) -> Function:
    """As ``inner``, but written out in its one caller or two: one level less to optimise, which shortens compiling."""
    return cast(Function, numba.njit(inline="always", **INNER)(function))


def entry(function: Function) -> Function:
    """Compile a function that Python calls: kept in the cache folder of its package, without the interpreter lock.

    ``function.py_func`` stays the pure Python original.
    """
    return compiled.compiled(function)
