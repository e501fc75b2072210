"""What a store keeps of profiles, plans and samples, how a document gets its id, and how two profiles differ."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from specs.base import Document, Spec, plain
from specs.masking import without_credentials

ID_PREFIX = "sha256:"
SHORT_ID = 12  # characters of an id that tables show
MIN_ID = 6  # fewest characters of an id that a reference may give
_REFERENCE = re.compile(rf"(?:{ID_PREFIX})?[0-9a-f]{{{MIN_ID},64}}")


class StoredProfile(Spec):
    """One profile in a store; ``plans`` counts the indexed plans that rest on it."""

    id: str  # sha256 of the content
    kind: str
    name: str
    subject: str = ""  # what was measured: model, device, engine
    measured: str | None = None  # when, as the profile says
    machine: str | None = None  # where, as the profile says
    added: str  # when it came into the store, UTC
    size_bytes: int
    plans: int = 0


class StoredPlan(Spec):
    """One plan in a store and the ids of the profiles it rests on, in the store or not."""

    id: str  # sha256 of the content
    kind: str
    name: str
    outcome: str
    created: str | None = None
    added: str  # when it came into the store, UTC
    profiles: tuple[str, ...] = ()


class StoredSeries(Spec):
    """Samples of one series (such as a GPU) that are kept; times in seconds since 1970."""

    series: str
    samples: int
    first_s: float
    last_s: float


class StoreListing(Spec):
    """Everything in a store, oldest first; ``store`` is its URL without credentials."""

    store: str
    profiles: tuple[StoredProfile, ...] = ()
    plans: tuple[StoredPlan, ...] = ()
    samples: tuple[StoredSeries, ...] = ()


class Pruned(Spec):
    """What `tonnage store prune` removed, or would remove; ``kept_for_plans`` are old but a plan rests on them."""

    store: str
    removed: tuple[str, ...] = ()
    kept_for_plans: tuple[str, ...] = ()
    dry_run: bool = False


class FieldChange(Spec):
    """One field that differs; ``relative`` is after / before − 1 where both are numbers."""

    field: str
    before: str | int | float | bool | None = None
    after: str | int | float | bool | None = None
    relative: float | None = None


class TableChange(Spec):
    """One operator table of two layer profiles, compared at the points that both have.

    ``median``, ``low`` and ``high`` are of after / before − 1 over those points; ``spread`` is the larger of both
    profiles' median relative IQR there, None where neither states one.
    """

    operator: str
    tp: int = 1
    ep: int = 1
    layer_kind: int = 0
    points: int = 0
    only_before: int = 0
    only_after: int = 0
    median: float | None = None
    low: float | None = None
    high: float | None = None
    spread: float | None = None


class StoreDiff(Spec):
    """How profile ``after`` differs from profile ``before`` (ids); nothing listed means that they are equal."""

    before: str
    after: str
    kind: str
    fields: tuple[FieldChange, ...] = ()
    tables: tuple[TableChange, ...] = ()


def storable(document: Document) -> dict[str, Any]:
    """Return the data of ``document`` as a store keeps it: without unset fields and without credentials."""
    data: dict[str, Any] = without_credentials(plain(document))
    return data


def canonical(data: Any) -> str:
    """Return JSON-like ``data`` as the one text its id is taken from: sorted keys, no spaces, ASCII.

    Raises `ValueError` for NaN and infinities, which no document holds.
    """
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def content_id(document: Document | dict[str, Any]) -> str:
    """Return `sha256:…` of the content of ``document``: its id in every store, and its name in a plan's evidence."""
    data = storable(document) if isinstance(document, Document) else document
    return ID_PREFIX + hashlib.sha256(canonical(data).encode()).hexdigest()


def short_id(identity: str) -> str:
    """Return the first characters of an id, as tables show it."""
    return identity.removeprefix(ID_PREFIX)[:SHORT_ID]


def is_reference(text: str) -> bool:
    """Return whether ``text`` can be an id or its beginning (at least six hexadecimal digits)."""
    return _REFERENCE.fullmatch(text) is not None
