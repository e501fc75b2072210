"""A host is profiled end to end: read, measured for a moment, kept, shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from profilers.anchors import repeats
from profilers.host import profile
from profilers.host.profile import loaded_clocks, profile_host
from profilers.host.reading import read_host
from profilers.store import listing, open_store
from specs.host import HostProfile, Unknown
from specs.reading import read_document
from tests.profilers.host.conftest import Tree, two_sockets


@pytest.fixture(autouse=True)
def for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure over small arrays, as few blocks as there must be, and without torch."""
    monkeypatch.setattr(repeats, "REPEATS_PER_BLOCK", 2)
    monkeypatch.setattr(profile, "BUDGET_S", 0.0)
    monkeypatch.setattr(profile, "LOAD_S", 0.02)
    monkeypatch.setattr(profile, "array_mib", lambda caches, free: 2.0)
    monkeypatch.setattr(profile, "load_torch", lambda: None)


def test_every_anchor_is_there_once_per_number_of_threads() -> None:
    spec = profile_host(lambda done, total, what: None).spec
    threads = {one.threads for one in spec.bandwidth}
    assert {(one.operation, one.threads) for one in spec.bandwidth} == {
        (operation, count) for operation in ("read", "copy", "triad") for count in threads
    }
    assert {one.threads for one in spec.compute} == threads
    assert 1 in threads
    assert all(one.gb_per_s > 0 and one.noise.repeats == 6 for one in spec.bandwidth)
    assert spec.disturbance is not None
    assert "torch is not installed" in spec.unknown["compute.bf16"]
    assert spec.machine.command == "tonnage profile host"


def test_without_a_known_blas_there_are_no_products_and_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "loaded_library", lambda: None)
    spec = profile_host(lambda done, total, what: None).spec
    assert spec.compute == ()
    assert "no BLAS" in spec.unknown["compute.fp32"]
    assert spec.bandwidth


def test_clocks_under_load_are_read_where_a_driver_tells_them(tree: Tree) -> None:
    root = tree(two_sockets())
    unknown: Unknown = {}
    clocks = loaded_clocks(read_host(root, {}).frequency, root, [0, 1], unknown)
    assert (clocks.idle_mhz, clocks.one_core_mhz, clocks.all_cores_mhz) == (3050, 3000, 3050)
    assert unknown == {}


def test_the_command_writes_stores_and_shows_the_profile(tmp_path: Path) -> None:
    file, store = tmp_path / "host.yaml", tmp_path / "store.db"
    arguments = ["profile", "host", "-w", str(file), "--store", str(store), "-o", "table"]
    result = CliRunner().invoke(app, arguments, prog_name="tonnage", env={"COLUMNS": "100"})
    assert result.exit_code == 0, result.output
    found = read_document(file, HostProfile)
    assert found.metadata.name in result.output
    assert "matrices fp32" in result.output
    assert [entry.name for entry in listing(open_store(str(store))).profiles] == [found.metadata.name]
