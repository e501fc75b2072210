"""What is in a store: its listing, one document by id, the plans that rest on a profile, samples of a series."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Select, func, select, union_all

from profilers.store.files import read_stored
from profilers.store.opening import Store, open_store, reading
from profilers.store.tables import PLAN_PROFILES, PLANS, PROFILES, SAMPLES
from specs.base import Document
from specs.errors import InputError
from specs.reading import read_document, validate
from specs.stored import (
    ID_PREFIX,
    StoredPlan,
    StoredProfile,
    StoredSeries,
    StoreListing,
    content_id,
    is_reference,
    short_id,
)

AMBIGUOUS_SHOWN = 5
LIST = "`tonnage store list` shows the ids."
D = TypeVar("D", bound=Document)


def find(reference: str, kind: type[D], *, base: Path = Path(), store: str | None = None) -> D:
    """Return the document of ``kind`` that ``reference`` names: a file, relative to ``base``, or an id in a store.

    A file of that name goes first. ``store``: URL of the store, the default one where None. Raises `InputError` for a
    reference that is neither, an id that is not there or is the beginning of several, or a document of another kind.
    """
    path = base / reference
    if path.exists() or not is_reference(reference):
        return read_document(path, kind)
    opened = open_store(store, create=False)
    identity, data = load(opened, reference)
    wanted = kind.model_fields["kind"].default
    if data["kind"] != wanted:
        cure = f"Name a {wanted}; `tonnage store list` shows them."
        raise InputError(f"store {opened.name}: {short_id(identity)} is a {data['kind']}, expected {wanted}", cure=cure)
    return validate(data, kind, Path(f"store {opened.name}, {short_id(identity)}"), {(): 1})


def load(store: Store, reference: str) -> tuple[str, dict[str, Any]]:
    """Return id and data of the profile or plan whose id begins with ``reference``.

    Raises `InputError` where there is none, where several begin so, or where the text is not what its id was made of.
    """
    with reading(store) as connection:
        identity = resolve(connection, store.name, reference)
        text = connection.execute(_document(identity)).scalar_one()
    data: dict[str, Any] = json.loads(text)
    if content_id(data) != identity:
        cure = "Import it again from a copy, or remove it with `tonnage store prune`."
        raise InputError(f"store {store.name}: {short_id(identity)} was changed after it was stored", cure=cure)
    return identity, data


def resolve(connection: Connection, name: str, reference: str) -> str:
    """Return the one id that begins with ``reference`` in the store called ``name``; raises `InputError`."""
    if not is_reference(reference):
        raise InputError(f"{reference!r} is no id: six or more of 0-9 and a-f were expected", cure=LIST)
    start = ID_PREFIX + reference.removeprefix(ID_PREFIX)
    ids = union_all(*(select(table.c.id).where(table.c.id.startswith(start)) for table in (PROFILES, PLANS)))
    found = sorted(connection.execute(ids).scalars())
    if not found:
        raise InputError(f"store {name}: nothing has the id {reference}", cure=LIST)
    if len(found) > 1:
        shown = ", ".join(short_id(identity) for identity in found[:AMBIGUOUS_SHOWN])
        raise InputError(f"store {name}: {len(found)} ids begin with {reference}: {shown}", cure="Give more of the id.")
    return str(found[0])


def read_either(reference: str, store: str | None = None) -> tuple[str, dict[str, Any]]:
    """Return id and data of the profile or plan that ``reference`` names: a file, or an id in the store at a URL."""
    path = Path(reference)
    if not path.exists() and is_reference(reference):
        return load(open_store(store, create=False), reference)
    documents = read_stored(path)
    if len(documents) > 1:
        raise InputError(f"{path}: holds {len(documents)} documents", cure="Keep one per file.")
    return content_id(documents[0]), documents[0]


def entry(store: Store, identity: str) -> StoredProfile | StoredPlan:
    """Return what the store's listing says of the document with id ``identity``; raises `InputError`."""
    found = listing(store)
    documents: tuple[StoredProfile | StoredPlan, ...] = (*found.profiles, *found.plans)
    for one in documents:
        if one.id == identity:
            return one
    raise InputError(f"store {store.name}: nothing has the id {short_id(identity)}", cure=LIST)


def listing(store: Store, kind: str | None = None) -> StoreListing:
    """Return every profile, plan and series of samples, oldest first; only documents of ``kind`` where given."""
    with reading(store) as connection:
        return StoreListing(
            store=store.name,
            profiles=tuple(_profile(row) for row in connection.execute(_of_kind(_profiles(), kind, PROFILES))),
            plans=tuple(_plans(connection, kind)),
            samples=tuple(_series(connection)) if kind is None else (),
        )


def plans_on(store: Store, profile: str) -> tuple[StoredPlan, ...]:
    """Return the indexed plans that rest on the profile with id ``profile``, oldest first."""
    return tuple(plan for plan in listing(store).plans if profile in plan.profiles)


def samples_of(store: Store, series: str) -> list[tuple[float, dict[str, Any]]]:
    """Return (seconds since 1970, figures) of each sample of ``series`` that is kept, in order of arrival."""
    rows = select(SAMPLES.c.at_s, SAMPLES.c.figures).where(SAMPLES.c.series == series).order_by(SAMPLES.c.number)
    with reading(store) as connection:
        return [(at_s, json.loads(figures)) for at_s, figures in connection.execute(rows)]


def _document(identity: str) -> Any:
    return union_all(*(select(table.c.document).where(table.c.id == identity) for table in (PROFILES, PLANS)))


def _profiles() -> Select[Any]:
    plans = select(func.count()).where(PLAN_PROFILES.c.profile_id == PROFILES.c.id).scalar_subquery()
    columns = [column for column in PROFILES.c if column.name not in ("number", "document")]
    return select(*columns, plans.label("plans")).order_by(PROFILES.c.number)


def _of_kind(query: Select[Any], kind: str | None, table: Any) -> Select[Any]:
    return query.where(table.c.kind == kind) if kind is not None else query


def _profile(row: Row[Any]) -> StoredProfile:
    return StoredProfile.model_validate(dict(row._mapping))


def _plans(connection: Connection, kind: str | None) -> list[StoredPlan]:
    links: dict[str, list[str]] = {}
    for plan, profile in connection.execute(
        select(PLAN_PROFILES.c.plan_id, PLAN_PROFILES.c.profile_id).order_by(PLAN_PROFILES.c.profile_id)
    ):
        links.setdefault(plan, []).append(profile)
    columns = [column for column in PLANS.c if column.name not in ("number", "document")]
    rows = connection.execute(_of_kind(select(*columns).order_by(PLANS.c.number), kind, PLANS))
    return [StoredPlan(**row._mapping, profiles=tuple(links.get(row.id, ()))) for row in rows]


def _series(connection: Connection) -> list[StoredSeries]:
    query = select(
        SAMPLES.c.series,
        func.count().label("samples"),
        func.min(SAMPLES.c.at_s).label("first_s"),
        func.max(SAMPLES.c.at_s).label("last_s"),
    )
    rows = connection.execute(query.group_by(SAMPLES.c.series).order_by(SAMPLES.c.series))
    return [StoredSeries(**row._mapping) for row in rows]
