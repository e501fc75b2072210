"""The commands of the store, from a file to a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import Result

from specs.writing import to_yaml
from tests.cli.test_bad_input import one_message
from tests.planners.serving.test_engine_profile import engine_profile
from tests.profilers.store.conftest import layer_profile, serving_plan

Tonnage = Callable[..., Result]


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("TONNAGE_STORE", raising=False)
    return tmp_path / "data"


@pytest.fixture
def profile(folder: Path, tonnage: Tonnage) -> str:
    """The id of an imported profile."""
    (folder / "profile.yaml").write_text(to_yaml(layer_profile(date="2026-11-23")))
    return tonnage("store", "import", "profile.yaml").stdout.strip()


def test_before_the_first_profile_there_is_no_store(tonnage: Tonnage, data_folder: Path) -> None:
    one_message(tonnage("store", "list"), str(data_folder / "tonnage" / "store.db"), "there is none yet")
    assert not data_folder.exists()


def test_an_imported_profile_is_listed_shown_and_written(tonnage: Tonnage, profile: str) -> None:
    listed = json.loads(tonnage("store", "list", "-o", "json").stdout)
    assert [one["id"] for one in listed["profiles"]] == [profile]
    assert tonnage("store", "show", profile[7:17]).stdout == Path("profile.yaml").read_text()
    assert tonnage("store", "show", profile, "-w", "copy.yaml").output == "wrote copy.yaml\n"
    assert Path("copy.yaml").read_text() == Path("profile.yaml").read_text()
    one_message(tonnage("store", "show", profile, "-w", "copy.yaml"), "copy.yaml: exists already")


PLAN = ("plan", "serving", "workload.yaml", "--cluster", "cluster.yaml")


@pytest.mark.parametrize("named", ["file", "id"])
def test_a_plan_is_indexed_with_the_profiles_it_rests_on(tonnage: Tonnage, folder: Path, named: str) -> None:
    file = engine_profile(folder).name
    profile = tonnage("store", "import", file).stdout.strip()
    reference = profile[7:17] if named == "id" else file
    result = tonnage(*PLAN, "--profile", reference, "-w", "plan.yaml")
    assert result.exit_code == 0, result.stderr
    assert "resting on 1 profiles" in result.stderr
    (plan,) = json.loads(tonnage("store", "list", "-o", "json").stdout)["plans"]
    assert (plan["kind"], plan["profiles"]) == ("ServingPlan", [profile])
    shown = yaml.safe_load(tonnage("store", "show", plan["id"], "-o", "yaml").stdout)
    assert shown == yaml.safe_load(Path("plan.yaml").read_text())


def test_a_plan_without_profiles_is_indexed_where_a_store_is_named(tonnage: Tonnage, data_folder: Path) -> None:
    assert tonnage(*PLAN, "-w", "one.yaml").exit_code == 0
    assert not data_folder.exists()
    assert tonnage(*PLAN, "--store", "named.db", "-w", "two.yaml").exit_code == 0
    (plan,) = json.loads(tonnage("store", "list", "--store", "named.db", "-o", "json").stdout)["plans"]
    assert plan["profiles"] == []


def test_a_plan_that_decided_nothing_is_not_indexed(tonnage: Tonnage) -> None:
    assert tonnage(*PLAN, "--store", "named.db", "--require", "measured").exit_code == 4
    assert json.loads(tonnage("store", "list", "--store", "named.db", "-o", "json").stdout)["plans"] == []


def test_tables_say_the_same_within_100_columns(tonnage: Tonnage, profile: str) -> None:
    Path("plan.yaml").write_text(to_yaml(serving_plan("chat", profile)))
    plan = tonnage("store", "import", "plan.yaml").stdout.strip()
    listed = tonnage("store", "list", "-o", "table").stdout
    assert [line.split()[0] for line in listed.splitlines() if "chat" in line or "lab" in line] == [
        profile[7:19], plan[7:19],
    ]  # fmt: skip
    shown = tonnage("store", "show", profile, "-o", "table").stdout
    assert f"plan      {plan[7:19]} chat (optimal) rests on it" in shown
    assert f"rests on  profile {profile[7:19]}" in tonnage("store", "show", plan, "-o", "table").stdout
    for text in (listed, shown):
        assert max(map(len, text.splitlines())) <= 100


def test_the_store_is_named_by_flag_or_variable(
    tonnage: Tonnage, profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tonnage("store", "import", "profile.yaml", "--store", "other.db")
    assert Path("other.db").exists()
    monkeypatch.setenv("TONNAGE_STORE", "third.db")
    one_message(tonnage("store", "list"), "third.db")
    assert yaml.safe_load(tonnage("store", "list", "--store", "other.db").stdout)["store"] == "other.db"


def test_two_profiles_are_compared_by_id_or_file(tonnage: Tonnage, profile: str) -> None:
    Path("later.yaml").write_text(to_yaml(layer_profile("lab", (5.5, 8.25), date="2026-11-24")))
    (table,) = json.loads(tonnage("store", "diff", profile, "later.yaml", "-o", "json").stdout)["tables"]
    assert table["median"] == pytest.approx(0.1)
    shown = tonnage("store", "diff", "profile.yaml", "later.yaml", "-o", "table").stdout
    assert "o_proj" in shown
    assert "+10.0%" in shown
    assert "spec.machine.date" in shown
    assert "no difference" in tonnage("store", "diff", profile, "profile.yaml", "-o", "table").stdout


def test_an_exported_store_can_be_imported_elsewhere(tonnage: Tonnage, profile: str) -> None:
    assert tonnage("store", "export", "out").output == "1 documents in out\n"
    assert tonnage("store", "import", "out", "--store", "other.db").stdout.strip() == profile


def test_pruning_says_what_it_would_do_and_does_it(tonnage: Tonnage, profile: str) -> None:
    arguments = ("store", "prune", "--days", "0", "--keep", "0", "-o", "table")
    assert tonnage(*arguments, "--dry-run").stdout == f"would remove {profile[7:19]}\n"
    assert tonnage(*arguments).stdout == f"removed {profile[7:19]}\n"
    assert tonnage(*arguments).stdout == "nothing to remove\n"


def test_a_profile_of_a_plan_stays(tonnage: Tonnage, profile: str) -> None:
    Path("plan.yaml").write_text(to_yaml(serving_plan("chat", profile)))
    tonnage("store", "import", "plan.yaml")
    kept = tonnage("store", "prune", "--days", "0", "--keep", "0", "-o", "table").stdout
    assert kept == f"nothing to remove\nkept {profile[7:19]}: a plan rests on it\n"
    one_message(tonnage("store", "prune", profile), "rests on profile", "Name the plan too")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "abc"), ("'abc' is no id",)),
        (("show", "abcdef"), ("nothing has the id abcdef",)),
        (("diff", "abcdef", "profile.yaml"), ("nothing has the id abcdef",)),
        (("diff", "nowhere.yaml", "profile.yaml"), ("nowhere.yaml: no such file",)),
        (("import", "workload.yaml"), ("workload.yaml:2: kind 'Workload' is not kept in a store",)),
        (("export", "profile.yaml"), ("profile.yaml: cannot be made a folder",)),
        (("list", "--store", "mysql://me:hush@db/x"), ("a store cannot be kept in 'mysql'",)),
        (("list", "--store", "profile.yaml"), ("profile.yaml: is not an SQLite database",)),
    ],
)
def test_wrong_input_is_one_message(
    tonnage: Tonnage, profile: str, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    result = tonnage("store", *arguments)
    one_message(result, *words)
    assert "hush" not in result.output


def test_a_server_that_is_not_there_leaves_with_4(tonnage: Tonnage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("profilers.store.opening.find_spec", lambda name: None)
    result = tonnage("store", "list", "--store", "postgresql://me:hush@db/x")
    one_message(result, "postgresql://me:***@db/x", "tonnage[postgres]", exit_code=4)
