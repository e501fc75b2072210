"""The SLO split among the services: what the network takes off each bound, and `plan slo` on the rest."""

from __future__ import annotations

from collections.abc import Mapping

from planners.application.question import Question
from planners.slo import plan as plan_slo
from predictors.application.simulation import default_requests
from specs.application import Application, ApplicationSpec, Entry, Resources
from specs.slo_plan import SloPlan

ON_GPUS = Resources(cpu_cores=1e-3)
"""What a service on GPUs counts for in the split: its GPUs are planned before."""


FEWER = 100_000
"""Requests of a simulation that a fuller one follows [ours]."""


def fewer(question: Question) -> int:
    """Return how many requests are simulated where the whole is simulated in full after it, or only compared with."""
    return min(FEWER, default_requests(question.graph))


def name_of(entry: Entry) -> str:
    """Return the entry as plans call it: service/operation."""
    return f"{entry.service}/{entry.operation}" if entry.operation else entry.service


def tightened(spec: ApplicationSpec, network: list[float], factor: float) -> ApplicationSpec | None:
    """Return the application with what the network takes off its bounds; None where it takes all."""
    entries = []
    for entry, taken in zip(spec.entries, network, strict=True):
        if entry.slo is not None:
            left = {quantity: factor * bound - taken for quantity, bound in entry.slo.latency_s.items()}
            if any(bound <= 0.0 for bound in left.values()):
                return None
            entry = entry.model_copy(update={"slo": entry.slo.model_copy(update={"latency_s": left})})
        entries.append(entry)
    return spec.model_copy(update={"entries": tuple(entries)})


def split(
    question: Question, spec: ApplicationSpec, *, scale: float | None = None, requests: int = FEWER
) -> SloPlan:  # fmt: skip
    """Split the SLO of ``spec`` at the planned load, or at ``scale`` times the document's; so many are simulated."""
    services = tuple(
        one.model_copy(update={"requests": ON_GPUS}) if one.name in question.llm else one for one in spec.services
    )
    changed = question.application.model_copy(update={"spec": spec.model_copy(update={"services": services})})
    documents: tuple[Application, Mapping] = changed, question.profiles  # type: ignore[type-arg]
    return plan_slo(
        question.path, compose="convolve", scale=scale or question.load.scale, store=question.store,
        seed=question.seed, documents=documents, requests=min(requests, default_requests(question.graph)),
    )  # fmt: skip
