"""Services that serve a language model: GPUs by the serving planner, and their latency as the application sees it."""

from __future__ import annotations

from dataclasses import dataclass

from planners.application.question import Question, visits
from planners.serving import plan as plan_serving
from specs.application import LatencyCurveSpec, Quantity, ServiceProfileSpec
from specs.application_plan import GpusPlanned
from specs.errors import InputError
from specs.plan import Evidence, ServingPlan
from specs.reading import read_document
from specs.workload import Workload

FIGURES: tuple[Quantity, ...] = ("mean", "p50", "p90", "p95", "p99")


@dataclass(frozen=True)
class Language:
    """What the serving plans of the application's LLM services say."""

    plans: tuple[tuple[str, ServingPlan], ...]
    profiles: dict[str, ServiceProfileSpec]
    gpus: tuple[GpusPlanned, ...]
    evidence: tuple[Evidence, ...]


def language(question: Question) -> Language:
    """Plan the GPUs of each LLM service at its workload's rate, at least that of its visits; raises `InputError`."""
    plans: list[tuple[str, ServingPlan]] = []
    profiles: dict[str, ServiceProfileSpec] = {}
    gpus: list[GpusPlanned] = []
    evidence: list[Evidence] = []
    for one in question.services:
        if one.name not in question.llm or one.workload is None:
            continue
        path = question.path.parent / one.workload
        rate, needed = _rate(read_document(path, Workload)), visits(question)[one.name]
        if rate is not None and needed > rate * (1.0 + 1e-9):
            cure = f"Raise the arrivals of {one.workload} to {needed:.4g} per second."
            text = f"service {one.name}: it is visited {needed:.4g} times per second, its workload has {rate:.4g}"
            raise InputError(text, cure=cure)
        found = plan_serving(path, question.cluster, store=question.store, seed=question.seed)
        plans.append((one.name, found))
        if found.decision is None or found.expected is None:
            continue
        profiles[one.name] = _profile(one.name, found, rate or needed)
        gpus.append(
            GpusPlanned(
                service=one.name, workload=one.workload, gpus=found.decision.gpus, outcome=found.status.outcome,
                usd_per_hour=found.decision.usd_per_hour, answers_within_s=_latencies(found),
            )
        )  # fmt: skip
        evidence += [entry.model_copy(update={"quantity": f"{one.name}: {entry.quantity}"}) for entry in found.evidence]
    return Language(tuple(plans), profiles, tuple(gpus), tuple(evidence))


def _rate(workload: Workload) -> float | None:
    arrivals = getattr(workload.spec, "arrivals", None)
    rate = getattr(arrivals, "rate_per_s", None)
    return float(rate) if rate is not None else None


def _latencies(found: ServingPlan) -> dict[str, float]:
    """The upper end of each latency of a whole answer, as the serving plan states it."""
    assert found.expected is not None
    said: dict[str, float] = {}
    for quantity in FIGURES:
        figure = getattr(found.expected.e2e_s, quantity)
        if figure is not None:
            said[quantity] = figure.high if figure.high is not None else figure.value
    return said


def _profile(name: str, found: ServingPlan, rate_per_s: float) -> ServiceProfileSpec:
    """A latency that stays as planned up to the planned load: the serving plan has answered for it."""
    curves = tuple(
        LatencyCurveSpec(
            quantity=quantity, form="piecewise", knots=((rate_per_s * 1e-3, value), (rate_per_s, value)),
            low_per_s=rate_per_s * 1e-3, high_per_s=rate_per_s, loads=2,
        )
        for quantity, value in _latencies(found).items()
        if quantity in FIGURES
    )  # fmt: skip
    return ServiceProfileSpec(service=name, curves=curves, sources=("tonnage plan serving",))
