"""Measured start-ups of vLLM, as deployments beside what their logs say."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reference import reference_path
from specs.catalog import find_model, model_names
from specs.deployment import DeploymentSpec, Engine, Parallel, PrecisionSpec
from specs.errors import InputError
from specs.model import ModelSpec

MEASURED = "llmd_planner_vllm019_h100_memory.csv"
FAILED = "llmd_planner_vllm019_h100_failed_runs.csv"
FAMILIES = ("llama", "codellama", "qwen", "deepseek", "gemma", "granite", "phi", "mistral", "gpt-oss")
DERIVED = {"kimi-dev": "qwen", "mixtral": "mistral"}  # what a model's architecture was derived from
DTYPES = {"torch.bfloat16": "bf16", "torch.float16": "fp16", "torch.float32": "fp32", "": "bf16"}
MAX_NUM_SEQS, MAX_NUM_BATCHED_TOKENS = 1024, 8192  # vLLM's defaults on an H100, as all three full logs show


@dataclass(frozen=True, kw_only=True)
class StartUp:
    """One start-up as logged; GiB as the log has them, nan where it has none."""

    label: str
    model: ModelSpec
    deployment: DeploymentSpec
    configuration: tuple[str, str, int, int]
    weights_gib: float
    activations_gib: float
    non_torch_gib: float
    context_gib: float
    graphs_gib: float
    kv_gib: float
    kv_tokens: float
    max_concurrency: float


def start_ups(name: str) -> list[StartUp]:
    """Read the start-ups of one file below `gpu_memory` whose model the catalogue has."""
    with Path(reference_path(f"gpu_memory/{name}")).open(newline="") as file:
        return [found for row in csv.DictReader(file) if (found := _start_up(row))]


def family(model: ModelSpec) -> str:
    """The family that a model is left out with; derived models belong to what they derive from."""
    for prefix, name in (*DERIVED.items(), *((name, name) for name in FAMILIES)):
        if model.name.startswith(prefix):
            return name
    raise InputError(f"{model.name} belongs to no family known here", cure="Add it to FAMILIES.")


def _start_up(row: dict[str, str]) -> StartUp | None:
    model = find_model(row["model"]) if row["model"] else _model_of_log(row["log_file"])
    if model is None:
        return None
    deployment = _deployment(row)
    parallel = deployment.parallel
    quantization = row["quantization"] or DTYPES[row["dtype"]]
    kv = f", kv {deployment.precision.kv_cache}, {deployment.engine.max_model_len} tokens"
    return StartUp(
        label=f"{model.name} {quantization} tp {parallel.tp} pp {parallel.pp}{kv}", model=model,
        deployment=deployment.model_copy(update={"model": model.name}),
        configuration=(model.name, row["quantization"], parallel.tp, parallel.pp),
        weights_gib=_number(row["weight_memory_gib"]), activations_gib=_number(row["activation_memory_gib"]),
        non_torch_gib=_number(row["non_torch_forward_gib"]), context_gib=_number(row["init_cuda_memory_gib"]),
        graphs_gib=_number(row["cuda_graph_actual_gib"]), kv_gib=_number(row["kv_cache_memory_gib"]),
        kv_tokens=_number(row["kv_cache_tokens"]), max_concurrency=_number(row["max_concurrency"]),
    )  # fmt: skip


def _deployment(row: dict[str, str]) -> DeploymentSpec:
    dtype = DTYPES[row["dtype"]]
    weights = "fp8" if row["quantization"] == "fp8" else None
    kv_cache = "fp8" if row["kv_cache_dtype"] == "fp8" else dtype
    tp, pp, length = _of_log(row["log_file"])
    engine = Engine(
        version="0.19.0", max_num_seqs=MAX_NUM_SEQS, max_num_batched_tokens=MAX_NUM_BATCHED_TOKENS,
        max_model_len=int(_number(row["max_model_len"] or length)),
        gpu_memory_utilization=_number(row["gpu_memory_utilization"]),
    )  # fmt: skip
    return DeploymentSpec(
        model="", device="h100-sxm", engine=engine,
        parallel=Parallel(tp=int(_number(row["tp"] or tp)), pp=int(_number(row["pp"] or pp))),
        precision=PrecisionSpec.model_validate({"weights": weights, "activations": dtype, "kv_cache": kv_cache}),
    )  # fmt: skip


def _model_of_log(log: str) -> ModelSpec | None:
    """The model whose published id the log file's name begins with; early failures name it nowhere else."""
    wanted = re.sub(r"-+h100.*", "", log)
    for name in model_names():
        model = find_model(name)
        if any(re.sub(r"[/._]", "-", alias.lower()).startswith(wanted) for alias in model.aliases):
            return model
    return None


def _of_log(log: str) -> tuple[str, str, str]:
    """TP, PP and length from a log file's name."""
    found = re.search(r"tp(\d+)pp(\d+)dp\d+--(\d+)", log)
    return (found[1], found[2], found[3]) if found else ("1", "1", "nan")


def _number(text: str) -> float:
    return float(text) if text else float("nan")
