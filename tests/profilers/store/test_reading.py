from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from profilers.store import Store, add_plan, add_profile, entry, find, load
from specs.errors import InputError
from specs.profile import LayerProfile
from specs.stored import short_id
from specs.writing import to_yaml
from tests.profilers.store.conftest import layer_profile, serving_plan


@pytest.mark.parametrize("form", [str, short_id, lambda identity: identity[:13]])
def test_a_profile_is_found_by_its_id_or_the_beginning_of_it(store: Store, path: Path, form: object) -> None:
    profile = layer_profile()
    reference = form(add_profile(store, profile))  # type: ignore[operator]
    assert find(reference, LayerProfile, store=str(path)) == profile


def test_a_path_is_read_relative_to_the_document_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "lab.yaml").write_text(to_yaml(layer_profile()))
    assert find("profiles/lab.yaml", LayerProfile, base=tmp_path) == layer_profile()


def test_a_file_goes_before_an_id(store: Store, path: Path, tmp_path: Path) -> None:
    identity = short_id(add_profile(store, layer_profile("in the store")))
    (tmp_path / identity).write_text(to_yaml(layer_profile("in a file")))
    assert find(identity, LayerProfile, base=tmp_path, store=str(path)).metadata.name == "in a file"


def test_what_is_neither_is_a_file_that_is_not_there(path: Path) -> None:
    with pytest.raises(InputError, match=r"lab\.yaml: no such file"):
        find("lab.yaml", LayerProfile, store=str(path))


def test_an_unknown_id_is_named(store: Store, path: Path) -> None:
    with pytest.raises(InputError, match="nothing has the id abcdef"):
        find("abcdef", LayerProfile, store=str(path))


def test_an_id_without_a_store_says_so(path: Path) -> None:
    with pytest.raises(InputError, match="there is none yet"):
        find("abcdef", LayerProfile, store=str(path))


def test_another_kind_is_named(store: Store, path: Path) -> None:
    identity = add_plan(store, serving_plan())
    with pytest.raises(InputError, match="is a ServingPlan, expected LayerProfile"):
        find(identity, LayerProfile, store=str(path))


def test_an_ambiguous_beginning_lists_the_ids(store: Store, path: Path) -> None:
    identity = add_profile(store, layer_profile())
    twin = identity[:20] + ("0" if identity[20] != "0" else "1") + identity[21:]
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO tonnage_plans (id, kind, name, outcome, added, document) VALUES (?, '', '', '', '', '')",
            [twin],
        )
    with pytest.raises(InputError, match="2 ids begin with"):
        load(store, identity[:16])
    assert load(store, identity[:24])[0] == identity


@pytest.mark.parametrize("reference", ["abc", "ABCDEF", "sha256:", "%", "______", "a" * 65])
def test_what_is_no_id_is_refused(store: Store, reference: str) -> None:
    add_profile(store, layer_profile())
    with pytest.raises(InputError, match="is no id"):
        load(store, reference)


def test_a_document_that_was_changed_behind_our_back_is_refused(store: Store, path: Path) -> None:
    identity = add_profile(store, layer_profile())
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE tonnage_profiles SET document = replace(document, '7.5', '7.4')")
    with pytest.raises(InputError, match="was changed after it was stored"):
        load(store, identity)


def test_a_stored_document_that_this_version_cannot_read_is_named(store: Store, path: Path) -> None:
    from profilers.store.adding import add_data
    from specs.base import plain

    data = plain(layer_profile())
    identity = add_data(store, data | {"spec": data["spec"] | {"of_another_version": 1}})
    with pytest.raises(InputError, match=rf"store .*{short_id(identity)}.*of_another_version: unknown field"):
        find(identity, LayerProfile, store=str(path))


def test_an_entry_is_what_the_listing_says(store: Store) -> None:
    identity = add_profile(store, layer_profile())
    assert entry(store, identity).name == "lab"
    with pytest.raises(InputError, match="nothing has the id"):
        entry(store, "sha256:" + "0" * 64)
