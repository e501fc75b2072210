"""Placement and module plans fit their width, put the decision first, and are told in sentences."""

from __future__ import annotations

import json
import shlex

import pytest

from renderers.device_map import device_map, vllm_placement
from renderers.modules import explain as explain_modules
from renderers.modules import modules_table
from renderers.placement import explain, placement_table
from specs.base import Figure, Metadata
from specs.deployment import DeploymentInPlan, Parallel
from specs.errors import InputError
from specs.modules import MethodResult, ModuleAction, ModulesDecision, ModulesPlan, ModulesWhy
from specs.placement import (
    Placed,
    PlacementAlternative,
    PlacementDecision,
    PlacementExpected,
    PlacementPlan,
    PlacementWhy,
)
from specs.plan import Status


def placed(first: int, last: int, gpu: int, model: str = "llama-2-13b") -> Placed:
    return Placed(
        model=model, pool="a-pool-with-a-long-name", node=0, gpu=gpu, device="a100-80gb", first_layer=first,
        last_layer=last, weights_gib=12.0, kv_gib=3.0, free_gib=20.0, prefill_ms=80.0, decode_ms=12.0,
    )  # fmt: skip


def placement(architecture: str = "LlamaForCausalLM", tied: tuple[str, ...] = ()) -> PlacementPlan:
    deployment = DeploymentInPlan(
        model="llama-2-13b", device="a100-80gb", parallel=Parallel(pp=2),
        labels={"published": "meta-llama/Llama-2-13b-hf", "layer_partition": "22,18", "gpus": "0,1"},
    )  # fmt: skip
    return PlacementPlan(
        metadata=Metadata(name="llama-2-13b-on-lab"),
        status=Status(outcome="optimal", reason="least time", solver={"seconds": 0.5}),
        decision=PlacementDecision(
            placed=(placed(0, 21, 0), placed(22, 39, 1)), deployments=(deployment,),
            architectures={"llama-2-13b": architecture}, tied=tied, gpus=2, usd_per_hour=3.2, crossings=1,
        ),
        expected=PlacementExpected(request_s=Figure(value=3.0, low=2.5, high=3.5)),
        why=PlacementWhy(
            batch=4, prompt_tokens=512, output_tokens=128, binding="memory",
            front=tuple(PlacementAlternative(decision="x", gpus=n, request_s=4.0 / n) for n in (1, 2)),
            notes=("the cluster names no network, so much is assumed of it that this note is long enough to wrap",),
        ),
    )  # fmt: skip


def modules() -> ModulesPlan:
    result = MethodResult(
        method="cocoserve", decision="1 instance + 1 step", holds=True, gpus=1, gpu_share=1.43, usd_per_hour=1.57,
        attainment=0.995, ttft_p99_s=0.4, tpot_p99_s=0.05, e2e_mean_s=4.0, tokens_per_s=900.0, sustains_per_s=7.1,
        react_s=15.1,
    )  # fmt: skip
    action = ModuleAction(
        order=1, op="replicate", module="attention", first_layer=0, last_layer=39, source="a GPU 0", target="a GPU 2",
        gib=7.8, copy_ms=100.0, downtime_ms=25.0, gain=0.32, undo="route home",
    )  # fmt: skip
    return ModulesPlan(
        metadata=Metadata(name="llama-13b-on-four"),
        status=Status(outcome="feasible", reason="1 instance + 1 step keeps the SLO with 1.43 GPUs"),
        decision=ModulesDecision(
            method="cocoserve", deployments=(DeploymentInPlan(model="llama-2-13b", device="a100-40gb"),),
            actions=(action,), gpus=1, gpu_share=1.43, usd_per_hour=1.57,
        ),
        why=ModulesWhy(compared=(result, result.model_copy(update={"holds": False, "breaks": "x", "react_s": None}))),
    )  # fmt: skip


@pytest.mark.parametrize("width", [80, 100])
def test_tables_fit_their_width(width: int) -> None:
    for table in (modules_table(modules(), width), placement_table(placement(), width)):
        assert max(len(line) for line in table.split("\n")) <= width


def test_the_decision_comes_first() -> None:
    lines = placement_table(placement(), 100).split("\n")
    assert "llama-2-13b on lab" in lines[0]
    assert "0–21" in lines[3]
    assert "1.43 GPUs" in modules_table(modules(), 100).split("\n")[2]


def test_a_device_map_names_every_module_and_keeps_a_tied_head_with_its_embedding() -> None:
    found = json.loads(device_map(placement()))
    assert found["model.embed_tokens"] == 0
    assert [found[f"model.layers.{layer}"] for layer in (0, 21, 22, 39)] == [0, 0, 1, 1]
    assert (found["model.norm"], found["lm_head"], len(found)) == (1, 1, 44)
    assert json.loads(device_map(placement(tied=("llama-2-13b",))))["lm_head"] == 0


def test_an_unknown_architecture_is_refused_with_what_is_known() -> None:
    with pytest.raises(InputError, match="OddForCausalLM"):
        device_map(placement("OddForCausalLM"))
    with pytest.raises(InputError, match="places no gpt-2"):
        device_map(placement(), "gpt-2")


def test_vllm_gets_the_partition_of_its_stages() -> None:
    text = vllm_placement(placement())
    words = shlex.split(text[text.index("VLLM_PP") :].replace("\\\n", " "))
    assert words[:2] == ["VLLM_PP_LAYER_PARTITION=22,18", "CUDA_VISIBLE_DEVICES=0,1"]
    assert words[words.index("--pipeline-parallel-size") + 1] == "2"


def test_a_plan_without_a_decision_exports_nothing() -> None:
    none = placement().model_copy(update={"decision": None})
    with pytest.raises(InputError, match="nothing to place"):
        vllm_placement(none)


def test_sentences_tell_the_same() -> None:
    text = explain(placement(), plot=True)
    assert "Layers 0 to 21 of llama-2-13b" in text
    assert "█" in text
    told = explain_modules(modules(), plot=True)
    assert "Step 1: replicate attention 0–39" in told
    assert "does not keep the SLO (x)" in told
