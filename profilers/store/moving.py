"""Documents out of a store into files, and files into a store."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from profilers.store.adding import add_data
from profilers.store.files import read_stored
from profilers.store.opening import Store
from profilers.store.reading import listing, load
from specs.errors import InputError
from specs.stored import short_id
from specs.writing import data_to_yaml, make_folder, write_atomically

OnProgress = Callable[[float, float, str], None]
SUFFIXES = (".yaml", ".yml")


def export_to(
    store: Store, folder: Path, references: Sequence[str] = (), *, on_progress: OnProgress | None = None
) -> list[Path]:
    """Write each document (those that ``references`` begin, else all) as a YAML file in ``folder``; return the paths.

    A file's name holds kind, name and id, so a file that is there already has the same content and is left.
    """
    wanted = list(references) or _everything(store)
    make_folder(folder)
    paths = []
    for number, reference in enumerate(wanted):
        identity, data = load(store, reference)
        path = folder / _file_name(identity, data)
        if not path.exists():
            write_atomically(path, data_to_yaml(data))
        paths.append(path)
        if on_progress is not None:
            on_progress(number + 1, len(wanted), f"writing {path.name}")
    return paths


def import_from(store: Store, paths: Sequence[Path], *, on_progress: OnProgress | None = None) -> list[str]:
    """Put every profile and plan in ``paths`` (files, or folders with YAML files) into the store; return their ids.

    A document that is there already is left. Raises `InputError` for a file that cannot be read, holds nothing that a
    store keeps, or breaks its contract; the documents before it are then in the store.
    """
    files = [file for path in paths for file in _files(path)]
    ids: list[str] = []
    for number, file in enumerate(files):
        for data in read_stored(file):
            ids.append(add_data(store, data))
        if on_progress is not None:
            on_progress(number + 1, len(files), f"reading {file.name}")
    return ids


def _everything(store: Store) -> list[str]:
    found = listing(store)
    return [one.id for one in found.profiles] + [one.id for one in found.plans]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
    if not found:
        raise InputError(f"{path}: no file in this folder ends in {' or '.join(SUFFIXES)}", cure="Name another one.")
    return found


def _file_name(identity: str, data: dict[str, Any]) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", data["metadata"]["name"])[:60].strip("-.") or "unnamed"
    return f"{data['kind']}-{name}-{short_id(identity)}.yaml"
