"""Modules, services and instances on the same load: what is counted, what is promised, and what is admitted."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from planners.modules import plan
from planners.modules.cocoserve import climb, refuse_slow_copies
from planners.modules.cocoserve import ways as copies
from planners.modules.instances import ways as instances
from planners.modules.judging import judge
from planners.modules.layouts import at_home, changed, kv_tokens, surface_of, sustained, weight_of
from planners.modules.pressure import figures
from planners.modules.question import GIB, Question, read_question
from planners.modules.services import allocations, spans
from planners.modules.services import ways as services
from predictors.deployment import compile_deployment
from predictors.step_time.slices import decode_s, prefill_s
from specs.base import plain
from specs.errors import InfeasibleError, InputError
from specs.modules import ModulesPlan

DEPLOYMENT = """apiVersion: tonnage/v1
kind: Deployment
metadata: {name: llama-13b}
spec: {model: llama-2-13b, device: a100-40gb, replicas: 1}
"""
CLUSTER = """apiVersion: tonnage/v1
kind: Cluster
metadata: {name: four}
spec:
  network_gbps: 100
  pools:
    - {name: a100, device: a100-40gb, nodes: 1, gpus_per_node: 4, taken_gpus: 2, idle_gib: [20, 14], taken_busy: 0.3,
       usd_per_gpu_hour: {value: 1.0, source: test, date: 2026-11-01}}
"""
WORKLOAD = """apiVersion: tonnage/v1
kind: Workload
metadata: {name: chat}
spec:
  model: llama-2-13b
  arrivals: {rate_per_s: RATE, duration_s: 200}
  lengths: {prompt_tokens: {uniform: [100, 400]}, output_tokens: {uniform: [50, 200]}}
  slo: {attainment: 0.99, request: {ttft_s: 3.0, tpot_s: 0.08}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deployment.yaml").write_text(DEPLOYMENT)
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    (tmp_path / "workload.yaml").write_text(WORKLOAD.replace("RATE", "8"))
    return tmp_path


def paths(folder: Path) -> tuple[Path, Path, Path]:
    return folder / "deployment.yaml", folder / "cluster.yaml", folder / "workload.yaml"


def question(folder: Path, horizon_s: float = 600.0, groups: int = 4, hop_ms: float = 0.05) -> Question:
    return read_question(
        *paths(folder), horizon_s=horizon_s, step=2.0, groups=groups, hop_ms=hop_ms, confidence=0.8, seed=0
    )


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_an_instance_without_copies_is_the_deployment_as_it_is_predicted(folder: Path) -> None:
    asked = question(folder)
    layout = at_home(asked, asked.units[:1], ())
    compiled = compile_deployment(asked.model, asked.device, asked.deployment)
    ours, theirs = surface_of(asked, layout), compiled.pools[0].surface
    assert decode_s(ours, 16, 300) == pytest.approx(decode_s(theirs, 16, 300), rel=0.01)
    assert prefill_s(ours, 300, 4) == pytest.approx(prefill_s(theirs, 300, 4), rel=0.01)
    assert kv_tokens(asked, layout) == pytest.approx(compiled.ledgers[0].kv_tokens, rel=0.01)


def test_copies_and_moves_are_weighed_where_they_lie(folder: Path) -> None:
    asked = question(folder)
    layout = at_home(asked, asked.units[:1], asked.idle)
    layer = float(asked.memory.layers[5])
    before = weight_of(asked, layout)[0][0]
    copied = weight_of(asked, changed(layout, 5, 9, copies=frozenset({0})))
    moved = weight_of(asked, changed(layout, 5, 9, main=0))
    assert copied[0][0] == pytest.approx(before)
    assert copied[1][0] == pytest.approx(5 * layer)
    assert moved[0][0] == pytest.approx(before - 5 * layer)
    assert layer == pytest.approx(634e6, rel=0.005)
    assert kv_tokens(asked, changed(layout, 5, 9, main=0)) > kv_tokens(asked, layout)


def test_replication_helps_prompts_and_hardly_a_memory_bound_decode(folder: Path) -> None:
    asked = question(folder)
    layout = at_home(asked, asked.units[:1], (replace(asked.units[1]),))
    doubled = changed(layout, 0, 39, copies=frozenset({0}))
    one, two = surface_of(asked, layout), surface_of(asked, doubled)
    assert decode_s(two, 8, 300) > 0.9 * decode_s(one, 8, 300)
    assert prefill_s(two, 250, 8) < 0.75 * prefill_s(one, 250, 8)


def test_every_step_gains_earns_its_copy_and_fits(folder: Path) -> None:
    asked = question(folder)
    ladder = climb(asked, 1)
    assert ladder.steps
    rate = ladder.rate
    for step in ladder.steps:
        assert step.rate > rate
        assert step.action.copy_ms / 1e3 <= asked.horizon_s * (step.rate / rate - 1)
        assert kv_tokens(asked, step.layout) > 0
        unit = step.layout.hosts[step.host]
        assert weight_of(asked, step.layout)[1][step.host] <= unit.room
        assert step.rate == pytest.approx(
            sustained(asked, surface_of(asked, step.layout), kv_tokens(asked, step.layout))
        )
        rate = step.rate


def test_a_copy_takes_its_bytes_over_the_link(folder: Path) -> None:
    asked = question(folder)
    for step in climb(asked, 1).steps:
        rate = asked.link_gb_per_s(asked.units[0], step.layout.hosts[step.host])
        if step.action.op == "replicate":
            assert step.action.copy_ms / 1e3 == pytest.approx(0.05 + step.action.gib * GIB / (rate * 1e9), rel=0.02)
    assert 150 < rate < 300  # NVLink of an A100, 300 GB/s per direction by its datasheet


def test_the_bound_on_copies_is_not_beaten(folder: Path) -> None:
    asked = question(folder)
    found = figures(asked, climb(asked, 1).steps[-1].layout)
    for name in ("decode", "prompts"):
        assert float(found[f"{name}_step_bound_ms"]) <= float(found[f"{name}_step_after_ms"]) * 1.001
        assert float(found[f"{name}_step_bound_ms"]) <= float(found[f"{name}_step_ms"]) * 1.001


def test_ways_come_in_order_of_cost(folder: Path) -> None:
    asked = question(folder)
    for ways in (instances, copies, services):
        shares = [way.share for way in ways(asked)]
        assert shares == sorted(shares)
        assert shares[0] >= 1.0


def test_each_method_is_the_cheapest_of_its_ways_that_holds(folder: Path) -> None:
    asked, found = question(folder), plan(*paths(folder))
    assert found.why is not None
    for result, ways in zip(found.why.compared, (instances, copies, services), strict=True):
        cheaper = [way for way in ways(asked) if way.share < result.gpu_share - 1e-3]
        assert result.holds
        assert not any(judge(asked, way).holds for way in cheaper)


def test_copies_fill_the_gap_between_one_instance_and_two(folder: Path) -> None:
    found = plan(*paths(folder))
    assert found.decision is not None
    assert (found.decision.method, found.status.outcome) == ("cocoserve", "feasible")
    assert 1.0 < found.decision.gpu_share < 2.0
    assert found.decision.actions
    assert found.why is not None
    assert [one.gpu_share for one in found.why.compared if one.method == "whole-instance"] == [2.0]
    rungs = [one.what for one in found.why.release]
    kinds = ("migrate", "undo", "shrink", "offload")
    order = [next(at for at, kind in enumerate(kinds) if what.startswith(kind)) for what in rungs]
    assert order == sorted(order)


def test_without_room_nothing_is_copied_and_it_is_said(folder: Path) -> None:
    edit(folder / "cluster.yaml", "idle_gib: [20, 14]", "idle_gib: 0")
    edit(folder / "cluster.yaml", "taken_gpus: 2", "taken_gpus: 3")
    edit(folder / "workload.yaml", "rate_per_s: 8", "rate_per_s: 2")
    found = plan(*paths(folder))
    assert found.why is not None
    assert any("no copy gains" in note for note in found.why.notes)
    assert any("names no idle memory" in note for note in found.why.notes)


def test_more_load_never_needs_fewer_gpus(folder: Path) -> None:
    shares: list[list[float]] = []
    for rate in ("2", "8", "14"):
        (folder / "workload.yaml").write_text(WORKLOAD.replace("RATE", rate))
        found = plan(*paths(folder))
        assert found.why is not None
        shares.append([one.gpu_share for one in found.why.compared])
    for less, more in itertools.pairwise(shares):
        assert all(a <= b + 1e-9 for a, b in zip(less, more, strict=True))


def test_services_cover_the_model_and_grow_one_replica_at_a_time(folder: Path) -> None:
    asked = question(folder, groups=5)
    cuts = spans(asked)
    assert [layer for first, last in cuts for layer in range(first, last + 1)] == list(range(40))
    ladder = allocations(asked, 3)
    assert ladder[0] == (1, 1, 1, 1, 1)
    assert all(sum(b) - sum(a) == 1 for a, b in itertools.pairwise(ladder))


def test_hpa_targets_follow_from_the_plan(folder: Path) -> None:
    found = plan(*paths(folder), method="layer-services")
    assert found.decision is not None
    for one in found.decision.services:
        assert 1 <= one.hpa_min <= one.replicas <= one.hpa_max
        assert one.hpa_target > 0
        assert one.warmup_s > 5.0


def test_an_slo_that_no_gpu_keeps_is_infeasible(folder: Path) -> None:
    edit(folder / "workload.yaml", "tpot_s: 0.08", "tpot_s: 0.005")
    found = plan(*paths(folder))
    assert found.status.outcome == "infeasible"
    assert len(found.status.conflicts) == 3


def test_a_copy_that_cannot_finish_within_the_horizon_is_refused(folder: Path) -> None:
    with pytest.raises(InfeasibleError, match=r"a copy of one layer \(0\.59 GiB\) takes .* longer than the horizon"):
        refuse_slow_copies(question(folder, horizon_s=0.01))
    with pytest.raises(InfeasibleError, match="horizon"):
        plan(*paths(folder), method="cocoserve", horizon_s=0.01)


def test_missing_links_are_assumed_aloud(folder: Path) -> None:
    edit(folder / "cluster.yaml", "  network_gbps: 100\n", "")
    found = plan(*paths(folder), method="whole-instance")
    assert found.why is not None
    assert any("100 Gbit/s is assumed" in note for note in found.why.notes)


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("deployment.yaml", "a100-40gb", "h100-sxm", "no pool has h100-sxm"),
        ("deployment.yaml", "replicas: 1", "replicas: 1, parallel: {ep: 2}", "tp and pp alone"),
        ("workload.yaml", "llama-2-13b", "llama-2-7b", "deployed is llama-2-13b"),
        (
            "workload.yaml",
            "  slo: {attainment: 0.99, request: {ttft_s: 3.0, tpot_s: 0.08}}\n",
            "  slo: {}\n",
            "no bound",
        ),
        ("cluster.yaml", "idle_gib: [20, 14]", "idle_gib: [20, 14, 9]", "lists 3 GPUs, 2 are taken"),
    ],
)
def test_what_does_not_belong_together_is_refused(folder: Path, name: str, old: str, new: str, words: str) -> None:
    edit(folder / name, old, new)
    with pytest.raises(InputError, match=words):
        plan(*paths(folder))


def test_too_few_free_gpus_are_named(folder: Path) -> None:
    edit(folder / "deployment.yaml", "replicas: 1", "replicas: 3")
    with pytest.raises(InfeasibleError, match="has 2 free groups of 1 GPUs"):
        plan(*paths(folder))


def test_equal_inputs_give_the_same_plan(folder: Path) -> None:
    def steady(found: ModulesPlan) -> dict[str, object]:
        data = plain(found)
        data["metadata"].pop("created")
        data["status"]["solver"].pop("seconds")
        return data

    assert steady(plan(*paths(folder))) == steady(plan(*paths(folder)))


def test_a_pipeline_of_stages_keeps_its_stages(folder: Path) -> None:
    edit(folder / "deployment.yaml", "replicas: 1", "replicas: 1, parallel: {pp: 2}")
    asked = question(folder)
    surface = surface_of(asked, at_home(asked, asked.units[:2], ()))
    assert (surface.stages, surface.stage_share) == (2, 0.5)
    assert np.isfinite(surface.tokens_s).all()
