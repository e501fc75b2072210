"""The plan by modules: the method decided for, what it does and does step by step, and all methods side by side."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from planners.modules import cocoserve, pressure, services
from planners.modules.judging import Judged
from planners.modules.question import COPY_START_S, DETECT_S, ENGINE_START_S, SERVICE_START_S, Question
from predictors.estimate import expected_of, outlook_of
from specs.deployment import DeploymentInPlan
from specs.modules import Method, MethodResult, ModulesDecision, ModulesPlan, ModulesWhy, Release
from specs.plan import Evidence, Status
from specs.stamping import stamped


def report(
    question: Question, found: Mapping[Method, Judged], reactions: Mapping[Method, float | None], asked: str,
    started: float,
) -> ModulesPlan:  # fmt: skip
    """Write the plan: the asked method, or of all the cheapest that holds."""
    holding = {name: one for name, one in found.items() if one.holds}
    if asked != "all":
        holding = {name: one for name, one in holding.items() if name == asked}
    results = tuple(_result(question, one, reactions[name]) for name, one in found.items())
    solver: dict[str, float | int | str] = {
        "method": "simulation in order of cost", "seconds": round(time.process_time() - started, 2),
    }  # fmt: skip
    if not holding:
        return _refused(question, results, solver, asked)
    name = min(holding, key=lambda one: (holding[one].way.share, list(holding).index(one)))
    best = holding[name]
    outlook = outlook_of(best.compiled, question.workload, question.requests, question.seed, lambda *_: None)
    return ModulesPlan(
        metadata=stamped(question.name, question.inputs),
        status=Status(outcome="feasible", reason=_reason(question, name, best, found), solver=solver),
        valid="while load, lengths and the room on the GPUs stay as given",
        decision=_decision(question, name, best),
        expected=expected_of(outlook),
        why=_why(question, results, best if name == "cocoserve" else found.get("cocoserve")),
        evidence=(*question.cut.whole.evidence, _assumed()),
    )


def _result(question: Question, one: Judged, react_s: float | None) -> MethodResult:
    found, way = one.measures, one.way
    tpot = None if found is None or not np.isfinite(found.tpot_s.p99.value) else round(found.tpot_s.p99.value, 5)
    cost = way.usd_per_hour(question)
    return MethodResult(
        method=way.method, decision=way.label, holds=one.holds, gpus=way.gpus, gpu_share=round(way.share, 3),
        usd_per_hour=None if cost is None else round(cost, 3),
        attainment=round(found.attainment.value, 5) if found else 0.0,
        ttft_p99_s=round(found.ttft_s.p99.value, 4) if found else 0.0, tpot_p99_s=tpot,
        e2e_mean_s=round(found.e2e_s.mean.value, 4) if found else 0.0,
        tokens_per_s=round(found.output_tokens_per_s, 1) if found else 0.0,
        sustains_per_s=round(way.sustains_per_s, 3), react_s=None if react_s is None else round(react_s, 2),
        breaks=one.breaks,
    )  # fmt: skip


def _reason(question: Question, name: Method, best: Judged, found: Mapping[Method, Judged]) -> str:
    text = f"the SLO is kept by {best.way.label}, {best.way.share:.2f} GPUs"
    others = [f"{other} needs {one.way.share:.2f}" if one.holds else f"{other} does not ({one.breaks})"
              for other, one in found.items() if other != name]  # fmt: skip
    return text + (f"; {', '.join(others)}" if others else "")


def _decision(question: Question, name: Method, best: Judged) -> ModulesDecision:
    way = best.way
    replicas = way.replicas if name != "layer-services" else 1
    own = question.deployment.model_dump(exclude={"replicas", "pool"})
    labels = {"published": question.model.aliases[0]} if question.model.aliases else {}
    deployment = DeploymentInPlan(**own, replicas=replicas, pool=question.pool.name, labels=labels)
    cost = way.usd_per_hour(question)
    decision = ModulesDecision(
        method=name, deployments=(deployment,), gpus=way.gpus, gpu_share=round(way.share, 3),
        usd_per_hour=None if cost is None else round(cost, 3),
    )  # fmt: skip
    if name == "cocoserve":
        ladder, count = cocoserve.climbed(best.way)
        layout = ladder.steps[count - 1].layout if count else ladder.start
        by_layer = {str(index): 1 + len(one.copies) for index, one in enumerate(layout.layers) if one.copies}
        actions = tuple(step.action for step in ladder.steps[:count])
        return decision.model_copy(update={"actions": actions, "replicas_by_layer": by_layer})
    if name == "layer-services":
        told = {"services": services.services_of(question, best), "pipeline": services.pipeline_of(question, best)}
        return decision.model_copy(update=told)
    return decision


def _why(question: Question, results: tuple[MethodResult, ...], copies: Judged | None) -> ModulesWhy:
    notes = [
        *question.notes,
        f"a crossing costs its link and {question.hop_ms:g} ms of software (--hop-ms)",
        f"ways are compared at {question.upper:.2f} × the expected step time, the end for {question.confidence:.0%} "
        "confidence; `expected` is at the expected one",
    ]
    release: tuple[Release, ...] = ()
    figures: dict[str, float | str] = {}
    if copies is not None:
        ladder, count = cocoserve.climbed(copies.way)
        layout = ladder.steps[count - 1].layout if count else ladder.start
        release = pressure.release(question, layout, ladder.steps[:count])
        figures = pressure.figures(question, layout)
        if ladder.too_slow:
            notes.append(ladder.too_slow)
        if not ladder.steps:
            notes.append("no copy gains more than it costs on this load: CoCoServe is then the instances as they are")
    if any(one.usd_per_hour is not None for one in results):
        notes.append("idle memory of a GPU that others pay for is charged by its share of that GPU's memory")
    return ModulesWhy(compared=results, release=release, figures=figures, notes=tuple(notes))


def _assumed() -> Evidence:
    return Evidence(
        quantity="start-up", basis="assumed",
        source=f"sync {DETECT_S:g} s, engine start {ENGINE_START_S:g} s, service start {SERVICE_START_S:g} s, "
        f"copy start {COPY_START_S * 1e3:g} ms; weights and copies from bytes and links",
    )  # fmt: skip


def _refused(
    question: Question, results: tuple[MethodResult, ...], solver: dict[str, float | int | str], asked: str
) -> ModulesPlan:
    judged = [one for one in results if asked in ("all", one.method)]
    conflicts = tuple(f"{one.method}: {one.decision}: {one.breaks}" for one in judged if one.breaks)
    best = max(judged, key=lambda one: one.attainment, default=None)
    return ModulesPlan(
        metadata=stamped(question.name, question.inputs),
        status=Status(
            outcome="infeasible", reason="no way on these GPUs keeps the SLO"
            + (f": {best.decision} comes closest, {best.breaks}" if best else ""),
            conflicts=conflicts, solver=solver,
            smallest_change="more free GPUs or idle memory, or a looser SLO",
        ),
        why=ModulesWhy(compared=results, notes=question.notes),
    )  # fmt: skip
