"""The only readers of other tools' files, one file per form."""

from __future__ import annotations

import importlib
from pathlib import Path

from specs.device import DeviceSpec
from specs.errors import InputError
from specs.model import ModelSpec
from specs.profile import LayerProfileSpec
from specs.reading import nearest

FORMS = {
    "aiconfigurator": "profilers.importers.aiconfigurator",
    "llmservingsim": "profilers.importers.llmservingsim",
    "vidur": "profilers.importers.vidur",
}
"""Every form that `tonnage profile import` reads, and the module that reads it: loaded when asked for, with polars."""


def read(
    form: str, paths: list[Path], *, device: DeviceSpec, model: ModelSpec, engine_version: str | None = None
) -> LayerProfileSpec:
    """Turn tables of ``form`` into a layer profile of ``model`` on ``device``.

    ``paths``: files, or folders in the form's upstream layout. Raises InputError for an unknown form, files without
    the columns of that form, or tables without rows for this model and device.
    """
    if form not in FORMS:
        raise InputError(f"form {form!r} is unknown{nearest(form, list(FORMS))}; known: {', '.join(FORMS)}")
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder", cure="Check the path.")
    reader = importlib.import_module(FORMS[form])
    found: LayerProfileSpec = reader.read(paths, device=device, model=model, engine_version=engine_version)
    return found


__all__ = ["FORMS", "read"]
