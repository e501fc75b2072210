"""`plan placement` from its documents to its plan."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from planners.placement.layers import Bench, Choice, chosen
from planners.placement.question import OnProgress, Question, Served, in_flight, read_question
from planners.placement.refusals import refused_layers, stays_behind
from planners.placement.report import report_layers
from planners.placement.sharing import place_models
from predictors.layered import CROSSING_MS
from predictors.step_time.slices import decode_s, prefill_s
from specs.base import Precision
from specs.errors import InputError
from specs.placement import PlacementObjective, PlacementPlan, Resource, Variant

MOST_ROUNDS = 16
GROWTH = 1.25
"""Rounds in which the requests in flight and the time they take are brought to agree."""


def plan(
    models: Sequence[str],
    cluster: Path,
    *,
    workloads: Sequence[Path] = (),
    objective: PlacementObjective = "latency",
    variant: Variant = "helr",
    least: Resource = "gpus",
    batch: int = 1,
    prompt_tokens: int = 512,
    output_tokens: int = 128,
    micro_batches: int = 4,
    most_gpus: int = 16,
    crossing_ms: float = CROSSING_MS,
    confidence: float = 0.8,
    weights: Precision | None = None,
    current: Path | None = None,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> PlacementPlan:
    """Place the layers of one model, or many whole models, on the free GPUs of a cluster.

    One model: contiguous runs of layers by exact dynamic programming, with room for the KV that ``batch`` requests
    need (or, with a workload, the requests that are in flight at its rate). Several: each whole on one GPU or more
    copies, sharing GPUs as far as memory and every SLO allow, by an integer programme with a proven gap.
    Infeasible plans are returned, not raised. Raises `InputError` for wrong documents, `InfeasibleError` for a
    ``current`` device map that cannot fit. [ours, after UELLM's deployer (arXiv 2409.14961), whose repository holds
    no dynamic programme]
    """
    started = time.process_time()
    progress = on_progress or (lambda done, total, what: None)
    question = read_question(
        models, cluster, workloads=workloads, objective=objective, variant=variant, least=least, batch=batch,
        prompt_tokens=prompt_tokens, output_tokens=output_tokens, micro_batches=micro_batches, most_gpus=most_gpus,
        crossing_ms=crossing_ms, confidence=confidence, weights=weights, current=current, seed=seed,
    )  # fmt: skip
    if len(question.served) > 1:
        if current is not None:
            raise InputError("--current is the device map of one model", cure="Place one model, or leave it out.")
        return place_models(question, started, progress)
    return _place_layers(question, started, progress)


def _place_layers(question: Question, started: float, progress: OnProgress) -> PlacementPlan:
    served = question.served[0]
    batch = served.batch or 1
    bench = Bench(question, served, batch)
    for round_ in range(MOST_ROUNDS):
        progress(round_, MOST_ROUNDS, f"placing for {batch} requests in flight")
        bench = Bench(question, served, batch, bench.timed)
        choices = bench.choices()
        if not choices:
            return refused_layers(bench, started)
        best = chosen(choices, question.variant, question.least)
        needed = _needed(bench, best, served)
        if needed <= batch:
            return report_layers(bench, choices, best, started, progress)
        batch = max(needed, int(GROWTH * batch))
    return refused_layers(bench, started, reason=stays_behind(bench, best))


def _needed(bench: Bench, best: Choice, served: Served) -> int:
    """Requests in flight at the workload's rate: each decodes beside the others and waits for their prompts.

    A pipeline holds as many batches as it has stages, each with its share of the requests. [ours]
    """
    if served.batch is not None:
        return 0
    each = max(1.0, bench.batch / len(best.split.runs))
    surface = bench.surface(best.split)
    prefill = prefill_s(surface, served.prompt_tokens, each)
    decode = decode_s(surface, each, bench.context)
    return in_flight(served.rate_per_s, prefill + served.output_tokens * decode)
