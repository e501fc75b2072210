from __future__ import annotations

import multiprocessing
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from profilers.store import add_profile, listing, load, open_store
from profilers.store.opening import default_path, parse_url, upgrade, writing
from profilers.store.tables import METADATA, SCHEMAS, VERSION_TABLE
from specs.errors import InputError, MissingHardwareError
from tests.profilers.store.conftest import layer_profile


def test_the_default_store_is_in_the_users_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_path() == tmp_path / "tonnage" / "store.db"
    assert open_store().name == str(tmp_path / "tonnage" / "store.db")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert default_path() == Path.home() / ".local" / "share" / "tonnage" / "store.db"


def test_a_file_and_its_url_are_the_same_store(path: Path) -> None:
    identity = add_profile(open_store(str(path)), layer_profile())
    assert load(open_store(f"sqlite:///{path}"), identity)[0] == identity


@pytest.mark.parametrize("url", ["postgresql://me:hush@db/x", "postgres://me:hush@db/x?sslmode=require"])
def test_both_spellings_of_postgresql_take_the_one_driver(url: str) -> None:
    assert parse_url(url).drivername == "postgresql+psycopg"


@pytest.mark.parametrize("url", ["mysql://me:hush@db/x", "sqlite://", "sqlite:///:memory:", "http://me:hush@x", "://"])
def test_another_url_is_refused_without_repeating_its_password(url: str) -> None:
    with pytest.raises(InputError) as caught:
        open_store(url)
    assert "hush" not in str(caught.value)
    assert "sqlite:///FILE" in str(caught.value)


def test_a_reader_does_not_make_a_store(path: Path) -> None:
    with pytest.raises(InputError, match="there is none yet"):
        open_store(str(path), create=False)
    assert not path.exists()


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no regular file"):
        open_store(str(tmp_path))


def test_a_file_of_another_format_is_refused_and_left_as_it_is(path: Path) -> None:
    path.write_text("kind: LayerProfile\n" * 200)
    with pytest.raises(InputError, match="is not an SQLite database"):
        open_store(str(path))
    assert path.read_text() == "kind: LayerProfile\n" * 200


def test_a_database_of_another_program_is_refused_and_left_as_it_is(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")
    before = path.read_bytes()
    with pytest.raises(InputError, match="no store of tonnage"):
        open_store(str(path))
    assert path.read_bytes() == before


def test_a_damaged_file_is_named(path: Path) -> None:
    store = open_store(str(path))
    for number in range(40):
        add_profile(store, layer_profile(f"{number}"))
    content = bytearray(path.read_bytes())
    content[4096:] = b"\x5a" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"store .*store.db: the file is damaged"):
        listing(open_store(str(path)))


def test_a_store_of_a_newer_schema_is_refused_and_left_as_it_is(path: Path) -> None:
    open_store(str(path))
    with sqlite3.connect(path) as later:
        later.execute(f"UPDATE {VERSION_TABLE} SET version_num = '0099'")
    before = path.read_bytes()
    with pytest.raises(
        InputError, match=rf"a newer tonnage wrote it \(schema 0099, this one knows up to {SCHEMAS[-1]}"
    ):
        open_store(str(path))
    assert path.read_bytes() == before


def test_an_older_store_is_brought_up_to_date_with_all_it_holds(path: Path) -> None:
    profile = layer_profile()
    old = open_store(str(path))
    identity = add_profile(old, profile)
    with sqlite3.connect(path) as back:  # as revision 0001 left it
        back.execute("DROP TABLE tonnage_samples")
        back.execute(f"UPDATE {VERSION_TABLE} SET version_num = '0001'")
    new = open_store(str(path), create=False)
    assert load(new, identity)[0] == identity
    assert listing(new).samples == ()


def test_the_revisions_make_the_tables_that_the_code_uses(path: Path) -> None:
    open_store(str(path))
    with create_engine(f"sqlite:///{path}").connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert context.get_current_revision() == SCHEMAS[-1]
        assert compare_metadata(context, METADATA) == []


@pytest.mark.parametrize("revision", SCHEMAS)
def test_every_revision_can_be_reached(path: Path, revision: str) -> None:
    from profilers.store.opening import Store, _engine

    store = Store(_engine(parse_url(str(path))), "a test")
    with writing(store) as connection:
        upgrade(connection, revision)
        assert connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar() == revision


def test_an_empty_file_left_by_a_kill_becomes_a_store(path: Path) -> None:
    path.touch()
    assert listing(open_store(str(path), create=False)).profiles == ()


def _open(path: str) -> str:
    return add_profile(open_store(path), layer_profile())


def test_several_processes_may_open_a_new_store_at_once(path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        ids = pool.map(_open, [str(path)] * 8, chunksize=1)
    assert len(set(ids)) == 1
    assert [one.id for one in listing(open_store(str(path))).profiles] == ids[:1]


def test_without_the_driver_postgresql_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("profilers.store.opening.find_spec", lambda name: None)
    with pytest.raises(MissingHardwareError, match=r"postgresql://me:\*\*\*@db/x.*\n.*tonnage\[postgres\]"):
        open_store("postgresql://me:hush@db/x")
