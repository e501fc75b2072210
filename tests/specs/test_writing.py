"""Files are whole or not there, and what is written is read back equal."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from specs.cluster import Cluster
from specs.errors import InputError
from specs.parsing import parse_documents
from specs.reading import read_document
from specs.writing import data_to_yaml, make_folder, to_yaml, write_atomically

CLUSTER = Cluster.model_validate(
    {
        "metadata": {"name": "x"},
        "spec": {
            "pools": [
                {
                    "name": "a", "device": "h100-sxm", "nodes": 2, "gpus_per_node": 8, "taken_gpus": [1, 2],
                    "usd_per_gpu_hour": {"value": 2.5, "source": "our contract: 1", "date": "2026-11-01"},
                }
            ]
        },
    }
)  # fmt: skip
JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc_", min_size=1), inner, max_size=4),
    max_leaves=20,
)


def test_what_is_written_is_read_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    write_atomically(path, to_yaml(CLUSTER))
    assert read_document(path, Cluster) == CLUSTER


@example({"_": "\x85"})
@given(st.dictionaries(st.text("abc_", min_size=1), JSON_LIKE, min_size=1, max_size=4))
def test_any_data_survives_the_way_through_yaml(data: dict[str, Any]) -> None:
    text = data_to_yaml(data)
    assert yaml.safe_load(text) == data
    assert parse_documents(text, "f")[0][0] == data


def test_an_existing_file_is_not_replaced_without_force(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("old")
    with pytest.raises(InputError, match=r"exists already\n  .*--force"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    write_atomically(path, "new", force=True)
    assert path.read_text() == "new"


@pytest.mark.parametrize("stage", ["fsync", "replace"])
def test_an_interrupt_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("old")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, stage, interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new", force=True)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_and_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left on device"):
        write_atomically(path, "new", force=True)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written: No such file or directory"):
        write_atomically(tmp_path / "nowhere" / "plan.yaml", "new")


def test_a_folder_is_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a directory"):
        write_atomically(tmp_path, "new", force=True)


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "plans" / "real.yaml", tmp_path / "link.yaml"
    target.parent.mkdir()
    target.write_text("old")
    link.symlink_to(target)
    write_atomically(link, "new", force=True)
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("old")
    path.chmod(0o600)
    write_atomically(path, "new", force=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_in_the_way_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="cannot be made a folder"):
        make_folder(tmp_path / "taken" / "below")
