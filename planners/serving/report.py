"""The plan of a decision that was found: expected figures, reasons, evidence, validity, difference to what runs now."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from planners.serving.bounds import Demand
from planners.serving.candidates import (
    MAX_NUM_BATCHED_TOKENS,
    MAX_NUM_SEQS,
    MEMORY_FRACTIONS,
    Decision,
    Layout,
    Part,
    describe,
    gpus,
    prompt_ranges,
    stranded_gpus,
    usd_per_hour,
)
from planners.serving.compared import alternative, baselines, beyond, next_cheaper, other_pools, pareto
from planners.serving.decide import Check, few_notes, observed
from planners.serving.difference import difference
from planners.serving.expected import Expectation, expect, expected, rounded
from planners.serving.opening import Tally
from planners.serving.question import OnProgress, Question
from planners.serving.serve import Workbench
from planners.serving.trials import Trial, price
from planners.serving.whatif import Headroom, against_load, first_to_break, headroom, what_if
from predictors.serving import Run
from predictors.workload import statistics
from specs.deployment import DeploymentInPlan, Role, Roles
from specs.plan import BoundHeld, Evidence, ServingDecision, ServingPlan, ServingWhy, Status
from specs.stamping import stamped

VALID_DAYS = 90
"""Prices and engine versions are taken to stand this long after the newest price. [assumed]"""
WINDOW_S = 60.0
"""Window in which a burst is told; a tenth of the trace where that is shorter."""


def report(
    bench: Workbench,
    asked: Demand,
    layouts: Sequence[Layout],
    best: Trial,
    tally: Tally,
    current: Path | None,
    started: float,
    on_progress: OnProgress,
) -> ServingPlan:
    """Write the plan of ``best``; ``started`` is the process time at which planning began."""
    question, decision = bench.question, best.decision
    on_progress(0, 4, "expected figures")
    found = expect(bench, decision)
    on_progress(1, 4, "headroom")
    load = headroom(bench, decision)
    on_progress(2, 4, "alternatives")
    why = reasons(bench, asked, layouts, best, tally, found, load)
    on_progress(4, 4, "done")
    deployments = tuple(deployments_of(bench, decision))
    notes = (*why.notes, *difference(deployments, current, question.base))
    return ServingPlan(
        metadata=stamped(question.name, question.inputs),
        status=Status(
            outcome="optimal",
            reason=reason(question, best, tally) + weaker_evidence(bench, decision),
            solver=solver(tally, started),
        ),
        valid=validity(question, load),
        decision=ServingDecision(
            deployments=deployments, gpus=gpus(decision), usd_per_hour=usd_per_hour(decision)
        ),
        expected=expected(question, decision, found),
        why=why.model_copy(update={"notes": notes}),
        evidence=evidence_of(bench, decision),
    )  # fmt: skip


def reasons(
    bench: Workbench,
    asked: Demand,
    layouts: Sequence[Layout],
    best: Trial,
    tally: Tally,
    found: Expectation,
    load: Headroom,
) -> ServingWhy:
    """Binding constraint, next cheaper, what was compared, Pareto front, what-if, and what failed."""
    question = bench.question
    cheaper = next_cheaper(bench, best, tally)
    others = other_pools(bench, asked, best, tally, layouts)
    simple = baselines(bench, asked, best, layouts)
    dearer = beyond(bench, best)
    front = pareto(bench, [best, *dearer, *others, *([cheaper] if cheaper else [])])
    first, multiple = first_to_break(bench, best.decision, load)
    compared = [*(alternative(trial, note) for note, trial in simple), *(alternative(trial) for trial in others)]
    breaks_first = f"{first} breaks it first, at {multiple:.2f} ×" if multiple else "nothing up to 2 × breaks it"
    return ServingWhy(
        binding=best.verdict.worst.name, slo=tuple(held(check) for check in best.verdict.checks),
        confidence=question.confidence, survives=question.survive, headroom=rounded(load.holds),
        headroom_high=None if load.breaks is None else rounded(load.breaks),
        next_cheaper=alternative(cheaper) if cheaper else None, compared=tuple(compared),
        pareto=tuple(alternative(trial) for trial in front), what_if=tuple(what_if(bench, best.decision)),
        against_load=tuple(against_load(bench, best.decision, load)),
        failed=tuple(alternative(trial) for trial in cheaper_failed(question, best, tally)),
        candidates=candidate_text(question),
        load=load_figures(question) | burst_of(question, best, found.run),
        bounds=bound_figures(tally, best.decision) | {"breaks_first": breaks_first},
        notes=(*few_notes(found.run), *placement_notes(question, best.decision), *outside_note(found.run)),
    )  # fmt: skip


def held(check: Check) -> BoundHeld:
    """A check as the plan shows it."""
    return BoundHeld(name=check.name, bound=check.bound, planned=rounded(check.value), holds=check.holds)


def cheaper_failed(question: Question, best: Trial, tally: Tally) -> list[Trial]:
    """What failed at a price below the answer's, dearest last."""
    cost = price(question, best.decision)
    below = [trial for trial in tally.failed if price(question, trial.decision) < cost]
    return sorted(below, key=lambda trial: price(question, trial.decision))


def reason(question: Question, best: Trial, tally: Tally) -> str:
    """The outcome in one sentence."""
    parts = [f"{describe(best.decision)} holds every bound ({best.verdict.worst.text} at the upper end)"]
    failed = cheaper_failed(question, best, tally)
    if failed:
        last = describe(failed[-1].decision)
        if len(failed) == 1:
            parts.append(f"the one cheaper candidate that closed forms left open fails: {last}")
        else:
            parts.append(f"all {len(failed)} cheaper candidates that closed forms left open fail, {last} last")
    else:
        parts.append("closed forms rule out everything cheaper")
    return "; ".join(parts)


def weaker_evidence(bench: Workbench, decision: Decision) -> str:
    """What the reason must say where step times rest on less than a profile that was given, or on a datasheet alone."""
    steps = {part.layout.label: bench.step(part.layout, part.role).tier for part in decision}
    given = bool(bench.question.profiles)
    weak = [
        f"{label} on {tier}" for label, tier in steps.items() if tier == "datasheet" or (given and tier == "calibrated")
    ]
    return f"; step times rest on weaker evidence: {', '.join(weak)}" if weak else ""


def solver(tally: Tally, started: float) -> dict[str, float | int | str]:
    """The solver's own figures; ``seconds`` is CPU time."""
    return {
        "method": "cost-ordered search, closed-form bounds, simulation", "evaluated": tally.evaluated,
        "pruned": tally.pruned, "gap": 0.0, "seconds": round(time.process_time() - started, 2),
    }  # fmt: skip


def deployments_of(bench: Workbench, decision: Decision) -> list[DeploymentInPlan]:
    """The decision as deployments: roles in one, parts of a mix each their own with the prompts they serve."""
    if any(part.role != "mixed" for part in decision):
        return [_with_roles(bench, decision[0], decision[1])]
    found = []
    for part in decision:
        own = bench.deployment(part.layout, part.limits, part.replicas + part.spare)
        if part.prompts is not None:
            own = own.model_copy(update={"labels": own.labels | {"prompt_tokens": prompt_ranges(part)}})
        found.append(own)
    return found


def _with_roles(bench: Workbench, prefill: Part, decode: Part) -> DeploymentInPlan:
    own = bench.deployment(prefill.layout, prefill.limits, 1)
    roles = Roles(
        prefill=Role(replicas=prefill.replicas + prefill.spare, parallel=prefill.layout.parallel),
        decode=Role(replicas=decode.replicas + decode.spare, parallel=decode.layout.parallel),
        transfer_gb_per_s=bench.transfer_gb_per_s,
    )
    return own.model_copy(update={"roles": roles})


def validity(question: Question, load: Headroom) -> str:
    """Until when, and under which assumptions, the plan stands."""
    dates = [pool.usd_per_gpu_hour.date for pool in question.cluster.pools if pool.usd_per_gpu_hour]
    until = _after(max(dates)) if dates else None
    when = f"until {until} ({VALID_DAYS} days after the newest price)" if until else "while nothing below changes"
    engine = question.engine
    return (
        f"{when}; while the load stays within {load.holds:.2f} × of the planned arrivals, their lengths and bursts, "
        f"{engine.name} {engine.version} runs with the planned limits, and prices stay"
    )


def _after(day: str) -> str | None:
    try:
        return (date.fromisoformat(day) + timedelta(days=VALID_DAYS)).isoformat()
    except ValueError:
        return None


def evidence_of(bench: Workbench, decision: Decision) -> tuple[Evidence, ...]:
    """What the step times and the memory of every part rest on, each entry once."""
    found: list[Evidence] = []
    for part in decision:
        step, book = bench.step(part.layout, part.role), bench.memory(part.layout, part.limits, part.role)
        notes = [
            Evidence(quantity="step_time range", basis=step.tier, source="the surface's grids", note=note)
            for note in step.range_notes
        ]
        found += [entry for entry in (*step.evidence, *notes, *book.evidence) if entry not in found]
    for pool in {part.layout.pool.name: part.layout.pool for part in decision}.values():
        if pool.usd_per_gpu_hour is not None:
            paid = pool.usd_per_gpu_hour
            found.append(
                Evidence(quantity=f"price of {pool.name}", basis="assumed", source=f"{paid.source}, {paid.date}")
            )
    return tuple(found)


def candidate_text(question: Question) -> str:
    """The candidate set over which `optimal` is meant."""
    pools = ", ".join(pool.name for pool in question.cluster.pools)
    return (
        f"pools {pools}; TP 1, 2, 4, 8 that divide the heads, within a node; PP 2, 4 where the link is slow or TP "
        f"fills the node; EP = TP for experts; max_num_seqs {', '.join(map(str, reversed(MAX_NUM_SEQS)))}; "
        f"max_num_batched_tokens {', '.join(map(str, reversed(MAX_NUM_BATCHED_TOKENS)))}; memory "
        f"{', '.join(map(str, MEMORY_FRACTIONS))}; every number of replicas that fits; mixed roles, the 100 "
        "cheapest pairs of prefill and decode replicas in one pool; mixes of pools by prompt length that the integer "
        "programme proposes; weights as published"
    )


def load_figures(question: Question) -> dict[str, float | str]:
    """The workload's statistics."""
    return {name: rounded(value) for name, value in statistics(question.requests).items()}


def burst_of(question: Question, best: Trial, run: Run) -> dict[str, float | str]:
    """When most of the requests came that are beyond the p99 of the binding figure, and how heavy that minute was."""
    name = next((part for part in best.verdict.worst.name.split(".") if part.endswith("_s")), "ttft_s")
    values = observed(run).get(name, run.ttft_s)
    slow = run.arrival_s[values >= np.nanquantile(values, 0.99)]
    span = float(run.arrival_s[-1] - run.arrival_s[0])
    if question.closed_loop is not None or span <= 0 or len(slow) == 0:
        return {}
    window_s = min(WINDOW_S, span / 10)
    edges = run.arrival_s[0] + np.arange(int(span / window_s + 1e-9) + 1) * window_s
    at = int(np.histogram(slow, edges)[0].argmax())
    inside = int(np.histogram(run.arrival_s, edges)[0][at])
    ratio = inside / window_s / (len(run.arrival_s) / span)
    return {
        "binding_burst_from_s": rounded(float(edges[at])),
        "binding_burst_s": window_s,
        "binding_burst_rate_to_mean": rounded(ratio),
    }


def bound_figures(tally: Tally, decision: Decision) -> dict[str, float | str]:
    """The closed-form replicas of the chosen layout."""
    bound = tally.bounds.get(decision[0].layout.label)
    if bound is None:
        return {}
    return {
        "replicas_at_least": bound.replicas, "by_kv_littles_law": rounded(bound.little_kv),
        "by_sequences_littles_law": rounded(bound.little_seqs), "by_burst_prefill": rounded(bound.burst),
        "by_mean_work": rounded(bound.work),
    }  # fmt: skip


def placement_notes(question: Question, decision: Decision) -> list[str]:
    """GPUs that are taken or left over, and what may be lost."""
    notes = []
    for part in decision:
        pool = part.layout.pool
        taken, stranded = sum(pool.taken_by_node()), stranded_gpus(pool, part.layout.parallel)
        if taken or stranded:
            notes.append(
                f"pool {pool.name}: {taken} GPUs are taken, {stranded} free ones lie in fragments below "
                f"tp {part.layout.parallel.tp}"
            )
        if part.spare:
            notes.append(
                f"{part.spare} of {part.replicas + part.spare} replicas are spare, to survive a lost {question.survive}"
            )
    return notes


def outside_note(run: Run) -> list[str]:
    """A sentence where steps lay beyond the grids of the surface."""
    if run.steps_outside == 0:
        return []
    share = run.steps_outside / max(int(run.replicas.steps.sum()), 1)
    return [f"{share:.1%} of the steps lay beyond the measured range of attention and go on along its last slope"]
