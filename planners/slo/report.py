"""The plan of an answer that was confirmed: decision, expected figures, reasons, evidence."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from planners.slo.compose import Composer
from planners.slo.confirm import Confirmation
from planners.slo.graph import Entrance
from planners.slo.question import MILLISECOND, Question
from planners.slo.solve import Solved, rates_at
from solvers.budgets.feasible import longest_path
from solvers.budgets.problem import FloatArray, IntArray, Problem
from specs.base import Figure, Metadata
from specs.plan import Evidence, Status
from specs.slo_plan import (
    CriticalPath,
    EntryExpected,
    MethodCost,
    ServiceBudget,
    ServiceChange,
    SloDecision,
    SloExpected,
    SloPlan,
    SloWhy,
)

INTERVAL = 1.645  # standard errors: 90 %, two-sided
PROVEN = 1e-6
NOTHING = 1e-9
MOST_RELAXED, MOST_EVIDENCE = 3, 20


@dataclass(frozen=True)
class Answer:
    """What was chosen, its replicas per service of the application, how it was confirmed and compared."""

    solved: Solved
    replicas: IntArray
    confirmed: Confirmation
    compared: tuple[MethodCost, ...]
    factors: tuple[float, ...]


def report(question: Question, ready: Composer, answer: Answer, started: float) -> SloPlan:
    """Write the plan; ``started`` is the process time at which planning began."""
    exact = next(one for one in answer.compared if one.method == "exact")
    assert exact.cost is not None
    assert exact.over is not None
    rest = cost_of_rest(question, answer.replicas)
    lower, whole_lower = exact.cost / exact.over, answer.solved.whole.lower + rest
    paths = tuple(_paths(question, ready, answer))
    services = _services(question, ready, answer, {name for path in paths for name in path.services})
    cost = float(question.price @ answer.replicas)
    whole_lower = max(lower, whole_lower) if np.isfinite(whole_lower) else lower
    why = SloWhy(
        lower_bound=lower, continuous_cost=exact.cost, gap=exact.over - 1.0, whole_lower_bound=whole_lower,
        whole_gap=cost / whole_lower - 1.0, relax_first=tuple(_relax_first(services)), critical_paths=paths,
        compared=answer.compared, changes=tuple(_changes(question, answer.replicas)), correction=question.correction,
        tightened=min(answer.factors), notes=tuple(_notes(question, ready, answer)),
    )  # fmt: skip
    proven = cost <= whole_lower * (1.0 + PROVEN)
    return SloPlan(
        metadata=metadata(question),
        status=Status(
            outcome="optimal" if proven else "feasible", reason=_reason(answer, why, cost, proven),
            solver=solver(started) | {"split_cpu_s": round(answer.solved.cpu_s, 4), "gap": why.gap},
        ),
        valid="while the load stays at or below what was planned, and the curves hold",
        decision=_decision(question, answer, services, cost),
        expected=_expected(question, answer),
        why=why,
        evidence=tuple(_evidence(question)),
    )  # fmt: skip


def metadata(question: Question) -> Metadata:
    """Name, time, version and inputs of the plan."""
    try:
        tonnage = version("tonnage")
    except PackageNotFoundError:
        tonnage = None
    created = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    name = f"{question.application.metadata.name}-slo"
    return Metadata(name=name, created=created, tonnage=tonnage, inputs=question.inputs)


def solver(started: float) -> dict[str, float | int | str]:
    """The planner's own figures."""
    return {"seconds": round(time.process_time() - started, 2)}


def cost_of_rest(question: Question, replicas: IntArray) -> float:
    """Cost of the services that nobody waits for."""
    alone = question.among.at < 0
    return float(question.price[alone] @ replicas[alone])


def _services(question: Question, ready: Composer, answer: Answer, critical: set[str]) -> tuple[ServiceBudget, ...]:
    split, load = answer.solved.split, question.graph.load_per_s
    real = ready.stations.load_per_s / np.maximum(rates_at(ready, split.budget_s), 1e-300)
    level = f"p{100 * ready.share:.6g}"
    found = []
    for i, name in enumerate(question.graph.names):
        place, n = int(question.among.at[i]) + 1, int(answer.replicas[i])
        cpu, memory = question.cpu[i], question.memory[i]
        bounded = {} if not place else {
            "budget_s": float(split.budget_s[place]), "latency_s": float(answer.solved.whole.latency_s[place]),
            "replicas_exact": round(float(max(real[place], 0.0)), 4),
            "marginal": _marginal(float(split.price[place]), split.cost), "critical": name in critical,
        }  # fmt: skip
        found.append(
            ServiceBudget(
                service=name, level=level, replicas=n, current_replicas=question.current.get(name),
                rate_per_s=float(load[i]), cpu_cores=cpu * n if cpu else None,
                memory_gib=memory * n if memory else None, cost=float(question.price[i] * n), **bounded,
            )
        )  # fmt: skip
    return tuple(found)


def _marginal(price: float, cost: float) -> float:
    """Cost of a millisecond; 0 for the traces of one that a solver leaves where the bound does not bind."""
    return price * MILLISECOND if price * MILLISECOND > NOTHING * cost else 0.0


def _decision(question: Question, answer: Answer, services: tuple[ServiceBudget, ...], cost: float) -> SloDecision:
    cpu, memory = [one.cpu_cores for one in services], [one.memory_gib for one in services]
    return SloDecision(
        method=answer.solved.split.method if answer.solved.method == "exact" else answer.solved.method,
        compose=question.compose, services=services, replicas=int(answer.replicas.sum()), cost=cost, unit=question.unit,
        cpu_cores=sum(v for v in cpu if v is not None) if all(v is not None for v in cpu) else None,
        memory_gib=sum(v for v in memory if v is not None) if all(v is not None for v in memory) else None,
    )  # fmt: skip


def _expected(question: Question, answer: Answer) -> SloExpected:
    found, estimate = [], answer.confirmed.estimate
    for e, one in enumerate(question.entrances):
        value, error = float(answer.confirmed.simulated_s[e]), float(answer.confirmed.standard_error_s[e])
        half = INTERVAL * error
        found.append(
            EntryExpected(
                entry=one.name, level=one.level, bound_s=one.bound_s, composed_s=float(answer.solved.composed_s[e]),
                simulated_s=Figure(
                    value=value, low=value - half, high=value + half, basis="sampling error of the simulation, 90 %"
                ),
                standard_error_s=error, holds=answer.confirmed.holds[e],
            )
        )  # fmt: skip
    requests = int(estimate.simulation["requests"])
    return SloExpected(entries=tuple(found), bottleneck=estimate.bottleneck, simulated_requests=requests)


def _paths(question: Question, ready: Composer, answer: Answer) -> Iterator[CriticalPath]:
    own = answer.solved.whole.latency_s
    names = [question.graph.names[i] for i in question.among.services.tolist()]
    for e, one in enumerate(question.entrances):
        calls, bound = ready.calls_of(e)
        path = [i for i in longest_path(Problem(calls, ready.costs, bound), own) if i]
        latency = float(ready.reference(_own_rates(ready, answer))[e])
        yield CriticalPath(
            entry=f"{one.name} {one.level}", services=tuple(names[i - 1] for i in path), latency_s=latency,
            bound_s=one.bound_s,
        )  # fmt: skip


def _own_rates(ready: Composer, answer: Answer) -> FloatArray:
    return np.asarray(ready.stations.load_per_s / answer.solved.whole.replicas, dtype=np.float64)


def _relax_first(services: tuple[ServiceBudget, ...]) -> list[str]:
    """The services where a millisecond saves most, the most first; none where nothing more is saved."""
    bounded = [one for one in services if one.marginal]
    return [one.service for one in sorted(bounded, key=lambda one: -(one.marginal or 0.0))][:MOST_RELAXED]


def _changes(question: Question, replicas: IntArray) -> Iterator[ServiceChange]:
    for name, planned in zip(question.graph.names, replicas.tolist(), strict=True):
        now = question.current.get(name)
        if now is not None and now != planned:
            yield ServiceChange(service=name, now=now, planned=planned)


def _notes(question: Question, ready: Composer, answer: Answer) -> Iterator[str]:
    spare = [
        float(value / one.bound_s)
        for one, value in zip(question.entrances, answer.confirmed.simulated_s.tolist(), strict=True)
    ]
    if max(spare) < 0.9 and question.compose != "convolve":
        yield (
            f"simulated latencies stay {1 - max(spare):.0%} below their bounds, since percentiles do not add up:"
            " --compose convolve plans for services that are independent"
        )
    if min(answer.factors) < 1.0:
        yield f"bounds were tightened to {min(answer.factors):.1%}, because the first answers failed their simulation"
    below = _below_range(question, answer)
    if below:
        shown = ", ".join(below[:8]) + (f" and {len(below) - 8} more" if len(below) > 8 else "")
        yield (
            f"the load leaves the measured range of {shown}: fewer requests per replica than measured; latency is taken"
            " as at the lowest load"
        )
    yield from question.notes
    yield from dict.fromkeys(note for curve in question.curves if curve for note in curve.notes)
    if any(one.priority is not None for one in question.entrances):
        yield "priorities are planned with: shared services must serve entries of lower numbers first"
    if question.compose != "sum":
        yield f"`optimal` and lower bounds are for the budgets' sums that {question.compose} turned the bounds into"


def _below_range(question: Question, answer: Answer) -> list[str]:
    load = question.graph.load_per_s / answer.replicas
    return [
        name
        for i, name in enumerate(question.graph.names)
        if (curve := question.curves[i]) is not None and curve.read and load[i] < 0.999 * curve.rate_per_s[0]
    ]


def _reason(answer: Answer, why: SloWhy, cost: float, proven: bool) -> str:
    held = "every bound holds in the simulation"
    if proven:
        return f"{held}; no whole replicas cost less"
    equal = next((one for one in answer.compared if one.method == "equal" and one.whole_cost), None)
    against = ""
    if equal is not None and equal.whole_cost is not None and answer.solved.method != "equal":
        change = cost / equal.whole_cost - 1.0
        side = "below" if change <= 0 else "above"
        against = (
            f"; {abs(change):.0%} {side} an equal split" if abs(change) >= 0.005 else "; as much as an equal split"
        )
    above = f"{cost / why.lower_bound - 1.0:.1%} above the exact continuous optimum"
    return f"{held}; {above} and at most {why.whole_gap:.1%} above any whole replicas{against}"


def _evidence(question: Question) -> Iterator[Evidence]:
    entries = [
        Evidence(
            quantity=f"latency of {name}", basis=curve.basis, error=curve.error,
            source=_source(question, i) if curve.basis == "measured" else "the document's service_time, as M/G/c",
        )
        for i, (name, curve) in enumerate(zip(question.graph.names, question.curves, strict=True))
        if curve is not None
    ]  # fmt: skip
    entries.sort(key=lambda one: (one.basis == "measured", -(one.error or 0.0)))
    yield from entries[:MOST_EVIDENCE]
    if len(entries) > MOST_EVIDENCE:
        rest = len(entries) - MOST_EVIDENCE
        yield Evidence(quantity=f"{rest} more services", basis=entries[-1].basis, source="as those above")


def _source(question: Question, i: int) -> str:
    profile = question.profiles.get(question.graph.names[i])
    return f"profile of {question.graph.names[i]}" + (
        f": {', '.join(profile.sources)}" if profile and profile.sources else ""
    )


def bound_text(one: Entrance) -> str:
    """The bound of an entrance, as messages name it."""
    return f"{one.name} {one.level} ≤ {1e3 * one.bound_s:.4g} ms"
