from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profilers.store import Store, add_plan, add_profile, listing, open_store, prune, remove
from specs.errors import InputError
from tests.profilers.store.conftest import layer_profile, serving_plan


def ids(store: Store) -> list[str]:
    found = listing(store)
    return [one.id for one in found.profiles] + [one.id for one in found.plans]


def add_aged(store: Store, names: str) -> list[str]:
    """Add a profile of each name, the last one today, each of the others a day before the next."""
    found = [add_profile(store, layer_profile(name, (1.0 + n,))) for n, name in enumerate(names)]
    with sqlite3.connect(store.name) as connection:
        for age, identity in enumerate(reversed(found)):
            moment = f"strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-{age} days', '-1 minute')"
            connection.execute(f"UPDATE tonnage_profiles SET added = {moment} WHERE id = ?", [identity])
    return found


@settings(max_examples=20, deadline=None)
@given(names=st.text("ab", max_size=8), days=st.integers(0, 8), keep=st.integers(0, 3), held=st.integers(0, 7))
def test_old_profiles_go_and_the_newest_and_those_of_plans_stay(
    tmp_path_factory: pytest.TempPathFactory, names: str, days: int, keep: int, held: int
) -> None:
    store = open_store(str(tmp_path_factory.mktemp("pruning") / "store.db"))
    added = add_aged(store, names)
    plans = [add_plan(store, serving_plan("chat", added[held]))] if held < len(added) else []
    newer = [names[n + 1 :].count(name) for n, name in enumerate(names)]
    old = {one for n, one in enumerate(added) if newer[n] >= keep and len(added) - 1 - n >= days}
    rested = set(added[held : held + 1])
    would = prune(store, days, keep, dry_run=True)
    assert ids(store) == added + plans
    done = prune(store, days, keep)
    assert set(would.removed) == set(done.removed) == old - rested
    assert set(done.kept_for_plans) == old & rested
    assert ids(store) == [one for one in added if one not in done.removed] + plans


def test_space_goes_back_to_the_disk(store: Store) -> None:
    before = os.path.getsize(store.name)
    identity = add_profile(store, layer_profile("big", tuple(float(i) for i in range(20_000))))
    grown = os.path.getsize(store.name)
    remove(store, [identity])
    assert grown - before > 300_000
    assert os.path.getsize(store.name) - before < 20_000


def test_a_named_document_goes(store: Store) -> None:
    kept, gone = (add_profile(store, layer_profile(name)) for name in ("a", "b"))
    assert remove(store, [gone[:20]], dry_run=True).removed == (gone,)
    assert ids(store) == [kept, gone]
    assert remove(store, [gone[:20]]).removed == (gone,)
    assert ids(store) == [kept]


def test_a_profile_of_a_plan_goes_only_with_the_plan(store: Store) -> None:
    profile = add_profile(store, layer_profile())
    plan = add_plan(store, serving_plan("chat", profile))
    with pytest.raises(InputError, match=f"plan {plan[7:19]} rests on profile {profile[7:19]}"):
        remove(store, [profile])
    assert ids(store) == [profile, plan]
    remove(store, [profile, plan])
    assert ids(store) == []
    with sqlite3.connect(store.name) as connection:
        assert connection.execute("SELECT count(*) FROM tonnage_plan_profiles").fetchone() == (0,)


def test_an_id_that_is_not_there_removes_nothing(store: Store) -> None:
    profile = add_profile(store, layer_profile())
    with pytest.raises(InputError, match="nothing has the id ffffff"):
        remove(store, [profile, "ffffff"])
    assert ids(store) == [profile]


def test_a_plan_may_go_and_its_profile_stays(store: Store, path: Path) -> None:
    profile = add_profile(store, layer_profile())
    remove(store, [add_plan(store, serving_plan("chat", profile))])
    assert ids(store) == [profile]
    assert listing(store).profiles[0].plans == 0
