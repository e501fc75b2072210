"""Which device and model tables are of: as named on the command line, else as the tables and their paths say."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from profilers.importers.frames import read_table, table_files
from specs.base import Metadata
from specs.catalog import device_names, find_device, find_model, model_names
from specs.errors import InputError
from specs.profile import LayerProfile

KEY_COLUMNS = {"device": ("gpu", "device", "hardware"), "model": ("model",)}
SHOWN = 8


def import_profile(form: str, paths: list[Path], *, device: str | None, model: str | None) -> LayerProfile:
    """Read tables of ``form`` into a LayerProfile document.

    Without ``device`` or ``model`` the one catalogue entry that the tables or their paths name is taken; raises
    `InputError` where they name none or several.
    """
    from profilers.importers import read

    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder", cure="Check the path.")
    device = device or _only("device", paths, device_names(), lambda name: find_device(name).aliases)
    model = model or _only("model", paths, model_names(), lambda name: find_model(name).aliases)
    found = read(form, paths, device=find_device(device), model=find_model(model))
    name = f"{found.model}-on-{found.device}-{found.engine}-{found.engine_version}"
    return LayerProfile(metadata=Metadata(name=name), spec=found)


def _only(what: str, paths: list[Path], known: Iterable[str], aliases: Callable[[str], Iterable[str]]) -> str:
    columns = _in_columns(what, paths)
    words = columns or _in_paths(paths)
    matched = sorted({name for name in known if {_letters(word) for word in (name, *aliases(name))} & words.keys()})
    if len(matched) == 1:
        return matched[0]
    told = ", ".join(sorted(columns.values())[:SHOWN])
    said = f"the tables name {told}" if told else "the tables do not say"
    raise InputError(
        f"which {what} are these tables of? {said}", cure=f"Add --{what} NAME, as in `tonnage catalog {what}s`."
    )


def _in_columns(what: str, paths: list[Path]) -> dict[str, str]:
    words: dict[str, str] = {}
    for path in table_files(paths):
        frame = read_table(path)
        for column in KEY_COLUMNS[what]:
            if column in frame.columns:
                words |= {_letters(str(value)): str(value) for value in frame[column].unique().to_list()}
    return words


def _in_paths(paths: list[Path]) -> dict[str, str]:
    """Each folder, file and "folder/folder" on the way to the tables, as models are named by owner and name."""
    words: dict[str, str] = {}
    for path in table_files(paths):
        parts = path.absolute().parts
        words |= {_letters(part): part for part in parts}
        words |= {_letters(a + b): f"{a}/{b}" for a, b in itertools.pairwise(parts)}
    return words


def _letters(word: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", word.lower())
