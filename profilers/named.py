"""Finds the layer profile that a document or a flag names: a file, or an id in the store."""

from __future__ import annotations

from pathlib import Path

from specs.profile import LayerProfile, LayerProfileSpec
from specs.reading import read_document


def layer_profile(reference: str | Path, base: Path = Path(), store: str | None = None) -> LayerProfileSpec:
    """Return the LayerProfile at that path below ``base``, else the one whose id in the store begins so.

    ``store``: its URL, the default one where None. The store is opened only for an id, because its libraries take
    long to import. Raises `InputError` where there is neither.
    """
    path = base / reference
    if path.exists() or path.suffix in (".yaml", ".yml"):
        return read_document(path, LayerProfile).spec
    from profilers.store import find

    return find(str(reference), LayerProfile, base=base, store=store).spec
