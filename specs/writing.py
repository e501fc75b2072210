"""How documents are written: one YAML style, and files that are whole or not there."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import yaml

from specs.base import Document, plain
from specs.errors import InputError


def to_yaml(document: Document) -> str:
    """Return the document as YAML, fields in the order of its contract, short lists on one line."""
    return data_to_yaml(plain(document))


def data_to_yaml(data: Any) -> str:
    """Return JSON-like data as YAML in the documents' style."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def make_folder(path: Path) -> None:
    """Make the folder ``path`` and those above it; raises `InputError` where that cannot be done."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be made a folder: {error.strerror}", cure="Choose another path.") from None


def write_atomically(path: str | Path, text: str, *, force: bool = False) -> None:
    """Write ``text`` to ``path`` by a temporary file, fsync and rename; refuses to replace a file without ``force``."""
    path = Path(path)
    if path.exists() and not path.is_file():
        what = "a directory" if path.is_dir() else "no regular file"
        raise InputError(f"{path}: is {what}, a file name was expected", cure="Give -w the name of a file.")
    if path.exists() and not force:
        raise InputError(f"{path}: exists already", cure="Choose another name, or add --force to replace it.")
    try:
        _replace(path, text)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written: {error.strerror}", cure="Check the folder and free space."
        ) from None


def _replace(path: Path, text: str) -> None:
    path = path.resolve()  # a link stays a link
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~_umask()
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


class _Dumper(yaml.SafeDumper):
    """Block style, but mappings and lists of scalars that fit one line stay on it."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _flat(value: Any) -> bool:
    return not isinstance(value, dict | list)


def _represent_list(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.Node:
    flow = all(_flat(item) or (isinstance(item, list) and all(map(_flat, item))) for item in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flow)


def _represent_dict(dumper: yaml.SafeDumper, data: dict[str, Any]) -> yaml.Node:
    flow = (
        bool(data)
        and len(data) <= 6
        and all(map(_flat, data.values()))
        and sum(len(f"{k}{v}") for k, v in data.items()) < 90
    )
    return dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=flow)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    breaks = any(mark in text for mark in "\x85\u2028\u2029")  # read back as spaces unless escaped
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if breaks else None)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(list, _represent_list)
_Dumper.add_representer(tuple, lambda d, t: _represent_list(d, list(t)))
_Dumper.add_representer(dict, _represent_dict)
