"""A placement as a Hugging Face device map, and as vLLM command lines with the pipeline's partition."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from renderers.vllm import command
from specs.deployment import DeploymentInPlan
from specs.errors import InputError
from specs.placement import Placed, PlacementDecision, PlacementPlan


@dataclass(frozen=True)
class Names:
    """Modules of a family of models, as transformers 5 names them: before the layers, the layers, after them."""

    before: tuple[str, ...]
    layer: str
    after: tuple[str, ...]
    head: str = "lm_head"


# [transformers 5.0 modeling files of each family, read 2026-11-28]
LLAMA = Names(("model.embed_tokens", "model.rotary_emb"), "model.layers", ("model.norm",))
NAMES: dict[str, Names] = {
    "BloomForCausalLM": Names(
        ("transformer.word_embeddings", "transformer.word_embeddings_layernorm"), "transformer.h", ("transformer.ln_f",)
    ),
    "GPTJForCausalLM": Names(("transformer.wte",), "transformer.h", ("transformer.ln_f",)),
    "OPTForCausalLM": Names(
        ("model.decoder.embed_tokens", "model.decoder.embed_positions"),
        "model.decoder.layers",
        ("model.decoder.final_layer_norm",),
    ),
    "PhiForCausalLM": Names(
        ("model.embed_tokens", "model.rotary_emb"), "model.layers", ("model.final_layernorm",)
    ),
}  # fmt: skip
LIKE_LLAMA = (
    "LlamaForCausalLM", "MistralForCausalLM", "MixtralForCausalLM", "Qwen2ForCausalLM", "Qwen2MoeForCausalLM",
    "Qwen3ForCausalLM", "Qwen3MoeForCausalLM", "GemmaForCausalLM", "Gemma2ForCausalLM", "Phi3ForCausalLM",
    "GraniteForCausalLM", "DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM",
)  # fmt: skip


def device_map(plan: PlacementPlan, model: str | None = None) -> str:
    """Return the JSON {module: GPU}, GPUs numbered 0, 1, … in the order of the placement (see `vllm_placement`).

    Every module is named, so that the map covers the model. A head that shares the embedding's weights stays with it.
    Raises `InputError` for a plan without a decision, a model that is not in it, or one whose modules are not known.
    """
    decision, placed = _of_model(plan, model)
    name = placed[0].model
    architecture = decision.architectures[name]
    names = LLAMA if architecture in LIKE_LLAMA else NAMES.get(architecture)
    if names is None:
        raise InputError(
            f"the modules of {architecture} are not known, so no device map of {name} can be written",
            cure=f"Known: {', '.join(sorted([*NAMES, *LIKE_LLAMA]))}. `tonnage export vllm` needs no module names.",
        )
    last = len(placed) - 1
    found: dict[str, int] = dict.fromkeys(names.before, 0)
    for gpu, one in enumerate(placed):
        found |= {f"{names.layer}.{layer}": gpu for layer in range(one.first_layer, one.last_layer + 1)}
    found |= dict.fromkeys(names.after, last)
    found[names.head] = 0 if name in decision.tied else last
    return json.dumps(found, indent=2)


def vllm_placement(plan: PlacementPlan) -> str:
    """Return one `vllm serve` line per engine, with the layers of each pipeline stage and the GPUs it may see.

    VLLM_PP_LAYER_PARTITION takes the layers of each stage [vLLM docs, environment variables, read 2026-11-28].
    Raises `InputError` for a plan without a decision.
    """
    decision = _decision(plan)
    blocks = ["\n".join(_comment(f"{plan.metadata.name}: {plan.status.reason}"))]
    blocks += [_block(one, decision) for one in decision.deployments]
    return "\n\n".join(blocks)


def _block(deployment: DeploymentInPlan, decision: PlacementDecision) -> str:
    placed = [one for one in decision.placed if one.model == deployment.model]
    stages = deployment.parallel.pp
    if stages == 1:
        where = f"pool {deployment.pool} node {deployment.labels.get('node', placed[0].node)}"
        return (
            f"# {deployment.model} on {where}\nCUDA_VISIBLE_DEVICES={deployment.labels['gpus']} \\\n"
            f"{command(deployment, deployment.parallel)}"
        )
    partition = deployment.labels["layer_partition"]
    spots = ", ".join(f"{one.pool} node {one.node} GPU {one.gpu} ({one.device})" for one in placed)
    nodes = {(one.pool, one.node) for one in placed}
    lines = _comment(f"{deployment.model}: stages in order on {spots}")
    environment = f"VLLM_PP_LAYER_PARTITION={partition}"
    if len(nodes) == 1:
        environment += f" CUDA_VISIBLE_DEVICES={','.join(str(one.gpu) for one in placed)}"
        return "\n".join([*lines, f"{environment} \\", command(deployment, deployment.parallel)])
    lines += _comment("the stages lie on several nodes: start a Ray cluster over them, the nodes in this order")
    return "\n".join(
        [
            *lines,
            f"{environment} \\",
            command(deployment, deployment.parallel) + " \\\n    --distributed-executor-backend ray",
        ]
    )


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 98, initial_indent="# ", subsequent_indent="#   ")


def _of_model(plan: PlacementPlan, model: str | None) -> tuple[PlacementDecision, Sequence[Placed]]:
    decision = _decision(plan)
    known = list(dict.fromkeys(one.model for one in decision.placed))
    if model is None and len(known) > 1:
        raise InputError(f"the plan places {', '.join(known)}", cure="Say which one with --model.")
    name = model or known[0]
    if name not in known:
        raise InputError(f"the plan places no {name}", cure=f"It places {', '.join(known)}.")
    placed = [one for one in decision.placed if one.model == name]
    copies = [one for one in placed if one.first_layer == 0]
    return decision, placed[:1] if len(copies) > 1 else placed


def _decision(plan: PlacementPlan) -> PlacementDecision:
    if plan.decision is None:
        raise InputError(
            f"plan {plan.metadata.name} is {plan.status.outcome}: there is nothing to place",
            cure=plan.status.smallest_change or "",
        )
    return plan.decision
