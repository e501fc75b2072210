from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profilers.store import Store, add_plan, add_profile, add_sample, add_samples, listing, load, plans_on, samples_of
from specs.base import Metadata
from specs.check import CheckReport
from specs.profile import LayerProfile
from specs.stored import canonical, content_id, storable
from tests.profilers.store.conftest import layer_profile, serving_plan

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
    max_leaves=8,
)


def test_what_comes_out_is_what_went_in(store: Store) -> None:
    profile = layer_profile(date="2026-11-23")
    identity, data = load(store, add_profile(store, profile))
    assert LayerProfile.model_validate(data) == profile
    assert identity == content_id(profile)


def test_a_profile_that_is_there_already_is_left(store: Store) -> None:
    assert add_profile(store, layer_profile()) == add_profile(store, layer_profile())
    assert len(listing(store).profiles) == 1


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_the_id_depends_on_content_and_not_on_the_order_of_fields(data: dict[str, object]) -> None:
    turned = dict(reversed(data.items()))
    assert content_id(data) == content_id(turned)
    assert content_id(data | {"one more": 1}) != content_id(data) or data.get("one more") == 1


def test_a_number_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        canonical({"value": float("nan")})


def test_the_listing_says_what_was_measured_when_and_where(store: Store) -> None:
    add_profile(store, layer_profile(date="2026-11-23", hostname_sha="ab12"))
    (one,) = listing(store).profiles
    assert (one.kind, one.name, one.subject) == ("LayerProfile", "lab", "llama-3.1-8b, h100-sxm, vllm")
    assert (one.measured, one.machine, one.plans) == ("2026-11-23", "ab12", 0)


def test_a_listing_can_be_of_one_kind(store: Store) -> None:
    add_profile(store, layer_profile())
    add_plan(store, serving_plan())
    assert [one.kind for one in listing(store, "ServingPlan").plans] == ["ServingPlan"]
    assert listing(store, "ServingPlan").profiles == ()
    assert listing(store, "HostProfile").profiles == ()


def test_credentials_of_a_command_are_not_stored(store: Store, path: Path) -> None:
    profile = layer_profile(command="tonnage profile layers --store postgresql://me:hush@db/x --api-key s3cr3t")
    identity, data = load(store, add_profile(store, profile))
    assert data["spec"]["machine"]["command"].endswith("postgresql://me:***@db/x --api-key ***")
    assert identity == content_id(profile) == content_id(storable(profile))
    assert b"hush" not in path.read_bytes()


def test_the_index_knows_the_profiles_of_a_plan(store: Store) -> None:
    used, by_file, unused = (add_profile(store, layer_profile(name)) for name in ("a", "b", "c"))
    elsewhere = "sha256:" + "ab" * 32
    plan = serving_plan("chat", used, elsewhere, inputs={"profile.yaml": by_file, "chat.csv": "sha256:" + "cd" * 32})
    identity = add_plan(store, plan)
    (found,) = listing(store).plans
    assert (found.id, found.outcome) == (identity, "optimal")
    assert set(found.profiles) == {used, by_file, elsewhere}
    assert [one.id for one in plans_on(store, used)] == [identity]
    assert plans_on(store, unused) == ()
    assert [one.plans for one in listing(store).profiles] == [1, 1, 0]


def test_profiles_can_be_named_beside_the_plan(store: Store) -> None:
    profile = add_profile(store, layer_profile())
    add_plan(store, serving_plan(), [profile])
    add_plan(store, serving_plan(), [profile])
    assert [one.profiles for one in listing(store).plans] == [(profile,)]


def test_what_is_neither_profile_nor_plan_is_refused(store: Store) -> None:
    report = CheckReport(metadata=Metadata(name="x"), subject="plan", verdict="held", measured_by="a test", requests=1)
    with pytest.raises(ValueError, match="CheckReport is neither"):
        add_profile(store, report)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_of_samples_the_newest_by_arrival_are_kept(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    from profilers.store import open_store

    store = open_store(str(tmp_path_factory.mktemp("samples") / "store.db"))
    keep = data.draw(st.integers(1, 5))
    batches = data.draw(st.lists(st.lists(st.sampled_from(["gpu0", "gpu1"]), max_size=6), max_size=4))
    expected: dict[str, list[float]] = {"gpu0": [], "gpu1": []}
    clock = 100.0
    for batch in batches:
        rows = []
        for series in batch:
            clock -= 1.0  # a clock that steps back changes nothing
            expected[series].append(clock)
            rows.append((series, clock, {"watts": clock}))
        add_samples(store, rows, keep=keep)
    for series, moments in expected.items():
        assert samples_of(store, series) == [(at_s, {"watts": at_s}) for at_s in moments[-keep:]]


def test_one_sample_is_listed(store: Store) -> None:
    add_sample(store, "GPU-1", {"watts": 300.5}, at_s=10.0)
    add_sample(store, "GPU-1", {"watts": 301.5}, at_s=11.0)
    (series,) = listing(store).samples
    assert (series.series, series.samples, series.first_s, series.last_s) == ("GPU-1", 2, 10.0, 11.0)
