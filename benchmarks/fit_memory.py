"""Fits the coefficients of catalog/memory.yaml to measured start-ups: `python -m benchmarks.fit_memory` prints them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from benchmarks.start_ups import FAMILIES, MEASURED, StartUp, family, start_ups
from predictors.memory.activations import activation_bytes
from predictors.memory.coefficients import GIB, MIB, Coefficients, fitted
from predictors.memory.items import ENGINE_ITEMS
from predictors.memory.overheads import captured_sizes
from predictors.memory.placement import Placement
from predictors.memory.sharding import ranks
from specs.catalog import find_device
from specs.deployment import Parallel

MEASUREMENTS = {
    "activations": "activations_gib",
    "non-torch": "non_torch_gib",
    "CUDA context": "context_gib",
    "CUDA graphs": "graphs_gib",
}


def fit(runs: list[StartUp]) -> Coefficients:
    """Fit all coefficients to ``runs``: the activation peak by robust least squares, the rest by lines and medians."""
    copies, fixed = _fit_activations(runs)
    graphs_fixed, graphs_layer = _fit_graphs(runs)
    alone, pipeline, tensor, peer, layer = _fit_non_torch(runs)
    return Coefficients(
        hidden_copies=copies, fixed_gib=fixed, graphs_fixed_gib=graphs_fixed, graphs_layer_mib=graphs_layer,
        non_torch_gib=alone, non_torch_pp_gib=pipeline, non_torch_tp_gib=tensor, non_torch_peer_gib=peer,
        non_torch_layer_mib=layer,
        context_gib=_median(runs, "context_gib", lambda parallel: parallel.gpus == 1),
        context_parallel_gib=_median(runs, "context_gib", lambda parallel: parallel.gpus > 1),
    )  # fmt: skip


def fit_without(runs: list[StartUp]) -> dict[str, Coefficients]:
    """Coefficients for each family, fitted on all others."""
    return {name: fit([run for run in runs if family(run.model) != name]) for name in FAMILIES}


def errors_gib(runs: list[StartUp]) -> dict[str, float]:
    """90 % quantile of each item's absolute error on families left out of the fit, in GiB."""
    held_out = fit_without(runs)
    found = {}
    for name, field in MEASUREMENTS.items():
        sizes = [ENGINE_ITEMS[name](_place(run, held_out[family(run.model)])) / GIB for run in runs]
        errors = np.abs(np.array(sizes) - np.array([getattr(run, field) for run in runs]))
        found[name] = float(np.quantile(errors[[run.deployment.parallel.pp == 1 for run in runs]], 0.9))
    return found


def _fit_activations(runs: list[StartUp]) -> tuple[float, float]:
    """Hidden-sized copies and fixed GiB; pipeline runs log a rank without the sampler, and are left out."""
    kept = [run for run in runs if run.deployment.parallel.pp == 1]
    measured: NDArray[np.float64] = np.array([run.activations_gib for run in kept])
    start = fitted()

    def errors(values: NDArray[np.float64]) -> NDArray[np.float64]:
        tried = replace(start, hidden_copies=float(values[0]), fixed_gib=float(values[1]))
        predicted: NDArray[np.float64] = np.array([activation_bytes(_place(run, tried)) / GIB for run in kept])
        return predicted - measured

    found = least_squares(errors, [4.0, 0.04], loss="soft_l1", f_scale=0.02)
    return float(found.x[0]), float(found.x[1])


def _fit_non_torch(runs: list[StartUp]) -> list[float]:
    """GiB alone, in a pipeline, at TP 2, and per further peer; MiB per layer. Left-out kinds keep today's figure."""
    layers = np.array([_place(run, fitted()).rank.layers for run in runs]) * MIB / GIB
    cuts = [run.deployment.parallel for run in runs]
    columns = np.array([[cut.gpus == 1, cut.pp > 1, cut.tp > 1, max(0, cut.tp - 2)] for cut in cuts], dtype=float)
    work = np.column_stack([columns, layers])
    measured: NDArray[np.float64] = np.array([run.non_torch_gib for run in runs])
    today = fitted()
    start = [today.non_torch_gib, today.non_torch_pp_gib, today.non_torch_tp_gib, today.non_torch_peer_gib, 1.0]

    def errors(values: NDArray[np.float64]) -> NDArray[np.float64]:
        predicted: NDArray[np.float64] = work @ values
        return predicted - measured

    return [float(value) for value in least_squares(errors, start, loss="soft_l1", f_scale=0.01).x]


def _fit_graphs(runs: list[StartUp]) -> tuple[float, float]:
    """Line through the graph memory against graphs x layers: intercept in GiB, slope in MiB."""
    work = [
        2 * captured_sizes(run.model.architecture, run.deployment.engine) * _place(run, fitted()).rank.layers
        for run in runs
    ]
    slope, intercept = np.polyfit(work, [run.graphs_gib for run in runs], 1)
    return float(intercept), float(slope * GIB / MIB)


def _place(run: StartUp, coefficients: Coefficients) -> Placement:
    """The last rank, which samples."""
    rank = ranks(run.model, run.deployment.parallel)[-1]
    device = find_device("h100-sxm")
    return Placement(model=run.model, device=device, deployment=run.deployment, rank=rank, fitted=coefficients)


def _median(runs: list[StartUp], field: str, keep: Callable[[Parallel], bool]) -> float:
    return float(np.median([getattr(run, field) for run in runs if keep(run.deployment.parallel)]))


if __name__ == "__main__":
    measured_runs = start_ups(MEASURED)
    for coefficient, value in vars(fit(measured_runs)).items():
        print(f"{coefficient}: {value:.4g}")
    for item, error in errors_gib(measured_runs).items():
        print(f"error_90 of {item}: {error:.3g} GiB")
