"""A full disk, a lock, a read-only folder, a kill: one message each, and nothing that was stored is lost."""

from __future__ import annotations

import os
import random
import resource
import select
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event

from profilers.store import Store, add_profile, add_sample, listing, load, open_store
from profilers.store.adding import add_data
from specs.base import plain
from specs.errors import MissingHardwareError
from tests.profilers.store.conftest import layer_profile
from tests.profilers.store.processes import become_nobody, drain, kill, outcome, start

LONG = "x" * 200_000
BIG = tuple(float(i) for i in range(20_000))


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that other users can enter, as those of pytest cannot be."""
    folder = Path(tempfile.mkdtemp(prefix="tonnage-store-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def whole(store: Store, identity: str) -> None:
    """Assert that the store is sound and holds exactly this one profile."""
    with closing(sqlite3.connect(store.name)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert [one.id for one in listing(store).profiles] == [identity]
    assert load(store, identity)[0] == identity


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 300 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder))
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here (needs root)")
    yield folder
    subprocess.run(("umount", "-l", str(folder)), check=True)


def test_a_small_disk_that_fills_up_is_one_message_and_loses_nothing(small_disk: Path) -> None:
    store = open_store(str(small_disk / "store.db"))
    identity = add_profile(store, layer_profile())
    for _ in range(2):
        with pytest.raises(MissingHardwareError, match="the disk is full"):
            add_profile(store, layer_profile("big", BIG))
        whole(store, identity)
    remaining = os.statvfs(small_disk)
    (small_disk / "filler").write_bytes(bytes(remaining.f_bavail * remaining.f_bsize))
    for work in (lambda: add_sample(store, "gpu", {}), lambda: open_store(str(small_disk / "new.db"))):
        with pytest.raises(MissingHardwareError, match="the disk is full"):
            work()
    whole(store, identity)


def test_a_full_disk_is_one_message_and_loses_nothing(store: Store) -> None:
    identity = add_profile(store, layer_profile())
    pages = os.path.getsize(store.name) // 4096 + 4
    full = open_store(store.name)
    event.listen(full.engine, "connect", lambda connection, _: connection.execute(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(MissingHardwareError, match=r"store .*store\.db: the disk is full\n.*What was stored before"):
        add_profile(full, layer_profile("big", BIG))
    whole(store, identity)


def test_a_limit_on_the_size_of_files_is_one_message_and_loses_nothing(store: Store) -> None:
    identity = add_profile(store, layer_profile())
    limit = os.path.getsize(store.name) + 8192
    big = layer_profile("big", BIG)
    found = outcome(lambda: add_profile(store, big), lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert isinstance(found, MissingHardwareError)
    assert "the disk failed or a limit on file size was met" in str(found)
    whole(store, identity)


def test_a_lock_that_another_program_keeps_ends_in_one_message(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = add_profile(open_store(str(path)), layer_profile())
    monkeypatch.setattr("profilers.store.opening.WAIT_S", 0.1)
    store = open_store(str(path))
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(MissingHardwareError, match="another program keeps it locked"):
        add_sample(store, "gpu", {})
    with pytest.raises(MissingHardwareError, match="another program keeps it locked"):
        open_store(str(path))
    holder.close()
    whole(store, identity)


def test_a_read_only_folder_can_be_read_and_says_so_when_written(shared_folder: Path) -> None:
    store = open_store(str(shared_folder / "store.db"))
    identity = add_profile(store, layer_profile())
    shared_folder.chmod(0o555)
    (shared_folder / "store.db").chmod(0o444)
    assert outcome(lambda: load(open_store(store.name), identity)[0], become_nobody) == identity
    found = outcome(lambda: add_sample(open_store(store.name), "gpu", {}), become_nobody)
    assert isinstance(found, MissingHardwareError)
    assert "read-only" in str(found)
    whole(store, identity)


def test_a_folder_where_nothing_can_be_made_says_so(shared_folder: Path) -> None:
    shared_folder.chmod(0o555)
    for place in ("store.db", "new/store.db"):
        found = outcome(lambda place=place: open_store(str(shared_folder / place)), become_nobody)  # type: ignore[misc]
        assert isinstance(found, MissingHardwareError)
        assert str(shared_folder) in str(found)
    assert list(shared_folder.iterdir()) == []


def test_a_folder_that_cannot_be_entered_says_so(shared_folder: Path) -> None:
    (shared_folder / "closed").mkdir(mode=0o700)
    found = outcome(lambda: open_store(str(shared_folder / "closed" / "store.db"), create=False), become_nobody)
    assert isinstance(found, MissingHardwareError)
    assert "Permission denied" in str(found)


def _keep_adding(path: Path, worker: int, pipe: int) -> None:
    """Add profiles of 50 pages until killed, and name each once it is committed."""
    store = open_store(str(path))
    profile = plain(layer_profile())
    for number in range(100_000):
        identity = add_data(store, profile | {"metadata": {"name": f"{worker}-{number}", "labels": {"long": LONG}}})
        add_sample(store, f"gpu{worker}", {"number": number}, keep=5)
        os.write(pipe, f"{identity}\n".encode())


def test_kills_at_any_moment_lose_nothing_that_was_committed(path: Path) -> None:
    """Each round kills three writers: first while they make the store, later at some moment after a commit."""
    draw = random.Random(4)
    committed: set[str] = set()
    for round_ in range(16):
        writers = [start(lambda pipe, w=10 * round_ + n: _keep_adding(path, w, pipe)) for n in range(3)]  # type: ignore[misc]
        if round_ >= 4:
            assert select.select([reader for _, reader in writers], [], [], 60.0)[0]
        time.sleep(draw.uniform(0.0, 0.05))
        for process, _ in writers:
            kill(process)
        now = {line for _, reader in writers for line in drain(reader).decode().split()}
        store = open_store(str(path))
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert all(load(store, identity)[0] == identity for identity in now)
        committed |= now
    assert len(committed) >= 12
    assert committed <= {one.id for one in listing(store).profiles}


def test_several_writers_at_once_all_get_through(path: Path) -> None:
    open_store(str(path))

    def write(worker: int, pipe: int) -> None:
        for number in range(15):
            os.write(pipe, (add_profile(open_store(str(path)), layer_profile(f"{worker}-{number}")) + "\n").encode())

    writers = [start(lambda pipe, w=worker: write(w, pipe)) for worker in range(4)]  # type: ignore[misc]
    said = [drain(reader).decode().split() for _, reader in writers]
    assert [os.waitpid(process, 0)[1] for process, _ in writers] == [0, 0, 0, 0]
    assert [len(ids) for ids in said] == [15, 15, 15, 15]
    assert {one.id for one in listing(open_store(str(path))).profiles} == {identity for ids in said for identity in ids}
