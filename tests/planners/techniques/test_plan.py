"""Every technique has a row or a reason, ratios are those of the figures, and what loses accuracy is not chosen."""

from __future__ import annotations

from pathlib import Path

import pytest

from planners.techniques import plan
from planners.techniques.deployed import read_deployed
from planners.techniques.planning import ROWS, choose, reason, smallest_change
from specs.errors import InputError
from specs.techniques import Technique, TechniquesPlan
from tests.planners.brownout.documents import deployment, experts, workload

CALM = "{rate_per_s: 5, duration_s: 60}"
SLO = "{attainment: 0.9, request: {ttft_s: 1.0}, ttft_s: {p90: 0.5}, itl_s: {p90: 0.018}}"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> TechniquesPlan:
    folder = tmp_path_factory.mktemp("techniques")
    asked, served = workload(folder, arrivals=CALM, slo=SLO), deployment(folder)
    return plan(asked, served, experts=experts(folder))


def rows_of(found: TechniquesPlan) -> dict[str, Technique]:
    assert found.why is not None
    return {one.name: one for one in found.why.compared}


def test_every_technique_has_a_row_or_a_reason(found: TechniquesPlan) -> None:
    rows = rows_of(found)
    named = {"module copies", "layer services", "as deployed", *ROWS} - {"modules"}
    assert set(rows) == named
    assert all(one.why for one in rows.values())
    assert not rows["batching"].applies
    assert "only one is at hand" in rows["placement"].why


def test_brownout_gains_load_and_names_its_price(found: TechniquesPlan) -> None:
    row = rows_of(found)["brownout"]
    assert row.applies
    assert row.load_ratio is not None
    assert row.load_ratio > 1.0
    assert row.accuracy_loss_pct
    assert row.extra_memory_gib


def test_cost_is_gpus_over_the_load_that_they_hold(found: TechniquesPlan) -> None:
    rows = rows_of(found)
    base = rows["as deployed"]
    assert base.load is not None
    assert base.gpus == pytest.approx(1 / base.load, rel=1e-3)
    for one in rows.values():
        if one.cost_ratio is not None and one.gpus is not None and base.gpus is not None:
            assert one.cost_ratio == pytest.approx(one.gpus / base.gpus, rel=2e-3)


def test_what_loses_accuracy_is_not_chosen_for_its_cost(found: TechniquesPlan) -> None:
    assert found.decision is not None
    assert found.decision.technique != "brownout"
    assert "brownout would do with" in found.status.reason


def test_the_largest_load_holds_and_a_little_more_does_not(tmp_path: Path) -> None:
    asked, served = workload(tmp_path, arrivals=CALM, slo=SLO), deployment(tmp_path)
    first = read_deployed(asked, served, seed=0, store=None)
    more = f"{{rate_per_s: {5 * first.load * 1.1:.4f}, duration_s: {60 / first.load / 1.1:.4f}}}"
    again = read_deployed(workload(tmp_path, arrivals=more, slo=SLO), served, seed=0, store=None)
    assert first.holds
    assert first.fewest_replicas == 1
    assert again.load < 1.15


def test_a_dense_model_has_no_brownout(tmp_path: Path) -> None:
    asked = workload(tmp_path, arrivals="{rate_per_s: 2, duration_s: 30}", model="llama-3.1-8b", slo=SLO)
    rows = rows_of(plan(asked, deployment(tmp_path, model="llama-3.1-8b")))
    assert not rows["brownout"].applies
    assert "dense" in rows["brownout"].why


def test_a_closed_loop_is_refused(tmp_path: Path) -> None:
    asked = workload(tmp_path, arrivals="{concurrency: 4, prompts: 20}", slo=SLO)
    with pytest.raises(InputError, match="closed loop"):
        plan(asked, deployment(tmp_path))


def row(name: str, gpus: float | None, *, holds: bool = True, loss: float = 0.0, load: float = 1.0) -> Technique:
    return Technique(
        name=name, applies=True, why="a test", holds=holds, gpus=gpus, load=load, cost_ratio=gpus,
        accuracy_loss_pct=loss,
    )  # fmt: skip


def test_the_choice_is_the_cheapest_that_holds_and_keeps_accuracy() -> None:
    base, cheap, lossy = row("as deployed", 1.0), row("a", 0.8), row("b", 0.4, loss=2.0)
    broken = row("c", 0.1, holds=False, load=3.0)
    assert choose((base, cheap, lossy, broken)) is cheap
    assert choose((base, row("a", 0.99), lossy)) is base
    assert choose((row("as deployed", 1.0, holds=False), lossy)) is lossy
    assert choose((broken,)) is None
    assert smallest_change((base, broken)) == "3.00 × this load holds, with c"
    assert "b would do with 0.4 GPUs at 2.00 % of accuracy" in reason((base, cheap, lossy), cheap)
