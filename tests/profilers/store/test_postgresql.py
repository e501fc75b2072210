"""The store on a real PostgreSQL server, started for these tests as a user of its own."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from profilers.store import (
    add_plan,
    add_profile,
    add_samples,
    export_to,
    find,
    import_from,
    listing,
    load,
    open_store,
    plans_on,
    prune,
    remove,
    samples_of,
)
from profilers.store.opening import writing
from profilers.store.tables import SCHEMAS, VERSION_TABLE
from specs.errors import InputError, MissingHardwareError
from specs.profile import LayerProfile
from tests.profilers.store.conftest import layer_profile, serving_plan
from tests.profilers.store.processes import kill, start

PASSWORD = "hush hush"
OWNER = "postgres"  # the server refuses to run as root
pytestmark = pytest.mark.extras


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int

    def url(self, database: str = "tonnage", password: str = "hush%20hush") -> str:
        return f"postgresql://tonnage:{password}@127.0.0.1:{self.port}/{database}"


def binary(name: str) -> str:
    found = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))]
    path = found[-1] if found else shutil.which(name)
    if path is None:
        pytest.skip(f"PostgreSQL's {name} is not installed (Debian: apt install postgresql)")
    return path


def as_owner() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    try:
        pwd.getpwnam(OWNER)
    except KeyError:
        pytest.skip(f"there is no user {OWNER}, and root may not run PostgreSQL")
    return {"user": OWNER, "group": pwd.getpwnam(OWNER).pw_gid, "extra_groups": []}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("the extra postgres (psycopg) is not installed")
    owner, initdb, pg_ctl = as_owner(), binary("initdb"), binary("pg_ctl")
    folder = Path(tempfile.mkdtemp(prefix="tonnage-pg-"))
    if owner:
        shutil.chown(folder, OWNER)

    def run(*command: str) -> None:
        quiet: dict[str, Any] = {"capture_output": True, "stdin": subprocess.DEVNULL}
        subprocess.run(command, cwd=folder, check=True, timeout=60, **quiet, **owner)

    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    data = str(folder / "data")
    run(initdb, "-D", data, "-U", "tonnage", "-A", "scram-sha-256", f"--pwfile={folder}/password", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
    run(pg_ctl, "-D", data, "-w", "-t", "30", "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield Server(port)
    finally:
        run(pg_ctl, "-D", data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture
def url(server: Server) -> str:
    """A new, empty database for each test."""
    import psycopg

    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS one WITH (FORCE)")
        connection.execute("CREATE DATABASE one")
    return server.url("one")


def test_a_profile_a_plan_and_samples_go_in_and_come_out(url: str, tmp_path: Path) -> None:
    store = open_store(url)
    profile = add_profile(store, layer_profile())
    assert add_profile(store, layer_profile()) == profile
    plan = add_plan(store, serving_plan("chat", profile))
    add_samples(store, [("gpu0", float(n), {"watts": n}) for n in range(7)], keep=3)
    assert find(profile[:16], LayerProfile, store=url) == layer_profile()
    assert [one.id for one in plans_on(store, profile)] == [plan]
    assert [at_s for at_s, _ in samples_of(store, "gpu0")] == [4.0, 5.0, 6.0]
    found = listing(open_store(url, create=False))
    assert [one.plans for one in found.profiles] == [1]
    assert [one.samples for one in found.samples] == [3]
    lite = open_store(str(tmp_path / "store.db"))
    assert sorted(import_from(lite, export_to(store, tmp_path / "out"))) == sorted([profile, plan])
    assert load(lite, profile) == load(store, profile)


def test_old_profiles_go(url: str) -> None:
    store = open_store(url)
    old, new = (add_profile(store, layer_profile(latency_us=(value,))) for value in (1.0, 2.0))
    assert prune(store, 0, 1).removed == (old,)
    remove(store, [new])
    assert listing(store).profiles == ()


def test_the_store_lives_beside_the_tables_of_others(url: str) -> None:
    import psycopg

    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num text)")
        connection.execute("INSERT INTO alembic_version VALUES ('of another program')")
    add_profile(open_store(url), layer_profile())
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("of another program",)]


def test_several_processes_may_open_a_new_store_and_write_at_once(url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        ids = list(pool.map(lambda n: add_profile(open_store(url), layer_profile(f"{n // 2}")), range(12)))
    assert {one.id for one in listing(open_store(url)).profiles} == set(ids)
    assert len(set(ids)) == 6


def test_a_writer_that_is_killed_leaves_what_was_committed(url: str) -> None:
    def write(pipe: int) -> None:
        store = open_store(url)
        for number in range(100_000):
            os.write(pipe, (add_profile(store, layer_profile(f"{number}")) + "\n").encode())

    process, reader = start(write)
    with os.fdopen(reader) as pipe:
        said = [pipe.readline().strip() for _ in range(5)]
        kill(process)
        said += [line.strip() for line in pipe]
    store = open_store(url)
    stored = {one.id for one in listing(store).profiles}
    assert set(said) <= stored
    assert all(load(store, identity)[0] == identity for identity in stored)


def test_an_older_store_is_brought_up_to_date_and_a_newer_one_refused(url: str) -> None:
    identity = add_profile(open_store(url), layer_profile())
    with writing(open_store(url)) as connection:
        connection.execute(text("DROP TABLE tonnage_samples"))
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0001'"))
    assert load(open_store(url), identity)[0] == identity
    with writing(open_store(url)) as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0099'"))
    with pytest.raises(InputError, match=rf"schema 0099, this one knows up to {SCHEMAS[-1]}") as caught:
        open_store(url)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda server: server.url(password="wr0ng"), "password authentication failed"),
        (lambda server: server.url("nowhere"), 'database "nowhere" does not exist'),
        (lambda server: server.url().replace(str(server.port), "1"), "refused"),
    ],
)
def test_a_server_that_lets_nobody_in_is_one_message_without_the_password(
    server: Server, change: Callable[[Server], str], words: str
) -> None:
    with pytest.raises(MissingHardwareError, match=words) as caught:
        open_store(change(server))
    assert "postgresql://tonnage:***@127.0.0.1" in str(caught.value)
    assert "hush" not in str(caught.value)
    assert "wr0ng" not in str(caught.value)


def test_a_server_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("the extra postgres (psycopg) is not installed")
    monkeypatch.setattr("profilers.store.opening.CONNECT_S", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(MissingHardwareError, match="timeout"):
            open_store(f"postgresql://tonnage:hush@127.0.0.1:{port}/x")


def test_the_password_may_come_from_the_environment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert open_store(url.replace(":hush%20hush", "")).name == url.replace(":hush%20hush", "")


def test_a_table_that_another_program_locks_ends_in_one_message(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import psycopg

    open_store(url)
    monkeypatch.setattr("profilers.store.opening.WAIT_S", 1.0)
    with psycopg.connect(url) as holder:
        holder.execute("LOCK TABLE tonnage_profiles")
        with pytest.raises(MissingHardwareError, match="another program keeps a table locked"):
            add_profile(open_store(url), layer_profile())
    assert add_profile(open_store(url), layer_profile())


def test_a_server_that_only_reads_says_so(url: str) -> None:
    open_store(url)
    store = open_store(url + "?options=-c%20default_transaction_read_only%3Don")
    with pytest.raises(MissingHardwareError, match="the server is read-only"):
        add_profile(store, layer_profile())


def test_a_user_without_rights_is_told(url: str) -> None:
    import psycopg

    with psycopg.connect(url) as connection:
        connection.execute("DROP ROLE IF EXISTS guest")
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")
    with pytest.raises(MissingHardwareError, match="permission denied"):
        open_store(url.replace("tonnage:hush%20hush", "guest:guest"))
