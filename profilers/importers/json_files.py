"""JSON from files of other tools, plain or gzipped: read whole within a limit, or line by line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from specs.errors import InputError
from specs.reading import nearest

MAX_BYTES = 2**30  # unpacked; a million spans of Jaeger's JSON stay below it
CHUNK_BYTES = 2**22


def read_bytes(path: Path) -> bytes:
    """Return the bytes of ``path``, unpacked where gzipped; raises `InputError` where it cannot be read whole."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            return _limited(gzip.open(file) if packed else file, path)
    except FileNotFoundError:
        names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise InputError(f"{path}: no such file", cure=f"Check the path{nearest(path.name, names)}.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: the gzip data is cut off: {error}", cure="Copy the file again.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}", cure="Check the path.") from None


def read_json(path: Path) -> Any:
    """Return the one JSON value in ``path``; raises `InputError` naming the line where it breaks or ends too soon."""
    return parse_json(read_bytes(path), path)


def parse_json(data: bytes, path: Path) -> Any:
    """Return the JSON value in ``data``, which came from ``path``; raises as `read_json` does."""
    try:
        return json.loads(data)
    except json.JSONDecodeError as error:
        ended = error.pos >= len(error.doc.rstrip()) or "Unterminated" in error.msg
        what = "the file ends in the middle of a value" if ended else f"not valid JSON: {error.msg}"
        raise InputError(f"{path}:{error.lineno}: {what}", cure="Is the file whole? Copy it again.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})", cure="Give a JSON file.") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply", cure="Give a file that the tool wrote.") from None


def json_lines(data: bytes, path: Path, notes: list[str]) -> Iterator[Any]:
    """Yield the value of each line that is not blank.

    A last line that is cut off is left out and named in ``notes``; any other broken line raises `InputError`.
    """
    lines = data.splitlines()
    last = max((number for number, line in enumerate(lines) if line.strip()), default=-1)
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            if number != last or last == 0:
                cure = "Is the file whole? Copy it again."
                raise InputError(f"{path}:{number + 1}: not valid JSON: {error}", cure=cure) from None
            notes.append(f"{path.name}: the last line is cut off and was left out")


def _limited(file: Any, path: Path) -> bytes:
    parts: list[bytes] = []
    size = 0
    while chunk := file.read(CHUNK_BYTES):
        size += len(chunk)
        if size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES >> 30} GiB unpacked", cure="Give fewer in one file.")
        parts.append(chunk)
    return b"".join(parts)
