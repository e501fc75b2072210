"""What can go wrong between tonnage and its store, each as one message with a cure."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from specs.errors import InputError, MissingHardwareError, TonnageError
from specs.masking import mask_credentials

WHOLE = "What was stored before is whole."
Fault = tuple[type[TonnageError], str, str]

# Primary result codes of SQLite [std: sqlite.org/rescode.html].
SQLITE_FAULTS: dict[int, Fault] = {
    sqlite3.SQLITE_FULL: (MissingHardwareError, "the disk is full", f"Free space there and run it again. {WHOLE}"),
    sqlite3.SQLITE_BUSY: (
        MissingHardwareError,
        "another program keeps it locked",
        f"Wait until that has ended, or stop it, and run it again. {WHOLE}",
    ),
    sqlite3.SQLITE_READONLY: (
        MissingHardwareError,
        "the file or its folder is read-only",
        "Make both writable, or name another store with --store.",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        MissingHardwareError,
        "it cannot be opened or written there",
        "Check the folder and its permissions, or name another store with --store.",
    ),
    sqlite3.SQLITE_PERM: (
        MissingHardwareError,
        "permission denied",
        "Check its permissions, or name another store with --store.",
    ),
    sqlite3.SQLITE_IOERR: (
        MissingHardwareError,
        "the disk failed or a limit on file size was met",
        f"Check the disk, quotas and `ulimit -f`, and run it again. {WHOLE}",
    ),
    sqlite3.SQLITE_NOTADB: (InputError, "is not an SQLite database", "Name the file of a store."),
    sqlite3.SQLITE_CORRUPT: (
        InputError,
        "the file is damaged",
        "Move it aside; `sqlite3 FILE .recover` may save what it holds.",
    ),
}
# SQLSTATE classes of PostgreSQL [std: appendix A of its manual]; longest match first.
POSTGRESQL_FAULTS: dict[str, Fault] = {
    "53100": (MissingHardwareError, "the server's disk is full", f"Free space there and run it again. {WHOLE}"),
    "55P03": (MissingHardwareError, "another program keeps a table locked", f"Wait and run it again. {WHOLE}"),
    "57014": (MissingHardwareError, "the server took too long", f"Check its load and run it again. {WHOLE}"),
    "25006": (MissingHardwareError, "the server is read-only", "Name the primary, not a replica."),
    "42501": (MissingHardwareError, "permission denied", "Grant this user CREATE and the tables of the schema."),
    "28": (MissingHardwareError, "the server refused the user or the password", "Check both in the store's URL."),
    "3D": (MissingHardwareError, "there is no such database", "Create it, or correct the store's URL."),
    "22": (InputError, "the server refused a value", "Check the document's name and labels."),
}


@contextmanager
def told(name: str) -> Iterator[None]:
    """Raise what a database reports inside as one `TonnageError` that names the store by ``name``."""
    try:
        yield
    except SQLAlchemyError as error:
        raise _fault(error, name) from None


def _fault(error: SQLAlchemyError, name: str) -> TonnageError:
    original = error.orig if isinstance(error, DBAPIError) else None
    kind, what, cure = _sqlite(original) or _postgresql(original) or _other(error, original)
    return kind(f"store {name}: {what}", cure=cure)


def _sqlite(original: BaseException | None) -> Fault | None:
    code = getattr(original, "sqlite_errorcode", None)
    return None if code is None else SQLITE_FAULTS.get(code & 0xFF)  # the rest is the extended part


def _postgresql(original: BaseException | None) -> Fault | None:
    state = getattr(original, "sqlstate", None) or ""
    return next((POSTGRESQL_FAULTS[state[:n]] for n in (5, 2) if state[:n] in POSTGRESQL_FAULTS), None)


def _other(error: SQLAlchemyError, original: BaseException | None) -> Fault:
    text = mask_credentials(str(original or error)).strip().splitlines()
    cure = "Check that the store's URL is right and its database is there."
    return MissingHardwareError, (text[0].strip() if text else type(error).__name__), cure
