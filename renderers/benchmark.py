"""A plan as the benchmark command whose result would prove it wrong."""

from __future__ import annotations

import shlex
from typing import Literal

from specs.base import Figure
from specs.deployment import DeploymentInPlan
from specs.errors import InputError
from specs.plan import Percentiles, ServingPlan

Tool = Literal["vllm", "guidellm"]
TARGET = "http://localhost:8000"
LASTS_S = 900.0
"""A p99 with a 90 % interval below ± 15 % takes some thousand requests: a quarter of an hour of the planned rate."""
FEWEST = 200  # requests that a p99 needs
WIDEST_RANGE = 0.95
SHOWN = ("ttft_s", "tpot_s", "e2e_s")


def benchmark(plan: ServingPlan, tool: Tool = "vllm") -> str:
    """Return the load generator's command and, as comments, which results would refute the plan.

    Arrivals have the planned rate and burstiness, lengths the planned means and spread (uniform for `vllm bench
    serve`, normal for guidellm, whose arrivals are Poisson); `tonnage check` replays what was really sent, so the
    verdict does not rest on that approximation. Raises `InputError` for a plan without decision or open arrivals.
    """
    if plan.decision is None or plan.expected is None or plan.why is None:
        raise InputError(f"plan {plan.metadata.name} is {plan.status.outcome}: there is nothing to prove wrong")
    if "rate_per_s" not in plan.why.load:
        raise InputError(
            f"plan {plan.metadata.name} has no arrival rate: its workload is a closed loop",
            cure="Use `vllm bench serve --max-concurrency` with the workload's concurrency and prompts.",
        )
    deployment = plan.decision.deployments[0]
    words = _vllm(plan, deployment) if tool == "vllm" else _guidellm(plan, deployment)
    result = "result.json"
    return "\n".join([*_comments(plan), _folded(words), f"tonnage check {_plan_file(plan)} --measured {result}"])


def _plan_file(plan: ServingPlan) -> str:
    return shlex.quote(f"{plan.metadata.name}.yaml")


def _comments(plan: ServingPlan) -> list[str]:
    assert plan.expected is not None
    assert plan.why is not None
    lines = [
        f"# {plan.metadata.name}: start the replicas of `tonnage export vllm` behind one router at {TARGET}.",
        "# The plan is refuted if a figure lies above its interval (90 %), or a bound breaks:",
    ]
    for metric in SHOWN:
        values: Percentiles = getattr(plan.expected, metric)
        if values.p99 is not None and values.p99.high is not None:
            lines.append(f"#   {metric} p99 {values.p99.value:g}, at most {values.p99.high:g}{_bound(plan, metric)}")
    share: Figure = plan.expected.attainment
    if share.low is not None:
        lines.append(f"#   attainment {share.value:.4f}, at least {share.low:.4f}")
    if len(plan.decision.deployments if plan.decision else ()) > 1:
        lines.append("#   the router must split prompts by length as the plan's labels say")
    return lines


def _bound(plan: ServingPlan, metric: str) -> str:
    held = [one for one in plan.why.slo if one.name == f"{metric}.p99"] if plan.why else []
    return f"; bound {held[0].bound:g}" if held else ""


def _load(plan: ServingPlan, name: str) -> float:
    value = plan.why.load.get(name, 0.0) if plan.why else 0.0
    return float(value)


def _prompts(plan: ServingPlan) -> int:
    """Requests to send: a quarter of an hour, not more than were planned for, enough for a p99."""
    asked = min(_load(plan, "rate_per_s") * LASTS_S, _load(plan, "requests"))
    return max(round(asked), FEWEST)


def _vllm(plan: ServingPlan, deployment: DeploymentInPlan) -> list[str]:
    prompt, output = _load(plan, "prompt_tokens_mean"), _load(plan, "output_tokens_mean")
    spread = min(_load(plan, "prompt_tokens_p90") / max(prompt, 1.0) - 1, WIDEST_RANGE)
    words = [
        "vllm", "bench", "serve", "--backend", "vllm", "--base-url", TARGET,
        "--model", deployment.labels.get("published", deployment.model), "--served-model-name", deployment.model,
        "--dataset-name", "random", "--random-input-len", str(round(prompt)), "--random-output-len", str(round(output)),
        "--random-range-ratio", f"{max(spread, 0.0):.2f}", "--ignore-eos",
        "--request-rate", f"{_load(plan, 'rate_per_s'):.4g}", "--burstiness", f"{_burstiness(plan):.3g}",
        "--num-prompts", str(_prompts(plan)), "--percentile-metrics", "ttft,tpot,itl,e2el",
        "--metric-percentiles", "50,90,95,99", "--seed", "0",
    ]  # fmt: skip
    return [*words, "--save-result", "--save-detailed", "--result-filename", "result.json"]


def _burstiness(plan: ServingPlan) -> float:
    """Shape of the gamma arrivals, 1 / cv². [vLLM: `--burstiness`]"""
    return 1.0 / max(_load(plan, "interarrival_cv"), 1e-3) ** 2


def _guidellm(plan: ServingPlan, deployment: DeploymentInPlan) -> list[str]:
    data = []
    for ours, theirs in (("prompt_tokens", "prompt_tokens"), ("output_tokens", "output_tokens")):
        mean, p90 = _load(plan, f"{ours}_mean"), _load(plan, f"{ours}_p90")
        data += [f"{theirs}={round(mean)}", f"{theirs}_stdev={round(max(p90 - mean, 0) / 1.2816)}"]
        data += [f"{theirs}_min=1", f"{theirs}_max={round(max(_load(plan, f'{ours}_p99'), mean))}"]
    return [
        "guidellm", "benchmark", "--target", TARGET, "--model", deployment.model,
        "--processor", deployment.labels.get("published", deployment.model),
        "--rate-type", "poisson", "--rate", f"{_load(plan, 'rate_per_s'):.4g}",
        "--max-requests", str(_prompts(plan)), "--data", ",".join(data), "--random-seed", "0",
        "--output-path", "result.json",
    ]  # fmt: skip


def _folded(words: list[str]) -> str:
    """The command over several lines of at most 100 columns, flags kept with their values."""
    pairs: list[str] = []
    for word in words:
        if word.startswith("--") or not pairs:
            pairs.append(shlex.quote(word))
        else:
            pairs[-1] += f" {shlex.quote(word)}"
    lines = [pairs[0]]
    for pair in pairs[1:]:
        if len(lines[-1]) + len(pair) > 96:
            lines[-1] += " \\"
            lines.append("   ")
        lines[-1] += f" {pair}"
    return "\n".join(lines)
