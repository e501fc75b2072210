"""The only readers of other tools' files, one file per form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from profilers.importers import aiconfigurator, llmservingsim, vidur
from specs.device import DeviceSpec
from specs.errors import InputError
from specs.model import ModelSpec
from specs.profile import LayerProfileSpec
from specs.reading import nearest

Reader = Callable[..., LayerProfileSpec]

FORMS: dict[str, Reader] = {
    "aiconfigurator": aiconfigurator.read,
    "llmservingsim": llmservingsim.read,
    "vidur": vidur.read,
}
"""Every form that `tonnage profile import` reads."""


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
    return FORMS[form](paths, device=device, model=model, engine_version=engine_version)


__all__ = ["FORMS", "read"]
