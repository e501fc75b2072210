"""The memory ledger against start-ups of vLLM 0.19 on H100; each family predicted by coefficients fitted on the others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.fit_memory import FAMILIES, StartUp, family, fit, start_ups
from benchmarks.line import Line, Result
from predictors.memory import MemoryLedger, ledger_by
from predictors.memory.coefficients import GIB, Coefficients
from specs.catalog import find_device
from specs.errors import InputError

BARS = {"weights": 0.004, "kv_bytes": 0.01, "max_concurrency": 0.01}
LINE = Line(
    name="memory",
    what="start-up memory of 47 vLLM runs, mean error over distinct (model, quantisation, TP, PP), families left out of any fit:"
    " weights / KV bytes / maximum concurrency",
    bar="≤ 0.4 / 1 / 1 %",
    data="gpu_memory",
    best="llm-d-planner 0.84 / 7.8 / 16.7 %; tensor formulas with one activation term 0.4 / 0.5 / 0.5 %",
)


def run() -> Result:
    """Score every start-up by coefficients that never saw its family, and say which failed runs the ledger explains."""
    runs = start_ups("llmd_planner_vllm019_h100_memory.csv")
    held_out = {name: fit([run for run in runs if family(run.model) != name]) for name in FAMILIES}
    rows = [_row(run, _predict(run, held_out[family(run.model)])) for run in runs]
    figures = {name: _mean_over_configurations(runs, rows, name) for name in BARS}
    text = " / ".join(f"{100 * figures[name]:.2f} %" for name in BARS) + " (weights / KV bytes / maximum concurrency)"
    failed = tuple(_failed_rows(held_out))
    return Result(
        holds=all(figures[name] <= bar for name, bar in BARS.items()),
        text=text,
        figures=figures,
        detail=(*rows, *failed),
    )


def _predict(run: StartUp, coefficients: Coefficients) -> MemoryLedger:
    return ledger_by(coefficients, run.model, find_device("h100-sxm"), run.deployment)


def _row(run: StartUp, book: MemoryLedger) -> dict[str, object]:
    measured = {"weights": run.weights_gib * GIB, "kv_bytes": run.kv_gib * GIB, "max_concurrency": run.max_concurrency}
    predicted = {
        "weights": book.item("weights").bytes,
        "kv_bytes": book.kv_bytes,
        "max_concurrency": book.max_concurrency,
    }
    errors = {name: predicted[name] / measured[name] - 1 for name in BARS}
    return {
        "run": run.label, "activations_gib": book.item("activations").bytes / GIB, "activations_measured_gib": run.activations_gib,
        "inside_interval": book.kv_bytes_low <= measured["kv_bytes"] <= book.kv_bytes_high, "fits": book.fits, **errors,
    }  # fmt: skip


def _mean_over_configurations(runs: list[StartUp], rows: list[dict[str, object]], name: str) -> float:
    """Mean over distinct (model, quantisation, TP, PP) of each one's mean absolute error."""
    by_configuration: dict[tuple[object, ...], list[float]] = {}
    for run, row in zip(runs, rows, strict=True):
        by_configuration.setdefault(run.configuration, []).append(abs(float(row[name])))  # type: ignore[arg-type]
    return float(np.mean([np.mean(errors) for errors in by_configuration.values()]))


def _failed_rows(held_out: dict[str, Coefficients]) -> Iterator[dict[str, object]]:
    for run in start_ups("llmd_planner_vllm019_h100_failed_runs.csv"):
        try:
            book = _predict(run, held_out[family(run.model)])
        except InputError as error:
            yield {"failed_run": run.label, "predicted": "refused", "reason": error.message}
            continue
        yield {"failed_run": run.label, "predicted": "fits" if book.fits else "does not fit", "reason": book.reason}
