from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profilers.store import Store, add_plan, add_profile, export_to, import_from, listing, load, open_store
from specs.errors import InputError
from specs.kinds import PLAN_KINDS, PROFILE_KINDS, stored_kind
from specs.writing import to_yaml
from tests.profilers.store.conftest import layer_profile, serving_plan


def test_an_exported_store_is_imported_whole(store: Store, tmp_path: Path) -> None:
    profile = add_profile(store, layer_profile("a / b: ü", date="2026-11-23"))
    plan = add_plan(store, serving_plan("chat", profile))
    paths = export_to(store, tmp_path / "out")
    assert sorted(path.name.rpartition("-")[0] for path in paths) == ["LayerProfile-a-b", "ServingPlan-chat"]
    copy = open_store(str(tmp_path / "copy.db"))
    assert sorted(import_from(copy, [tmp_path / "out"])) == sorted([profile, plan])
    assert load(copy, profile) == load(store, profile)
    assert listing(copy).plans[0].profiles == (profile,)


@settings(max_examples=15, deadline=None)
@given(
    st.text(min_size=1, max_size=20).filter(lambda text: "\x00" not in text and text.isprintable()),
    st.lists(st.floats(0, 1e12), min_size=1, max_size=5),
)
def test_a_document_keeps_its_id_on_the_way(
    tmp_path_factory: pytest.TempPathFactory, name: str, latency_us: list[float]
) -> None:
    folder = tmp_path_factory.mktemp("moving")
    store = open_store(str(folder / "store.db"))
    identity = add_profile(store, layer_profile(name, tuple(latency_us)))
    assert import_from(store, export_to(store, folder / "out")) == [identity]
    assert len(listing(store).profiles) == 1


def test_a_second_export_leaves_the_files_that_are_there(store: Store, tmp_path: Path) -> None:
    add_profile(store, layer_profile())
    (path,) = export_to(store, tmp_path)
    before = path.stat()
    assert export_to(store, tmp_path) == [path]
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_documents_can_be_exported_by_id(store: Store, tmp_path: Path) -> None:
    wanted, _ = (add_profile(store, layer_profile(name)) for name in ("a", "b"))
    assert len(export_to(store, tmp_path / "out", [wanted[:20]])) == 1
    with pytest.raises(InputError, match="nothing has the id ffffff"):
        export_to(store, tmp_path / "out", ["ffffff"])


def test_both_tell_how_far_they_are(store: Store, tmp_path: Path) -> None:
    said: list[tuple[float, float, str]] = []
    for name in ("a", "b"):
        add_profile(store, layer_profile(name))
    export_to(store, tmp_path / "out", on_progress=lambda *progress: said.append(progress))
    import_from(store, [tmp_path / "out"], on_progress=lambda *progress: said.append(progress))
    assert [(done, total) for done, total, _ in said] == [(1, 2), (2, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty; a profile or a plan was expected"),
        ("kind: LayrProfile", r"x\.yaml:1: kind 'LayrProfile' is not kept.*did you mean 'LayerProfile'"),
        ("apiVersion: tonnage/v1\nkind: Workload", r"x\.yaml:2: kind 'Workload' is not kept in a store"),
        (
            "apiVersion: tonnage/v1\nkind: LayerProfile\nmetadata: {name: x}\nspec: {}",
            r"x\.yaml:4: spec\.model: missing",
        ),
    ],
)
def test_what_a_store_does_not_keep_is_named(store: Store, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(InputError, match=words):
        import_from(store, [tmp_path / "x.yaml"])
    assert listing(store).profiles == ()


def test_documents_before_a_bad_file_are_in_the_store(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(to_yaml(layer_profile()))
    (tmp_path / "b.yaml").write_text("kind: [")
    with pytest.raises(InputError, match=r"b\.yaml:2: not valid YAML"):
        import_from(store, [tmp_path])
    assert len(listing(store).profiles) == 1


def test_a_folder_without_documents_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file in this folder ends in \.yaml"):
        import_from(store, [tmp_path])


def test_credentials_in_a_file_do_not_come_in(store: Store, tmp_path: Path, path: Path) -> None:
    profile = layer_profile(command="x")
    (tmp_path / "a.yaml").write_text(to_yaml(profile).replace("command: x", "command: 'tonnage --token hush'"))
    import_from(store, [tmp_path / "a.yaml"])
    assert b"hush" not in path.read_bytes()


@pytest.mark.parametrize("name", [*PROFILE_KINDS, *PLAN_KINDS])
def test_every_kind_of_the_table_has_its_model(name: str) -> None:
    assert stored_kind(name).model_fields["kind"].default == name
