"""How profiles, plans and samples come into a store: each call is one transaction, and nothing is ever changed."""

from __future__ import annotations

import datetime
import json
import re
import time
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Table, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from profilers.store.opening import Store, writing
from profilers.store.tables import PLAN_PROFILES, PLANS, PROFILES, SAMPLES
from specs.base import Document
from specs.kinds import PLAN_KINDS, PROFILE_KINDS
from specs.plan import PlanDocument
from specs.stored import ID_PREFIX, canonical, content_id, storable

MAX_SAMPLES = 100_000
"""Samples of one series that are kept: a day of one per second; the oldest go first."""

_ID = re.compile(rf"{ID_PREFIX}[0-9a-f]{{64}}")
_SUBJECT = ("model", "device", "engine", "url")


def add_profile(store: Store, profile: Document) -> str:
    """Put ``profile`` into the store, where it stays as it is, and return its id; one that is there already is left.

    Passwords and tokens in its text are masked first (`specs.masking`).
    """
    return add_data(store, storable(profile))


def add_plan(store: Store, plan: PlanDocument, profiles: Iterable[str] = ()) -> str:
    """Put ``plan`` into the index with the ids of the profiles it rests on, and return its own id.

    ``profiles``: ids beside those that its evidence and its inputs name.
    """
    return add_data(store, storable(plan), profiles)


def add_data(store: Store, data: dict[str, Any], profiles: Iterable[str] = ()) -> str:
    """Put the data of a valid profile or plan into the store as it is and return its id.

    Raises `ValueError` for data that is neither a profile nor a plan.
    """
    kind, identity = data["kind"], content_id(data)
    document = json.dumps(data, separators=(",", ":"), allow_nan=False)  # in the order of its fields, for the reader
    with writing(store) as connection:
        if kind in PLAN_KINDS or kind.endswith("Plan"):
            _insert(connection, PLANS, _plan_row(data, identity, document))
            for profile in sorted({*profiles, *_rests_on(connection, data)}):
                _insert(connection, PLAN_PROFILES, {"plan_id": identity, "profile_id": profile})
        elif kind in PROFILE_KINDS or kind.endswith("Profile"):
            _insert(connection, PROFILES, _profile_row(data, identity, document))
        else:
            raise ValueError(f"{kind} is neither a profile nor a plan")
    return identity


def add_sample(
    store: Store, series: str, figures: dict[str, Any], *, at_s: float | None = None, keep: int = MAX_SAMPLES
) -> None:
    """Add one sample of ``series`` taken at ``at_s`` (seconds since 1970, else now); keep its newest ``keep``."""
    add_samples(store, [(series, time.time() if at_s is None else at_s, figures)], keep=keep)


def add_samples(store: Store, samples: Iterable[tuple[str, float, dict[str, Any]]], *, keep: int = MAX_SAMPLES) -> None:
    """Add samples (series, seconds since 1970, figures) in one transaction; keep the newest ``keep`` of each series.

    Newest by arrival, because clocks step back.
    """
    rows = [{"series": name, "at_s": at_s, "figures": canonical(figures)} for name, at_s, figures in samples]
    if not rows:
        return
    with writing(store) as connection:
        connection.execute(SAMPLES.insert(), rows)
        for series in sorted({str(row["series"]) for row in rows}):
            _trim(connection, series, keep)


def _trim(connection: Connection, series: str, keep: int) -> None:
    of_series = SAMPLES.c.series == series
    oldest = select(SAMPLES.c.number).where(of_series).order_by(SAMPLES.c.number.desc()).offset(keep).limit(1)
    number = connection.execute(oldest).scalar()
    if number is not None:
        connection.execute(delete(SAMPLES).where(of_series, SAMPLES.c.number <= number))


def _insert(connection: Connection, table: Table, row: dict[str, Any]) -> None:
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    connection.execute(make(table).values(row).on_conflict_do_nothing())


def _profile_row(data: dict[str, Any], identity: str, document: str) -> dict[str, Any]:
    spec = _part(data, "spec")
    machine = _part(spec, "machine")
    return {
        "id": identity,
        "kind": data["kind"],
        "name": data["metadata"]["name"],
        "subject": _subject(spec),
        "measured": machine.get("date") or data["metadata"].get("created"),
        "machine": machine.get("hostname_sha") or machine.get("gpu"),
        "added": _now(),
        "size_bytes": len(document),
        "document": document,
    }


def _part(data: dict[str, Any], name: str) -> dict[str, Any]:
    part = data.get(name)
    return part if isinstance(part, dict) else {}


def _plan_row(data: dict[str, Any], identity: str, document: str) -> dict[str, Any]:
    return {
        "id": identity, "kind": data["kind"], "name": data["metadata"]["name"],
        "outcome": data["status"]["outcome"], "created": data["metadata"].get("created"), "added": _now(),
        "document": document,
    }  # fmt: skip


def _subject(spec: dict[str, Any]) -> str:
    """Return what was measured, in the words of the fields that profiles have for it."""
    cpu = spec["cpu"].get("model") if isinstance(spec.get("cpu"), dict) else None
    named = [*(spec.get(field) for field in _SUBJECT), cpu]
    return ", ".join(name for name in named if isinstance(name, str))


def _rests_on(connection: Connection, plan: dict[str, Any]) -> set[str]:
    """Return the ids of profiles that a plan's evidence names, and those inputs of it that are profiles here."""
    named = {entry["profile"] for entry in plan.get("evidence", ()) if _is_id(entry.get("profile"))}
    inputs = [value for value in plan["metadata"].get("inputs", {}).values() if _is_id(value)]
    here = connection.execute(select(PROFILES.c.id).where(PROFILES.c.id.in_(inputs))).scalars()
    return named | set(here)


def _is_id(text: object) -> bool:
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
