"""Whole instances, the baseline: one more replica at a time on free GPUs."""

from __future__ import annotations

from collections.abc import Iterator

from planners.modules.judging import Way
from planners.modules.layouts import at_home, kv_tokens, surface_of, sustained
from planners.modules.question import DETECT_S, ENGINE_START_S, Question


def ways(question: Question) -> Iterator[Way]:
    """From the deployed number of replicas up to what the free GPUs hold; a pod takes whole GPUs."""
    parallel = question.deployment.parallel
    stages, most = parallel.pp, len(question.units) // parallel.pp
    for replicas in range(question.deployment.replicas, most + 1):
        layout = at_home(question, question.units[:stages], ())
        surface, tokens = surface_of(question, layout), kv_tokens(question, layout)
        gpus = replicas * stages * parallel.tp
        yield Way(
            method="whole-instance", label=f"{replicas} instance{'s' * (replicas != 1)}", surface=surface,
            kv_tokens=tokens, replicas=replicas, gpus=gpus, share=float(gpus),
            sustains_per_s=replicas * sustained(question, surface, tokens),
        )  # fmt: skip


def react_s(question: Question, now: Way, then: Way) -> float:
    """Seconds until the instances that the step needs serve: sync, engine start, weights from the network."""
    if then.replicas <= now.replicas:
        return 0.0
    weights = float(question.memory.weights.sum()) * question.deployment.parallel.tp
    return DETECT_S + ENGINE_START_S + question.load_s(weights)
