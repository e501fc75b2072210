"""Layers and models go where memory lets them and time is least, and what cannot fit is named."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from planners.placement import plan
from planners.placement.layers import Bench, chosen
from planners.placement.question import read_question
from specs.base import plain
from specs.errors import InfeasibleError, InputError
from specs.placement import PlacementObjective, PlacementPlan

LAB = """apiVersion: tonnage/v1
kind: Cluster
metadata: {name: lab}
spec:
  pools:
    - {name: a100, device: a100-40gb, nodes: 2, gpus_per_node: 2, usd_per_gpu_hour: {value: 1.1, source: test, date: 2026-11-01}}
    - {name: l40s, device: l40s, nodes: 1, gpus_per_node: 2, usd_per_gpu_hour: {value: 0.9, source: test, date: 2026-11-01}}
    - {name: l4, device: l4, nodes: 1, gpus_per_node: 4, usd_per_gpu_hour: {value: 0.5, source: test, date: 2026-11-01}}
  network_gbps: 100
"""  # noqa: E501
WORKLOAD = """apiVersion: tonnage/v1
kind: Workload
metadata: {{name: {name}}}
spec:
  model: {model}
  arrivals: {{rate_per_s: {rate}, duration_s: 300}}
  lengths: {{prompt_tokens: {{uniform: [100, 300]}}, output_tokens: {{uniform: [40, 80]}}}}
  slo: {{ttft_s: {{p99: {ttft}}}, tpot_s: {{p99: {tpot}}}}}
"""


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    path = tmp_path / "lab.yaml"
    path.write_text(LAB)
    return path


def workload(folder: Path, name: str, model: str, rate: float = 0.5, ttft: float = 2.0, tpot: float = 0.2) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(WORKLOAD.format(name=name, model=model, rate=rate, ttft=ttft, tpot=tpot))
    return path


def bench(lab: Path, model: str, batch: int = 4, objective: PlacementObjective = "latency") -> Bench:
    question = read_question(
        [model], lab, workloads=(), objective=objective, variant="lr", least="gpus", batch=batch, prompt_tokens=512,
        output_tokens=128, micro_batches=4, most_gpus=16, crossing_ms=0.05, confidence=0.8, weights=None,
        current=None, seed=0,
    )  # fmt: skip
    return Bench(question, question.served[0], batch)


def test_a_model_that_fits_one_gpu_crosses_nothing(lab: Path) -> None:
    found = plan(["llama-3.1-8b"], lab, variant="lr")
    assert found.decision is not None
    assert (found.decision.gpus, found.decision.crossings) == (1, 0)
    assert found.decision.placed[0].device == "a100-40gb"  # the fastest memory


def test_the_layers_of_a_large_model_are_all_placed_within_memory(lab: Path) -> None:
    found = plan(["llama-3.1-70b"], lab, batch=8)
    assert found.status.outcome == "optimal"
    assert found.decision is not None
    placed = found.decision.placed
    assert [one.first_layer for one in placed[1:]] == [one.last_layer + 1 for one in placed[:-1]]
    assert (placed[0].first_layer, placed[-1].last_layer) == (0, 79)
    assert all(one.free_gib >= 0 for one in placed)
    assert sum(one.weights_gib for one in placed) == pytest.approx(131.4, abs=0.5)


def test_the_variants_keep_what_they_promise(lab: Path) -> None:
    choices = bench(lab, "llama-2-13b").choices()
    lr, he, helr = (chosen(choices, variant, "cost") for variant in ("lr", "he", "helr"))
    assert lr.value_s == min(one.value_s for one in choices)
    assert he.usd_per_hour == min(one.usd_per_hour or np.inf for one in choices)
    assert helr.value_s <= 1.1 * lr.value_s
    assert (he.usd_per_hour or 0) <= (helr.usd_per_hour or 0) <= (lr.usd_per_hour or 0)


def test_the_best_split_is_that_of_brute_force_over_two_cuts(lab: Path) -> None:
    """Independent of the solver: layer times, hops and memory are added up by hand for every split on three GPUs."""
    found = bench(lab, "llama-3.1-70b", batch=2)
    layers, need = found.served.model.layers, found.weights + found.kv
    order = [(0, 0), (0, 1), (1, 0), (1, 1)]  # both a100 of a node, then both l40s
    best = np.inf
    for cuts in itertools.combinations(range(1, layers), 3):
        edges = (0, *cuts, layers)
        total, before = 0.0, None
        for at, start, stop in zip(order, edges, edges[1:], strict=False):
            if need[start:stop].sum() > found.capacity[at[0]]:
                break
            total += found.layer_s[at[0], start:stop].sum() + found.hop_s(found.hop(before, at))
            before = at
        else:
            best = min(best, total)
    dp = min(one.value_s for one in found.choices() if one.gpus == 4)
    assert dp <= best + 1e-9
    assert np.isfinite(best)


def test_throughput_is_never_better_by_the_latency_split(lab: Path) -> None:
    pipelined = bench(lab, "llama-3.1-70b", 16, "throughput")
    best = min(one.value_s for one in pipelined.choices())
    for one in bench(lab, "llama-3.1-70b", 16, "throughput").choices():
        total = one.split.total + 3 * one.split.slowest
        assert total == pytest.approx(one.value_s)
        assert total >= best - 1e-9


def test_equal_inputs_give_the_same_plan(lab: Path) -> None:
    def steady(found: PlacementPlan) -> dict[str, object]:
        data = plain(found)
        data["metadata"].pop("created")
        data["status"]["solver"].pop("seconds")
        return data

    assert steady(plan(["llama-2-13b"], lab, batch=4)) == steady(plan(["llama-2-13b"], lab, batch=4))


def test_what_does_not_fit_is_told_in_gib_and_by_layer(lab: Path) -> None:
    found = plan(["llama-3.1-405b"], lab)
    assert found.status.outcome == "infeasible"
    assert "GiB: layer" in found.status.reason
    assert "more free GPU" in (found.status.smallest_change or "")
    crowded = plan(["llama-3.1-70b"], lab, batch=5000)
    assert crowded.status.outcome == "infeasible"
    assert "requests at a time instead of 5000" in (crowded.status.smallest_change or "")


def test_the_largest_batch_that_is_promised_fits(lab: Path) -> None:
    change = plan(["llama-3.1-70b"], lab, batch=5000).status.smallest_change or ""
    assert plan(["llama-3.1-70b"], lab, batch=int(change.split()[2])).status.outcome == "optimal"


def test_a_workload_decides_how_many_requests_are_in_flight(lab: Path, tmp_path: Path) -> None:
    slow, fast = (
        plan(["llama-2-13b"], lab, workloads=[workload(tmp_path, "w", "llama-2-13b", rate=rate)]) for rate in (0.5, 2.0)
    )
    assert slow.why is not None
    assert fast.why is not None
    assert (slow.why.batch or 0) < (fast.why.batch or 0)
    assert slow.expected is not None
    assert slow.expected.holds["w"]
    assert slow.expected.serving["w"].ttft_s.p99 is not None


def test_missing_links_are_assumed_aloud(lab: Path) -> None:
    lab.write_text(LAB.replace("  network_gbps: 100\n", ""))
    found = plan(["llama-3.1-70b"], lab)
    assert found.why is not None
    assert any("100 Gbit/s between nodes is assumed" in note for note in found.why.notes)
    assert any("PCIe" in note for note in found.why.notes)


def test_without_a_network_a_placement_stays_on_one_node(lab: Path) -> None:
    lab.write_text(LAB.replace("network_gbps: 100", "network_gbps: 0"))
    found = plan(["qwen2.5-32b"], lab)
    assert found.decision is not None
    assert len({(one.pool, one.node) for one in found.decision.placed}) == 1
    assert plan(["llama-3.1-70b"], lab).status.outcome == "infeasible"


def test_the_current_map_is_compared(lab: Path, tmp_path: Path) -> None:
    current = tmp_path / "now.json"
    spread = {f"model.layers.{layer}": layer % 2 for layer in range(40)}
    current.write_text(json.dumps({"model.embed_tokens": 0, **spread, "lm_head": 1}))
    found = plan(["llama-2-13b"], lab, variant="lr", current=current)
    assert found.why is not None
    now = found.why.compared[-1]
    assert "39 crossings" in now.decision
    assert found.expected is not None
    assert found.expected.request_s is not None
    assert (now.request_s or 0) > found.expected.request_s.value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[1]", "holds a list"),
        ('{"model.layers.0": 0}', "layer 1 has no GPU"),
        ('{"model.layers.0": "cpu"}', "expected a GPU from 0 to 9"),
        ('{"model.layers.99": 0}', "the model has 40 layers"),
    ],
)
def test_a_wrong_map_is_refused(lab: Path, tmp_path: Path, text: str, words: str) -> None:
    current = tmp_path / "now.json"
    current.write_text(text)
    with pytest.raises(InputError, match=words):
        plan(["llama-2-13b"], lab, current=current)


def test_a_map_that_cannot_fit_names_gpu_layer_and_gib(lab: Path, tmp_path: Path) -> None:
    current = tmp_path / "now.json"
    current.write_text(json.dumps({f"model.layers.{layer}": 6 for layer in range(40)}))
    with pytest.raises(InfeasibleError, match=r"GPU 6 \(l4\) lacks .* GiB .*layer \d+ is the first without room"):
        plan(["llama-2-13b"], lab, current=current)


def test_models_share_a_gpu_where_their_slos_bear_it(lab: Path, tmp_path: Path) -> None:
    models = ["llama-3.2-1b", "qwen2.5-0.5b"]
    loose = [workload(tmp_path, f"w{at}", model, rate=0.2, tpot=0.5) for at, model in enumerate(models)]
    found = plan(models, lab, workloads=loose, least="cost")
    assert found.decision is not None
    assert found.expected is not None
    assert (found.status.outcome, found.decision.gpus, found.decision.usd_per_hour) == ("optimal", 1, 0.5)
    assert all(found.expected.holds.values())
    assert found.why is not None
    assert found.why.compared[0].gpus == 2


def test_models_stay_apart_where_sharing_would_break_an_slo(lab: Path, tmp_path: Path) -> None:
    models = ["llama-3.2-1b", "qwen2.5-0.5b"]
    loose = plan(models, lab, workloads=[workload(tmp_path, f"w{at}", m) for at, m in enumerate(models)])
    assert loose.expected is not None
    alone = plan(models[:1], lab, workloads=[workload(tmp_path, "w0", models[0])], variant="lr")
    assert alone.expected is not None
    tpot = alone.expected.serving["w0"].tpot_s.p99
    assert tpot is not None
    tight = [
        workload(tmp_path, "w0", models[0], rate=8, tpot=1.5 * tpot.value),
        workload(tmp_path, "w1", models[1], rate=8),
    ]
    found = plan(models, lab, workloads=tight)
    assert found.decision is not None
    assert found.decision.gpus == 2


def test_models_that_share_need_workloads(lab: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no workload"):
        plan(["llama-3.2-1b", "qwen2.5-0.5b"], lab, workloads=[workload(tmp_path, "w", "llama-3.2-1b")])
    with pytest.raises(InputError, match=r"is a workload of llama-3\.2-1b"):
        plan(["qwen2.5-0.5b"], lab, workloads=[workload(tmp_path, "w", "llama-3.2-1b")])
    with pytest.raises(InputError, match="given twice"):
        plan(["qwen2.5-0.5b", "qwen2.5-0.5b"], lab)


@pytest.mark.parametrize("objective", ["latency", "throughput"])
def test_the_rate_is_a_batch_over_its_time(lab: Path, objective: PlacementObjective) -> None:
    found = plan(["llama-3.1-70b"], lab, batch=16, output_tokens=64, objective=objective)
    assert found.expected is not None
    assert found.expected.tokens_per_s is not None
    assert found.expected.request_s is not None
    assert found.expected.tokens_per_s.value == pytest.approx(16 * 64 / found.expected.request_s.value, rel=1e-3)
    assert found.status.outcome == ("optimal" if objective == "latency" else "feasible")
