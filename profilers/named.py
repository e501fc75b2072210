"""Finds the profile that a document or a flag names: a file, or an id in the store."""

from __future__ import annotations

import re
from pathlib import Path

from specs.engine import EngineProfile, StepEvidence
from specs.host import HostProfile
from specs.profile import LayerProfile, LayerProfileSpec
from specs.reading import read_document, read_text
from specs.stored import is_reference

_KIND = re.compile(r"""\bkind["']?:\s*["']?(EngineProfile|HostProfile)\b""")


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


def step_profile(reference: str | Path, base: Path = Path(), store: str | None = None) -> StepEvidence:
    """Return the LayerProfile, EngineProfile or HostProfile that ``reference`` names, as `layer_profile` does.

    The kind is looked up in the text, because a LayerProfile takes long to parse.
    """
    path = base / reference
    if path.exists() or path.suffix in (".yaml", ".yml"):
        told = _KIND.search(read_text(path))
        return read_document(path, _kind(told[1] if told else None)).spec
    from profilers.store import find, load, open_store

    named = is_reference(str(reference))
    kind = load(open_store(store, create=False), str(reference))[1]["kind"] if named else None
    return find(str(reference), _kind(kind), base=base, store=store).spec


def _kind(name: str | None) -> type[LayerProfile] | type[EngineProfile] | type[HostProfile]:
    """Return the class of a kind of profile; a LayerProfile where it is another, whose reader says so."""
    if name == "EngineProfile":
        return EngineProfile
    return HostProfile if name == "HostProfile" else LayerProfile


def profile_id(reference: str | Path, store: str | None = None) -> str:
    """Return the id of the profile that ``reference`` names: of a file's content, or in the store as it begins there.

    Raises `InputError` as `layer_profile` does.
    """
    from profilers.store import read_either

    return read_either(str(reference), store)[0]
