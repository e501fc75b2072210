"""How numeric loops are compiled, and where compiled code is kept between runs."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])
OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False, "nogil": True}
"""Division as numpy's; no reference counts, since nothing in a loop allocates; without the interpreter lock."""


def cache_folder(package: Path) -> Path | None:
    """The folder for the compiled code of ``package``, a folder of sources; None where none can be written.

    Bases tried in order: ``NUMBA_CACHE_DIR``, ``XDG_CACHE_HOME``/tonnage/numba, ``~/.cache/tonnage/numba``.
    The last part is the digest of the package's sources, since numba itself looks only at the file
    of the outermost function and would keep running old code after an edit beside it.
    """
    for base in _bases():
        folder = base / _sources_digest(package)
        if _is_writable(folder):
            return folder
    return None


def _bases() -> list[Path]:
    given = os.environ.get("NUMBA_CACHE_DIR")
    user_cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return ([Path(given)] if given else []) + [Path(user_cache) / "tonnage" / "numba"]


def _sources_digest(package: Path) -> str:
    digest = hashlib.sha256(numba.__version__.encode())
    for source in sorted(package.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def compiled(function: Function, *, allocates: bool = False) -> Function:
    """Compile a function that Python calls, kept in the cache folder of the package that it stands in.

    What it calls must stand in that package too: the cache is keyed by its sources. ``allocates``: it makes arrays, so
    references are counted. ``function.py_func`` stays the pure Python original.
    """
    options = {name: value for name, value in OPTIONS.items() if name != "_nrt" or not allocates}
    folder = cache_folder(Path(function.__code__.co_filename).parent)
    if folder is None:
        return cast(Function, numba.njit(**options)(function))
    config: Any = numba.config
    previous, config.CACHE_DIR = config.CACHE_DIR, str(folder)
    try:
        return cast(Function, numba.njit(cache=True, **options)(function))
    finally:
        config.CACHE_DIR = previous


def allocating(function: Function) -> Function:
    """As `compiled`, for a function that makes arrays."""
    return compiled(function, allocates=True)
