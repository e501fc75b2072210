"""How documents that a store keeps are read from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from specs.errors import InputError
from specs.kinds import stored_kind
from specs.masking import without_credentials
from specs.reading import read_documents, validate


def read_stored(path: Path) -> list[dict[str, Any]]:
    """Return the data of each profile and plan in the YAML file ``path``, checked but as it is there.

    As it is there, so that its id outlives a change of defaults. Raises `InputError` for a file that cannot be read,
    holds nothing or something else, or breaks a document's contract.
    """
    found = []
    for data, lines in read_documents(path):
        try:
            kind = stored_kind(str(data.get("kind")))
        except InputError as error:
            raise InputError(f"{path}:{lines.get(('kind',), 1)}: {error.message}", cure=error.cure) from None
        validate(data, kind, path, lines)
        found.append(without_credentials(data))
    if not found:
        raise InputError(f"{path}: empty; a profile or a plan was expected", cure="Name another file.")
    return found
