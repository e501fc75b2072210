"""Fits the coefficients of catalog/memory.yaml to measured start-ups: `python -m benchmarks.fit_memory` prints them."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from benchmarks.reference import reference_path
from predictors.memory.activations import activation_bytes
from predictors.memory.coefficients import GIB, Coefficients, fitted
from predictors.memory.overheads import MIB, captured_sizes
from predictors.memory.sharding import Rank, ranks
from predictors.memory.storage import storage
from specs.catalog import find_device, find_model
from specs.deployment import DeploymentSpec, Engine, Parallel, PrecisionSpec
from specs.errors import InputError
from specs.model import ModelSpec

FAMILIES = ("llama", "codellama", "qwen", "deepseek", "gemma", "granite", "phi", "mistral", "gpt-oss")
DTYPES = {"torch.bfloat16": "bf16", "torch.float16": "fp16", "torch.float32": "fp32"}


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
    max_concurrency: float


def start_ups(name: str) -> list[StartUp]:
    """Read the start-ups of one file below `gpu_memory` whose model the log names."""
    with Path(reference_path(f"gpu_memory/{name}")).open(newline="") as file:
        return [found for row in csv.DictReader(file) if (found := _start_up(row))]


def family(model: ModelSpec) -> str:
    """The family that a model is left out with; derived models belong to what they derive from."""
    names = {"kimi-dev": "qwen", "mixtral": "mistral", "codellama": "codellama"}
    for prefix, name in (*names.items(), *((name, name) for name in FAMILIES)):
        if model.name.startswith(prefix):
            return name
    raise InputError(f"{model.name} belongs to no family known here", cure="Add it to FAMILIES.")


def fit(runs: list[StartUp]) -> Coefficients:
    """Fit all coefficients to ``runs``; the activation peak by robust least squares, the rest by medians and one line."""
    base = fitted()
    copies, fixed = _fit_activations(runs, base)
    graphs_fixed, graphs_layer = _fit_graphs(runs)
    parallels = [run.deployment.parallel for run in runs]
    tp, pp, one = ([keep(p) for p in parallels] for keep in (_tensor, _pipeline, _single))
    return Coefficients(
        hidden_copies=copies, fixed_gib=fixed,
        non_torch_gib=_median(runs, "non_torch_gib", one), non_torch_tp_gib=_median(runs, "non_torch_gib", tp),
        non_torch_pp_gib=_median(runs, "non_torch_gib", pp, base.non_torch_pp_gib),
        context_gib=_median(runs, "context_gib", one),
        context_parallel_gib=_median(runs, "context_gib", [not alone for alone in one]),
        graphs_fixed_gib=graphs_fixed, graphs_layer_mib=graphs_layer,
    )  # fmt: skip


def _fit_activations(runs: list[StartUp], base: Coefficients) -> tuple[float, float]:
    measured = np.array([run.activations_gib for run in runs])
    keep = np.isfinite(measured) & np.array([run.deployment.parallel.pp == 1 for run in runs])

    def errors(values: np.ndarray) -> np.ndarray:
        tried = replace(base, hidden_copies=float(values[0]), fixed_gib=float(values[1]))
        return np.array([_activations_gib(run, tried) for run in runs])[keep] - measured[keep]

    found = least_squares(errors, [base.hidden_copies, base.fixed_gib], loss="soft_l1", f_scale=0.02, diff_step=1e-3)
    return float(found.x[0]), float(found.x[1])


def _activations_gib(run: StartUp, coefficients: Coefficients) -> float:
    spec = run.deployment
    stored = storage(run.model, spec.precision)
    return activation_bytes(
        run.model, find_device("h100-sxm"), spec.engine, spec.parallel, _first_rank(run), stored, coefficients
    ) / GIB  # fmt: skip


def _fit_graphs(runs: list[StartUp]) -> tuple[float, float]:
    """Line through the graph memory against graphs x layers: intercept in GiB, slope in MiB."""
    keep = [run for run in runs if np.isfinite(run.graphs_gib)]
    work = [2 * captured_sizes(run.model.architecture, run.deployment.engine) * _first_rank(run).layers for run in keep]
    slope, intercept = np.polyfit(work, [run.graphs_gib for run in keep], 1)
    return float(intercept), float(slope * GIB / MIB)


def _first_rank(run: StartUp) -> Rank:
    return ranks(run.model, run.deployment.parallel)[0]


def _median(runs: list[StartUp], field: str, keep: list[bool], default: float = float("nan")) -> float:
    values = [
        getattr(run, field) for run, kept in zip(runs, keep, strict=True) if kept and np.isfinite(getattr(run, field))
    ]
    return float(np.median(values)) if values else default


def _tensor(parallel: Parallel) -> bool:
    return parallel.tp > 1


def _pipeline(parallel: Parallel) -> bool:
    return parallel.pp > 1 and parallel.tp == 1


def _single(parallel: Parallel) -> bool:
    return parallel.gpus == 1


def _start_up(row: dict[str, str]) -> StartUp | None:
    if not row["model"]:
        return None
    model = find_model(row["model"])
    deployment = _deployment(model, row)
    quantization = row["quantization"] or row["dtype"].removeprefix("torch.")
    parallel = deployment.parallel
    return StartUp(
        label=f"{model.name} {quantization} tp {parallel.tp} pp {parallel.pp} dp {parallel.dp} len {row['max_model_len']} kv {row['kv_cache_dtype']}",
        model=model, deployment=deployment, configuration=(row["model"].lower(), row["quantization"], parallel.tp, parallel.pp),
        weights_gib=_number(row["weight_memory_gib"]), activations_gib=_number(row["activation_memory_gib"]),
        non_torch_gib=_number(row["non_torch_forward_gib"]), context_gib=_number(row["init_cuda_memory_gib"]),
        graphs_gib=_number(row["cuda_graph_actual_gib"]), kv_gib=_number(row["kv_cache_memory_gib"]),
        max_concurrency=_number(row["max_concurrency"]),
    )  # fmt: skip


def _deployment(model: ModelSpec, row: dict[str, str]) -> DeploymentSpec:
    dtype = DTYPES[row["dtype"]]
    precision = PrecisionSpec.model_validate({
        "weights": "fp8" if row["quantization"] == "fp8" else None,
        "activations": dtype,
        "kv_cache": "fp8" if row["kv_cache_dtype"] == "fp8" else dtype,
    })  # fmt: skip
    engine = Engine(
        version="0.19.0", max_num_seqs=1024, max_num_batched_tokens=8192, max_model_len=int(float(row["max_model_len"])),
        gpu_memory_utilization=float(row["gpu_memory_utilization"]),
    )  # fmt: skip
    parallel = Parallel(tp=int(float(row["tp"])), pp=int(float(row["pp"])), dp=int(float(row["dp"])))
    return DeploymentSpec(model=model.name, device="h100-sxm", parallel=parallel, precision=precision, engine=engine)


def _number(text: str) -> float:
    return float(text) if text else float("nan")


if __name__ == "__main__":
    for name, value in vars(fit(start_ups("llmd_planner_vllm019_h100_memory.csv"))).items():
        print(f"{name}: {value:.4g}")
