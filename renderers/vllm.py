"""A plan as vLLM command lines, which enforce every limit that was planned."""

from __future__ import annotations

import shlex

from specs.deployment import DeploymentInPlan, Parallel, Roles
from specs.errors import InputError
from specs.plan import ServingPlan

PORT = 8000
CONNECTOR = '{{"kv_connector":"NixlConnector","kv_role":"{role}"}}'
"""KV transfer between prefill and decode instances. [vLLM docs, disaggregated prefilling, read 2026-11-23]"""


def vllm(plan: ServingPlan) -> str:
    """Return one `vllm serve` line per replica group, with comments on where and how often to start it.

    Raises `InputError` for a plan without a decision, or of another engine.
    """
    if plan.decision is None:
        raise InputError(
            f"plan {plan.metadata.name} is {plan.status.outcome}: there is nothing to start",
            cure=plan.status.smallest_change or plan.status.missing or "",
        )
    blocks = [block for one in plan.decision.deployments for block in _blocks(one, plan)]
    return "\n\n".join([f"# {plan.metadata.name}: {plan.status.reason}", *blocks])


def _blocks(deployment: DeploymentInPlan, plan: ServingPlan) -> list[str]:
    if deployment.engine.name != "vllm":
        raise InputError(f"the plan is for {deployment.engine.name}, not vLLM")
    if isinstance(deployment.roles, Roles):
        prefill, decode = deployment.roles.prefill, deployment.roles.decode
        return [
            _block(deployment, prefill.replicas, prefill.parallel, "prefill", "kv_producer"),
            _block(deployment, decode.replicas, decode.parallel, "decode", "kv_consumer"),
        ]
    return [_block(deployment, deployment.replicas, deployment.parallel, "mixed", None)]


def _block(deployment: DeploymentInPlan, replicas: int, parallel: Parallel, role: str, connector: str | None) -> str:
    pool = f" in pool {deployment.pool}" if deployment.pool else ""
    kind = "" if role == "mixed" else f" {role}"
    comments = [
        f"# start {replicas}{kind} replica{'s' * (replicas != 1)}{pool}, "
        f"each on {parallel.gpus} × {deployment.device}; vLLM {deployment.engine.version}",
        f"# route between them: {deployment.router}",
    ]
    if "prompt_tokens" in deployment.labels:
        comments.append(f"# send it prompts of {deployment.labels['prompt_tokens']} tokens")
    return "\n".join([*comments, command(deployment, parallel, connector)])


def command(deployment: DeploymentInPlan, parallel: Parallel, connector: str | None = None) -> str:
    """The command line of one replica, at most 100 columns wide."""
    published, *flags = arguments(deployment, parallel, connector)
    lines = ["vllm serve " + shlex.quote(published)]
    for word in _pairs(flags):
        if len(lines[-1]) + len(word) > 96:
            lines[-1] += " \\"
            lines.append("   ")
        lines[-1] += f" {word}"
    return "\n".join(lines)


def arguments(deployment: DeploymentInPlan, parallel: Parallel, connector: str | None = None) -> list[str]:
    """Return the words after `vllm serve`: the published model, then every limit that was planned."""
    published = deployment.labels.get("published", deployment.model)
    flags = _flags(deployment, parallel)
    if published != deployment.model:
        flags = ["--served-model-name", deployment.model, *flags]
    if connector:
        flags += ["--kv-transfer-config", CONNECTOR.format(role=connector)]
    return [published, *flags]


def _pairs(words: list[str]) -> list[str]:
    """Each flag with its value."""
    pairs: list[str] = []
    for word in words:
        if word.startswith("--") or not pairs:
            pairs.append(shlex.quote(word))
        else:
            pairs[-1] += " " + shlex.quote(word)
    return pairs


def _flags(deployment: DeploymentInPlan, parallel: Parallel) -> list[str]:
    engine, precision = deployment.engine, deployment.precision
    flags = [
        "--port", str(PORT),
        "--tensor-parallel-size", str(parallel.tp),
        "--max-num-seqs", str(engine.max_num_seqs),
        "--max-num-batched-tokens", str(engine.max_num_batched_tokens),
        "--gpu-memory-utilization", f"{engine.gpu_memory_utilization:g}",
        "--block-size", str(engine.block_size_tokens),
    ]  # fmt: skip
    if engine.max_model_len is not None:
        flags += ["--max-model-len", str(engine.max_model_len)]
    if parallel.pp > 1:
        flags += ["--pipeline-parallel-size", str(parallel.pp)]
    if parallel.dp > 1:
        flags += ["--data-parallel-size", str(parallel.dp)]
    if parallel.ep > 1:
        flags.append("--enable-expert-parallel")
    if precision.weights == "fp8":
        flags += ["--quantization", "fp8"]
    if precision.kv_cache == "fp8":
        flags += ["--kv-cache-dtype", "fp8"]
    flags.append("--enable-prefix-caching" if engine.prefix_caching else "--no-enable-prefix-caching")
    flags.append("--enable-chunked-prefill" if engine.chunked_prefill else "--no-enable-chunked-prefill")
    if not engine.cuda_graphs:
        flags.append("--enforce-eager")
    if engine.async_scheduling is not None:
        flags.append("--async-scheduling" if engine.async_scheduling else "--no-async-scheduling")
    return flags
