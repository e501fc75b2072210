"""How a store is opened: where it is, its schema brought up to date, every wait with a limit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from profilers.store.faults import told
from profilers.store.tables import SCHEMAS, VERSION_TABLE
from specs.errors import InputError, MissingHardwareError
from specs.masking import MASK

WAIT_S = 15.0  # for a lock that another writer holds
CONNECT_S = 10
STATEMENT_S = 60
# A server whose machine is gone is noticed within a minute [std: libpq's connection parameters].
KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
UPGRADE_LOCK = 0x746F6E  # PostgreSQL advisory lock, any number that is ours
FORMS = "Give a file, sqlite:///FILE, or postgresql://USER@HOST/DATABASE."


@dataclass(frozen=True)
class Store:
    """An open store; ``name`` is its URL without credentials. Nothing is held open between two uses."""

    engine: Engine
    name: str


def default_path() -> Path:
    """Return the file of the default store, in the user's data folder [std: XDG base directories]."""
    folder = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(folder).expanduser() / "tonnage" / "store.db"


def open_store(url: str | None = None, *, create: bool = True) -> Store:
    """Open the store at ``url`` (a file or a database URL; the default store where None) with its schema up to date.

    ``create`` makes an SQLite store that is not there yet. Raises `InputError` for a URL of another form, a file that
    is no store, a store of a newer schema, or one that is not there; `MissingHardwareError` where a server, a driver,
    a permission or disk space is missing.
    """
    place = parse_url(url)
    if place.drivername == "sqlite":
        _check_file(Path(place.database or ""), create=create)
    store = Store(_engine(place), _masked(place))
    with told(store.name):
        _bring_up_to_date(store)
    return store


def store_of(url: str | None) -> Store | None:
    """Open the store at ``url``, or the default one; None where that is not there. Raises as `open_store` does."""
    try:
        return open_store(url, create=False)
    except InputError:
        if url is not None:
            raise
        return None


def parse_url(url: str | None) -> URL:
    """Return the database URL that ``url`` stands for; raises `InputError` that does not repeat what it was given."""
    if url is None or "://" not in url:
        return URL.create("sqlite", database=str(Path(url).expanduser() if url else default_path()))
    try:
        place = make_url(url)
    except (ArgumentError, ValueError):
        raise InputError("the store's URL cannot be understood", cure=FORMS) from None
    if place.drivername == "sqlite" and place.database not in (None, "", ":memory:"):
        return place
    if place.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return place.set(drivername="postgresql+psycopg")
    raise InputError(f"a store cannot be kept in {place.drivername!r} there", cure=FORMS)


@contextmanager
def reading(store: Store) -> Iterator[Connection]:
    """Give a connection whose transaction sees one state of the store; raises as `told` says."""
    with told(store.name), store.engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(store: Store) -> Iterator[Connection]:
    """Give a connection whose transaction is committed at the end, wholly or not at all; raises as `told` says."""
    with told(store.name), _locked(store.engine) as connection:
        yield connection


@contextmanager
def _locked(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        connection = connection.execution_options(tonnage_writes=True)
        with connection.begin():
            yield connection


def _check_file(path: Path, *, create: bool) -> None:
    try:
        if path.is_file():
            return
        if path.exists():
            raise InputError(f"store {path}: is no regular file", cure="Name the file of a store.")
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
            return
    except OSError as error:
        cure = "Name another store with --store or TONNAGE_STORE."
        raise MissingHardwareError(f"store {path}: cannot be reached: {error.strerror}", cure=cure) from None
    cure = "`tonnage store import` or the first stored profile makes it; --store or TONNAGE_STORE names another."
    raise InputError(f"store {path}: there is none yet", cure=cure)


def _engine(place: URL) -> Engine:
    if place.drivername == "sqlite":
        engine = create_engine(place, poolclass=NullPool, connect_args={"timeout": WAIT_S})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if find_spec("psycopg") is None:
        raise MissingHardwareError(
            f"store {_masked(place)}: the PostgreSQL driver is not installed",
            cure="Install it: pip install 'tonnage[postgres]'.",
        )
    limits = f"-c lock_timeout={int(WAIT_S)}s -c statement_timeout={STATEMENT_S}s"
    arguments = {"connect_timeout": CONNECT_S, "options": limits, "application_name": "tonnage"} | KEEPALIVE
    given = {name: value for name, value in arguments.items() if name not in place.query}
    return create_engine(place, poolclass=NullPool, connect_args=given)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Leave transactions to SQLAlchemy, and survive the loss of power: the journal's removal is synced too.

    A rollback journal, not a write-ahead log: it works on network folders and lets a read-only folder be read.
    """
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = EXTRA")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("tonnage_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _bring_up_to_date(store: Store) -> None:
    with store.engine.connect() as connection, connection.begin():
        found = _schema(connection, store.name)
    if found == SCHEMAS[-1]:
        return
    with _locked(store.engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
        if _schema(connection, store.name) != SCHEMAS[-1]:  # another process may have been faster
            upgrade(connection, SCHEMAS[-1])


def _schema(connection: Connection, name: str) -> str | None:
    """Return the revision of the store's schema, None where it has none yet; refuses what is no store or newer."""
    tables = inspect(connection).get_table_names()
    if VERSION_TABLE not in tables:
        if tables and connection.dialect.name == "sqlite":
            raise InputError(f"store {name}: a database, but no store of tonnage", cure="Name the file of a store.")
        return None
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    if found is not None and found not in SCHEMAS:
        raise InputError(
            f"store {name}: a newer tonnage wrote it (schema {found}, this one knows up to {SCHEMAS[-1]})",
            cure="Upgrade tonnage, or name another store with --store. Nothing was changed.",
        )
    return None if found is None else str(found)


def upgrade(connection: Connection, revision: str) -> None:
    """Bring the schema on ``connection`` to ``revision`` inside its transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    folder = Path(__file__).with_name("migrations")
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes.update(connection=connection, version_table=VERSION_TABLE)
    command.upgrade(config, revision)


def _masked(place: URL) -> str:
    if place.drivername == "sqlite":
        return str(place.database)
    hidden = {name: MASK for name in place.query if "pass" in name}
    return place.set(drivername="postgresql").update_query_dict(hidden).render_as_string(hide_password=True)
