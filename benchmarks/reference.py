"""Finds the reference measurements, which are not part of the project."""

from __future__ import annotations

import os
from pathlib import Path

from specs.errors import InputError


def reference_folder() -> Path:
    """Folder of the reference measurements: `TONNAGE_REFERENCE_DATA`, else `../shared/data` beside the checkout."""
    named = os.environ.get("TONNAGE_REFERENCE_DATA")
    return Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"


def reference_path(name: str) -> Path:
    """Path of one reference file; raises `InputError` saying how to name the folder where it is absent."""
    path = reference_folder() / name
    if not path.exists():
        raise InputError(f"reference data {name} is not at {path}", cure="Set TONNAGE_REFERENCE_DATA to its folder.")
    return path
