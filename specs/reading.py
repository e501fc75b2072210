"""How documents are read from YAML: every error names file, line, field, what was found and the nearest spelling."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from specs.base import API_VERSION, Document
from specs.errors import InputError
from specs.explaining import explain, nearest
from specs.parsing import Lines, parse_documents, type_name

__all__ = ["nearest", "read_document", "read_documents", "read_text", "sha256", "validate"]

MAX_DOCUMENT_BYTES = 64 * 2**20  # a LayerProfile of every operator stays below 10 MiB
D = TypeVar("D", bound=Document)


def read_document(path: str | Path, kind: type[D]) -> D:
    """Read the one document of ``kind`` in the YAML file ``path``.

    Raises `InputError` for a file that cannot be read, is not that kind, or breaks its contract.
    """
    documents = read_documents(path)
    name = _kind_name(kind)
    found = [document for document in documents if document[0].get("kind") == name]
    if not found:
        raise _wrong_kind(Path(path), name, documents)
    if len(found) > 1:
        raise InputError(f"{path}: holds {len(found)} documents of kind {name}", cure="Keep one per file.")
    return validate(found[0][0], kind, Path(path), found[0][1])


def validate(data: dict[str, Any], kind: type[D], path: Path, lines: Lines) -> D:
    """Check ``data`` against ``kind``; ``lines`` maps field paths to line numbers for the message."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise InputError(explain(error, kind, data, str(path), lines)) from None


def read_documents(path: str | Path) -> list[tuple[dict[str, Any], Lines]]:
    """Return each mapping in the YAML file with the line number of each of its fields."""
    found = []
    for data, lines in parse_documents(read_text(Path(path)), str(path)):
        if data is not None and not isinstance(data, dict):
            raise InputError(f"{path}:{lines.get((), 1)}: expected a mapping, found {type_name(data)}")
        if data is not None:
            found.append((data, lines))
    return found


def read_text(path: Path) -> str:
    """Read a UTF-8 text file within the size limit; raises `InputError` naming why it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_DOCUMENT_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", cure=_nearby_files(path)) from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a directory, a file was expected", cure="Name a file in it.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read: {reason}", cure="Check the path and its permissions.") from None
    if len(content) > MAX_DOCUMENT_BYTES:
        cure = "Give the document, not the data it refers to."
        raise InputError(f"{path}: larger than {MAX_DOCUMENT_BYTES >> 20} MiB, where documents end", cure=cure)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        cure = "Save the file as UTF-8 text."
        raise InputError(f"{path}:{line}: not UTF-8 (byte {error.start})", cure=cure) from None


def sha256(path: str | Path) -> str:
    """Return `sha256:…` of the file's bytes, as plans record their inputs."""
    with Path(path).open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _nearby_files(path: Path) -> str:
    try:
        names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    except OSError:
        names = []
    return f"Check the path{nearest(path.name, names)}."


def _kind_name(kind: type[Document]) -> str:
    return str(kind.model_fields["kind"].default)


def _wrong_kind(path: Path, wanted: str, documents: list[tuple[dict[str, Any], Lines]]) -> InputError:
    if not documents:
        cure = "`tonnage init serving` writes examples."
        return InputError(f"{path}: empty; a document of kind {wanted} was expected", cure=cure)
    data, lines = documents[0]
    found, line = data.get("kind"), lines.get(("kind",), 1)
    if found is None:
        cure = f"Add `apiVersion: {API_VERSION}` and `kind: {wanted}`."
        return InputError(f"{path}:{line}: kind: missing; {wanted} was expected", cure=cure)
    kinds = ", ".join(repr(document.get("kind")) for document, _ in documents)
    cure = f"Give a file that holds a {wanted}."
    return InputError(
        f"{path}:{line}: kind: found {kinds}, expected {wanted}{nearest(str(found), [wanted])}", cure=cure
    )
