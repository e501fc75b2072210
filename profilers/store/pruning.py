"""What leaves a store: documents that are named, or old profiles that no plan rests on."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, delete, select

from profilers.store.faults import told
from profilers.store.opening import Store, writing
from profilers.store.reading import resolve
from profilers.store.tables import PLAN_PROFILES, PLANS, PROFILES
from specs.errors import InputError
from specs.stored import Pruned, short_id


def remove(store: Store, references: Sequence[str], dry_run: bool = False) -> Pruned:
    """Remove the profiles and plans whose ids begin with ``references``.

    Raises `InputError`, and removes nothing, where an id is not there or a plan that stays rests on a profile.
    """
    with writing(store) as connection:
        ids = [resolve(connection, store.name, reference) for reference in references]
        for profile, plan in _resting(connection, ids):
            if plan not in ids:
                cure = f"Name the plan too: tonnage store prune {short_id(profile)} {short_id(plan)}"
                raise InputError(f"plan {short_id(plan)} rests on profile {short_id(profile)}", cure=cure)
        if not dry_run:
            _delete(connection, ids)
    return _done(store, Pruned(store=store.name, removed=tuple(ids), dry_run=dry_run))


def prune(store: Store, days: float, keep: int, dry_run: bool = False) -> Pruned:
    """Remove profiles that came more than ``days`` ago, without the newest ``keep`` of each kind, name and subject.

    A profile that an indexed plan rests on stays.
    """
    limit = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days)
    with writing(store) as connection:
        old = _old(connection, limit.strftime("%Y-%m-%dT%H:%M:%SZ"), keep)
        held = {profile for profile, _ in _resting(connection, old)}
        ids = [identity for identity in old if identity not in held]
        if not dry_run:
            _delete(connection, ids)
    kept = tuple(identity for identity in old if identity in held)
    return _done(store, Pruned(store=store.name, removed=tuple(ids), kept_for_plans=kept, dry_run=dry_run))


def _old(connection: Connection, before: str, keep: int) -> list[str]:
    """Return ids oldest first; newest by arrival, because clocks step back."""
    columns = PROFILES.c
    query = select(columns.id, columns.kind, columns.name, columns.subject, columns.added)
    newer: dict[tuple[str, str, str], int] = {}
    old = []
    for identity, kind, name, subject, added in connection.execute(query.order_by(columns.number.desc())):
        seen = newer.setdefault((kind, name, subject), 0)
        newer[kind, name, subject] += 1
        if seen >= keep and added <= before:
            old.append(identity)
    return old[::-1]


def _resting(connection: Connection, profiles: Sequence[str]) -> list[tuple[str, str]]:
    """Return (profile, plan) for each indexed plan that rests on one of ``profiles``."""
    wanted = set(profiles)
    links = connection.execute(select(PLAN_PROFILES.c.profile_id, PLAN_PROFILES.c.plan_id))
    here = set(connection.execute(select(PROFILES.c.id)).scalars())
    return [(profile, plan) for profile, plan in links if profile in wanted & here]


def _delete(connection: Connection, ids: Iterable[str]) -> None:
    for identity in ids:
        connection.execute(delete(PROFILES).where(PROFILES.c.id == identity))
        connection.execute(delete(PLANS).where(PLANS.c.id == identity))


def _done(store: Store, pruned: Pruned) -> Pruned:
    """Give the space of what was removed back to the disk: SQLite keeps it otherwise."""
    if pruned.removed and not pruned.dry_run and store.engine.dialect.name == "sqlite":
        with told(store.name), store.engine.connect() as connection:
            connection.connection.execute("VACUUM")
    return pruned
