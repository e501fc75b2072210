"""How the passes over a call graph are compiled, and where compiled code is kept between runs."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def cache_folder() -> Path | None:
    """The user's folder for compiled code of this package, named after its sources; None where none can be written."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    user_cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    for base in ([Path(given)] if given else []) + [Path(user_cache) / "tonnage" / "numba"]:
        folder = base / _sources_digest()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    return None


def _sources_digest() -> str:
    digest = hashlib.sha256(numba.__version__.encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def compiled(function: Function) -> Function:
    """Compile ``function``, kept in the cache folder; ``function.py_func`` stays the pure Python original."""
    options: dict[str, Any] = {"error_model": "numpy", "nogil": True}
    folder = cache_folder()
    if folder is None:
        return cast(Function, numba.njit(**options)(function))
    config: Any = numba.config
    previous, config.CACHE_DIR = config.CACHE_DIR, str(folder)
    try:
        return cast(Function, numba.njit(cache=True, **options)(function))
    finally:
        config.CACHE_DIR = previous
