"""Opens trace files (CSV, JSON lines, Parquet, gzip of the first two) and returns the named columns as they stand."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from specs.errors import InputError
from specs.reading import nearest

if TYPE_CHECKING:
    import polars as pl

MAX_TRACE_BYTES = 2**30
"""Largest file, and largest unpacked text, that is read: about thirty million rows of CSV."""
MAX_TRACE_ROWS = 50_000_000
CHUNK_BYTES = 2**22
Layout = Literal["csv", "jsonl", "parquet"]
ENDINGS: dict[str, Layout] = {
    ".csv": "csv", ".csv.gz": "csv", ".jsonl": "jsonl", ".jsonl.gz": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TraceFile:
    """An opened trace: its unpacked bytes, what is in them, the columns found, and the sha256 of the file.

    ``lists`` names the columns of a JSON-lines file that hold lists of whole numbers.
    """

    path: Path
    layout: Layout
    data: bytes
    names: tuple[str, ...]
    lists: tuple[str, ...]
    sha256: str


def open_trace(path: str | Path) -> TraceFile:
    """Read ``path`` whole and list its columns; a CSV may have comments (`#`) above its header.

    Raises `InputError` where it cannot be a trace.
    """
    path = Path(path)
    _check_file(path)
    layout = _layout(path)
    raw = _bytes_of(path)
    data = _unpacked(path, raw) if path.suffix == ".gz" else raw
    if not data or data.isspace():
        raise InputError(f"{path}: empty", cure="A trace needs a header and at least one request.")
    if layout != "parquet":
        _check_utf8(path, data)
    lists: tuple[str, ...] = ()
    if layout == "csv":
        data = _from_header(path, data)
    if layout == "jsonl":
        names, lists = _json_names(path, data)
    else:
        names = _csv_names(path, data) if layout == "csv" else _parquet_names(path, data)
    sha256 = "sha256:" + hashlib.sha256(raw).hexdigest()
    return TraceFile(path=path, layout=layout, data=data, names=names, lists=lists, sha256=sha256)


def read_columns(file: TraceFile, names: Sequence[str]) -> pl.DataFrame:
    """Return the columns ``names`` with a column `row` (data rows counted from 1); text files give text cells.

    Rows of a CSV or JSON-lines file that are blank are left out. Raises `InputError` for broken syntax.
    """
    import polars as pl

    wanted = list(dict.fromkeys(names))
    try:
        if file.layout == "csv":
            frame = pl.read_csv(file.data, columns=wanted, infer_schema=False)
        elif file.layout == "jsonl":
            frame = _json_frame(file, wanted)
        else:
            frame = pl.read_parquet(io.BytesIO(file.data), columns=wanted)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _broken(file, error) from None
    frame = frame.with_row_index("row", offset=1)
    if file.layout == "csv":
        frame = frame.filter(~pl.all_horizontal(pl.exclude("row").is_null()))
    if frame.height == 0:
        raise InputError(f"{file.path}: no requests below the header", cure="Add at least one row.")
    return frame


def _json_frame(file: TraceFile, wanted: list[str]) -> pl.DataFrame:
    """Columns as numbers, which is fast; where a cell is none, as text, so that the message can show it."""
    import polars as pl

    lists = {name: pl.List(pl.Int64) for name in file.lists}
    try:
        return pl.read_ndjson(file.data, schema={name: lists.get(name, pl.Float64) for name in wanted})
    except pl.exceptions.PolarsError:
        return pl.read_ndjson(file.data, schema={name: lists.get(name, pl.String) for name in wanted})


def _layout(path: Path) -> Layout:
    for ending in sorted(ENDINGS, key=len, reverse=True):
        if path.name.lower().endswith(ending):
            return ENDINGS[ending]
    raise InputError(f"{path}: not a kind of table that is read", cure=f"Known endings: {', '.join(ENDINGS)}.")


def _check_file(path: Path) -> None:
    if not path.exists():
        names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise InputError(f"{path}: no such file", cure=f"Check the path{nearest(path.name, names)}.")
    if path.is_dir():
        raise InputError(f"{path}: is a directory, a file was expected", cure="Name the file inside it.")


def _bytes_of(path: Path) -> bytes:
    size = path.stat().st_size
    if size > MAX_TRACE_BYTES:
        raise _too_large(path, f"{size / 2**30:.1f} GiB")
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}", cure="Check its permissions.") from None


def _too_large(path: Path, size: str) -> InputError:
    cure = "Cut it to the busiest hours, or keep only arrival, prompt and output tokens and save them as Parquet."
    return InputError(f"{path}: {size}, traces end at {MAX_TRACE_BYTES >> 30} GiB", cure=cure)


def _unpacked(path: Path, raw: bytes) -> bytes:
    text = bytearray()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                text += chunk
                if len(text) > MAX_TRACE_BYTES:
                    raise _too_large(path, f"more than {MAX_TRACE_BYTES >> 30} GiB when unpacked")
    except EOFError:
        raise InputError(f"{path}: the gzip data ends too early", cure="Copy the file again: it was cut.") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: not gzip data ({error})", cure="Rename it, or compress it with gzip.") from None
    return bytes(text)


def _check_utf8(path: Path, data: bytes) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(data), CHUNK_BYTES):
        try:
            decoder.decode(data[start : start + CHUNK_BYTES], final=start + CHUNK_BYTES >= len(data))
        except UnicodeDecodeError:
            line = data.count(b"\n", 0, _first_bad_byte(data, start)) + 1
            raise InputError(f"{path}:{line}: not UTF-8 text", cure="Save the file as UTF-8.") from None


def _first_bad_byte(data: bytes, start: int) -> int:
    begin = max(0, start - 3)
    while begin < start and data[begin] & 0xC0 == 0x80:  # do not begin inside a character
        begin += 1
    try:
        data[begin : start + CHUNK_BYTES].decode("utf-8")
    except UnicodeDecodeError as error:
        return begin + error.start
    return start


def _from_header(path: Path, data: bytes) -> bytes:
    """Drop blank lines and comments above the header."""
    start = 0
    while start < len(data) and data[start] in b"\r\n#":
        start = data.find(b"\n", start) + 1 or len(data)
    if start == len(data):
        raise InputError(f"{path}: holds comments alone", cure="A trace needs a header and at least one request.")
    return data[start:] if start else data


def _csv_names(path: Path, data: bytes) -> tuple[str, ...]:
    import csv

    names = tuple(next(csv.reader([io.BytesIO(data).readline().decode("utf-8-sig").rstrip("\r\n")]), []))
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise InputError(f"{path}: column {repeated[0]!r} is there twice", cure="Keep one of them.")
    return names


def _json_names(path: Path, data: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    first = next(line for line in io.BytesIO(data) if not line.isspace())
    try:
        record = json.loads(first)
    except (json.JSONDecodeError, RecursionError) as error:
        problem = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        raise InputError(f"{path}:1: not a JSON object per line: {problem}", cure="One request per line.") from None
    if not isinstance(record, dict):
        raise InputError(f"{path}:1: expected a JSON object, found {type(record).__name__}", cure="One request a line.")
    return tuple(record), tuple(name for name, value in record.items() if isinstance(value, list))


def _parquet_names(path: Path, data: bytes) -> tuple[str, ...]:
    import polars as pl

    try:
        names = tuple(pl.read_parquet_schema(io.BytesIO(data)))
        rows = int(pl.scan_parquet(io.BytesIO(data)).select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, OSError) as error:
        problem = str(error).splitlines()[0]
        raise InputError(f"{path}: not a whole Parquet file: {problem}", cure="Write or copy it again.") from None
    if rows > MAX_TRACE_ROWS:
        raise _too_large(path, f"{rows:,} rows, {MAX_TRACE_ROWS:,} are read at most; in bytes")
    return names


def _broken(file: TraceFile, error: Exception) -> InputError:
    """Find the first line that does not parse, for the message."""
    if file.layout == "jsonl":
        for number, line in enumerate(file.data.split(b"\n"), start=1):
            problem = _json_problem(line)
            if problem:
                return InputError(f"{file.path}:{number}: {problem}", cure="One JSON object per line.")
    first = str(error).strip().splitlines()[0]
    return InputError(f"{file.path}: cannot be parsed: {first}", cure="Check quotes and the number of columns.")


def _json_problem(line: bytes) -> str | None:
    if not line.strip():
        return None
    try:
        record = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        return f"not valid JSON: {error}"
    return None if isinstance(record, dict) else f"expected an object, found {type(record).__name__}"


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number in JSON")
