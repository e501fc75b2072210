"""How solvers are compiled: one decorator, which keeps compiled code in the user's cache folder between runs."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile ``function``, cached where a folder can be written; ``function.py_func`` stays the Python original.

    Compiled functions that it calls must stand in the same file: the cache is keyed by that file's contents.
    """
    options: dict[str, Any] = {"error_model": "numpy", "nogil": True}
    folder = cache_folder(Path(function.__code__.co_filename))
    if folder is None:
        return cast(Function, numba.njit(**options)(function))
    config: Any = numba.config
    previous, config.CACHE_DIR = config.CACHE_DIR, str(folder)
    try:
        return cast(Function, numba.njit(cache=True, **options)(function))
    finally:
        config.CACHE_DIR = previous


def cache_folder(source: Path) -> Path | None:
    """The folder for what is compiled of ``source``, or None where none can be written.

    Bases tried in order: ``NUMBA_CACHE_DIR``, ``XDG_CACHE_HOME``/tonnage/numba, ``~/.cache/tonnage/numba``.
    """
    digest = hashlib.sha256(numba.__version__.encode() + source.read_bytes()).hexdigest()[:16]
    given = os.environ.get("NUMBA_CACHE_DIR")
    user_cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    bases = ([Path(given)] if given else []) + [Path(user_cache) / "tonnage" / "numba"]
    return next((base / digest for base in bases if _is_writable(base / digest)), None)


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
