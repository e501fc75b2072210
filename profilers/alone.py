"""One measurement at a time: two on one machine would measure each other."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from specs.errors import MissingHardwareError


def default_lock() -> Path:
    """Return this user's lock: in the runtime folder [std: XDG base directories], else among temporary files."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(runtime) if runtime and Path(runtime).is_dir() else Path(tempfile.gettempdir())
    return folder / f"tonnage-{os.getuid()}.lock"


@contextmanager
def alone(path: Path | None = None) -> Iterator[None]:
    """Hold the lock at ``path`` (`default_lock` where None); the kernel lets it go when the process ends, however.

    Raises `MissingHardwareError` at once where another process holds it, or where it cannot be opened.
    """
    path = path or default_lock()
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        cure = "Set XDG_RUNTIME_DIR or TMPDIR to a folder that you can write to."
        raise MissingHardwareError(f"{path}: the lock cannot be opened: {error.strerror}", cure=cure) from None
    try:
        _take(handle, path)
        yield
    finally:
        os.close(handle)


def _take(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(handle, 32).decode(errors="replace").strip()
        who = f"process {holder}" if holder.isdigit() else "another process"
        message = f"another measurement is running ({who} holds {path})"
        raise MissingHardwareError(message, cure="Wait until it has ended: two would disturb each other.") from None
    os.ftruncate(handle, 0)
    os.write(handle, f"{os.getpid()}\n".encode())
