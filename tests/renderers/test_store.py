from __future__ import annotations

from rich.console import Console, RenderableType

from renderers.store import FIELDS_SHOWN, diff_table, pruned_text, store_table
from specs.stored import (
    FieldChange,
    Pruned,
    StoreDiff,
    StoredPlan,
    StoredProfile,
    StoredSeries,
    StoreListing,
    TableChange,
)

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def drawn(table: RenderableType) -> list[str]:
    console = Console(width=100, no_color=True)
    with console.capture() as capture:
        console.print(table)
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_an_empty_store_says_so() -> None:
    assert drawn(store_table(StoreListing(store="x.db"))) == ["store x.db", "nothing in it"]


def test_each_part_of_a_store_has_its_table() -> None:
    profile = StoredProfile(
        id=A, kind="HostProfile", name="node1", subject="EPYC", measured="2026-11-23", added="", size_bytes=3 * 2**20,
        plans=2,
    )  # fmt: skip
    listing = StoreListing(
        store="x.db",
        profiles=(profile,),
        plans=(StoredPlan(id=B, kind="ServingPlan", name="chat", outcome="optimal", added="", profiles=(A,)),),
        samples=(StoredSeries(series="GPU-1", samples=12_000, first_s=0.0, last_s=90.0),),
    )
    lines = drawn(store_table(listing))
    assert f"{'a' * 12} HostProfile node1 EPYC 2026-11-23 3.0 MiB 2" in lines
    assert f"{'b' * 12} ServingPlan chat optimal {'a' * 12}" in lines
    assert "GPU-1 12,000 1970-01-01T00:00:00Z 1970-01-01T00:01:30Z" in lines


def test_a_difference_shows_tables_then_fields() -> None:
    moved = TableChange(operator="moe", tp=2, ep=4, points=3, median=-0.05, low=-0.1, high=0.02, spread=0.01)
    alone = TableChange(operator="norm", layer_kind=1, only_before=2, only_after=1)
    fields = (
        FieldChange(field="spec.tflops", before=100.0, after=110.0, relative=0.1),
        FieldChange(field="spec.driver", before="550"),
    )
    lines = drawn(diff_table(StoreDiff(before=A, after=B, kind="LayerProfile", fields=fields, tables=(moved, alone))))
    assert lines[0] == f"LayerProfile {'a' * 12} → {'b' * 12}"
    assert "moe, ep 4 2 3 −5.0% −10.0% … +2.0% ± 1.0%" in lines
    assert "norm, kind 1 1 0 – – – 2 points gone, 1 points new" in lines
    assert "spec.tflops 100 110 +10.0%" in lines
    assert "spec.driver 550 –" in lines


def test_of_many_fields_the_rest_is_counted() -> None:
    fields = tuple(FieldChange(field=f"spec.f{n}", before=n, after=n + 1) for n in range(FIELDS_SHOWN + 5))
    lines = drawn(diff_table(StoreDiff(before=A, after=B, kind="HostProfile", fields=fields)))
    assert f"{FIELDS_SHOWN} of {FIELDS_SHOWN + 5} fields; -o json has all" in lines
    assert not any(line.startswith(f"spec.f{FIELDS_SHOWN} ") for line in lines)


def test_pruning_names_what_went_and_what_stays() -> None:
    text = pruned_text(Pruned(store="x.db", removed=(A,), kept_for_plans=(B,)))
    assert text == f"removed {'a' * 12}\nkept {'b' * 12}: a plan rests on it"
