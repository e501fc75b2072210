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
    """Plan the GPUs of each LLM service at its workload's rate, at least that of its visits; raises `InputError`.

    What its workload refers to is added to the question's inputs.
    """
    plans: list[tuple[str, ServingPlan]] = []
    profiles: dict[str, ServiceProfileSpec] = {}
    gpus: list[GpusPlanned] = []
    evidence: list[Evidence] = []
    for one in question.services:
        if one.name not in question.llm or one.workload is None:
            continue
        found, rate = _served(question, one.name, one.workload)
        plans.append((one.name, found))
        if found.decision is None or found.expected is None:
            continue
        profiles[one.name] = _profile(one.name, found, rate)
        gpus.append(_planned(one.name, one.workload, found, rate))
        evidence += [entry.model_copy(update={"quantity": f"{one.name}: {entry.quantity}"}) for entry in found.evidence]
    return Language(tuple(plans), profiles, tuple(gpus), tuple(evidence))


def _served(question: Question, name: str, workload: str) -> tuple[ServingPlan, float]:
    """The serving plan and the rate that it answers for; refused before planning where the document says its rate."""
    path, needed = question.path.parent / workload, visits(question)[name]
    rate = _rate(read_document(path, Workload))
    if rate is not None:
        _check(name, workload, needed, rate)
    found = plan_serving(path, question.cluster, store=question.store, seed=question.seed)
    question.inputs.update(found.metadata.inputs)
    if rate is None and found.why is not None:
        told = found.why.load.get("rate_per_s")
        rate = float(told) if told is not None else needed
        _check(name, workload, needed, rate)
    return found, rate or needed


def _check(name: str, workload: str, needed: float, rate: float) -> None:
    if needed > rate * (1.0 + 1e-9):
        cure = f"Raise the arrivals of {workload} to {needed:.4g} per second: its `rate_per_s`, or a trace's `scale`."
        text = f"service {name}: it is visited {needed:.4g} times per second, its workload has {rate:.4g}"
        raise InputError(text, cure=cure)


def _planned(name: str, workload: str, found: ServingPlan, rate: float) -> GpusPlanned:
    assert found.decision is not None
    assert found.expected is not None
    return GpusPlanned(
        service=name, workload=workload, gpus=found.decision.gpus, outcome=found.status.outcome,
        usd_per_hour=found.decision.usd_per_hour, reason=found.status.reason, rate_per_s=rate,
        headroom=found.why.headroom if found.why else None, deployments=found.decision.deployments,
        ttft_s=found.expected.ttft_s, e2e_s=found.expected.e2e_s,
    )  # fmt: skip


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
