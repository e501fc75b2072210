"""What an interrupted survey had measured, kept beside the target file until the profile is whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from profilers.layers.shapes import Shape
from profilers.layers.survey import Survey
from specs.errors import InputError
from specs.writing import write_atomically


def checkpoint_path(target: Path) -> Path:
    """Return where the checkpoint of ``target`` lies: the same folder, the name with `.partial.json`."""
    return target.with_name(target.name + ".partial.json")


def save(path: Path, request: dict[str, Any], found: Survey) -> None:
    """Write what was ``found`` for ``request``, whole or not at all."""
    shapes = [
        {"shape": [shape.family, shape.first, shape.second, shape.kind], "blocks": blocks}
        for shape, blocks in found.blocks.items()
    ]
    write_atomically(path, json.dumps({"request": request, "spent_s": found.spent_s, "shapes": shapes}), force=True)


def load(path: Path, request: dict[str, Any]) -> Survey:
    """Return what the checkpoint at ``path`` holds, or an empty survey where there is none.

    Raises `InputError` for a file that is no checkpoint, or one of another request: its time would be lost.
    """
    if not path.exists():
        return Survey()
    cure = "Remove it to start anew, or write to another file."
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        known = data["request"]
        blocks = {Shape(*one["shape"]): one["blocks"] for one in data["shapes"]}
        spent_s = float(data["spent_s"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(f"{path}: not a checkpoint of `profile layers` ({error})", cure=cure) from None
    changed = sorted(key for key in {*known, *request} if known.get(key) != request.get(key))
    if changed:
        raise InputError(f"{path}: begun with other {', '.join(changed)}", cure=cure)
    return Survey(blocks=blocks, spent_s=spent_s)
