"""Work done in a forked process: under another user, or until it is killed."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable
from typing import Any

from specs.errors import TonnageError

NOBODY = 65534


def start(work: Callable[[int], Any]) -> tuple[int, int]:
    """Run ``work(pipe to write to)`` in a fork; return its process id and the end of the pipe to read from."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        status = 1
        try:
            os.close(reader)
            work(writer)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    return process, reader


def kill(process: int) -> None:
    """Kill a process at once and wait until it is gone."""
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def drain(reader: int) -> bytes:
    """Return everything that is left in a pipe whose writer has ended."""
    with os.fdopen(reader, "rb") as pipe:
        return pipe.read()


def outcome(work: Callable[[], Any], prepare: Callable[[], Any]) -> Any:
    """Return what ``work`` returns, or the `TonnageError` it raises, in a fork, after ``prepare`` there."""

    def run(writer: int) -> None:
        prepare()
        try:
            result = work()
        except TonnageError as error:
            result = error
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(pickle.dumps(result))

    process, reader = start(run)
    content = drain(reader)
    os.waitpid(process, 0)
    return pickle.loads(content)


def become_nobody() -> None:
    """Leave the rights of root, for whom no folder is read-only."""
    if os.geteuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
