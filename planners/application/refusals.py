"""The plan when the SLO cannot be split, the nodes hold too little, or the simulation does not confirm."""

from __future__ import annotations

import math
import time

from planners.application.nodes import Placed
from planners.application.question import Question
from planners.application.room import short_of
from specs.application_estimate import ApplicationEstimate
from specs.application_plan import ApplicationPlan
from specs.base import Metadata
from specs.plan import PlanDocument, ServingPlan, Status
from specs.slo_plan import SloPlan
from specs.stamping import stamped


def metadata(question: Question) -> Metadata:
    """Name, time, version and inputs of the plan."""
    return stamped(f"{question.application.metadata.name}-whole", question.inputs)


def solver(started: float) -> dict[str, float | int | str]:
    """CPU seconds since ``started``."""
    return {"seconds": round(time.process_time() - started, 2)}


def abstained(question: Question, service: str, found: ServingPlan, started: float) -> ApplicationPlan:
    """Pass on that no GPUs serve the language model of ``service``."""
    return _passed_on(question, found, f"service {service}: its serving plan is {found.status.outcome}", started)


def _passed_on(question: Question, found: PlanDocument, what: str, started: float) -> ApplicationPlan:
    status = found.status.model_copy(update={"reason": f"{what}: {found.status.reason}", "solver": solver(started)})
    return ApplicationPlan(metadata=metadata(question), status=status)


def not_split(question: Question, found: SloPlan | None, network_s: list[float], started: float) -> ApplicationPlan:
    """Say that no budgets keep the SLO beside the network, or that the network alone takes more than the bound."""
    if found is not None:
        beside = f" beside {1e3 * max(network_s):.4g} ms for the network" if max(network_s) > 0.0 else ""
        return _passed_on(question, found, f"the SLO cannot be split{beside}", started)
    worst, bound, taken = max(
        (
            (f"{entry.service} {quantity}", bound, taken)
            for entry, taken in zip(question.application.spec.entries, network_s, strict=True)
            for quantity, bound in (entry.slo.latency_s if entry.slo else {}).items()
        ),
        key=lambda one: one[2] / one[1],
    )
    hop = question.call.value
    status = Status(
        outcome="infeasible",
        reason=f"{worst} ≤ {1e3 * bound:.4g} ms: the network between nodes alone takes {1e3 * taken:.4g} ms",
        conflicts=(f"{1e3 * hop:.4g} ms for each call between nodes, {taken / hop:.3g} of them in a row",),
        smallest_change=f"a network of at most {1e3 * math.floor(1e6 * hop * bound / taken * 0.5) / 1e6:.3g} ms a call",
        solver=solver(started),
    )
    return ApplicationPlan(metadata=metadata(question), status=status)


def no_room(question: Question, where: Placed, started: float) -> ApplicationPlan:
    """Say what the nodes lack for the replicas that the SLO needs."""
    said, change = short_of(question, where)
    status = Status(
        outcome="infeasible", reason=f"the nodes cannot hold the replicas that the SLO needs: {said[0]}",
        conflicts=tuple(said), smallest_change=change, solver=solver(started),
    )  # fmt: skip
    return ApplicationPlan(metadata=metadata(question), status=status)


def unconfirmed(
    question: Question, found: ApplicationEstimate | None, attempts: int, started: float
) -> ApplicationPlan:
    """Say that the simulated whole still misses a bound after ``attempts`` tightened plans."""
    if found is None:
        status = Status(
            outcome="infeasible", reason=f"after {attempts} plans neighbours still slow a service beyond its replicas",
            conflicts=("slowdown by neighbours", "the SLO"), smallest_change="larger nodes, or more of them",
            solver=solver(started),
        )  # fmt: skip
        return ApplicationPlan(metadata=metadata(question), status=status)
    broken = [one for one in found.bounds if not one.holds]
    worst = max(broken, key=lambda one: one.value_s / one.bound_s)
    text = (
        f"simulated {worst.name} {1e3 * worst.value_s:.4g} ± {1e3 * (worst.standard_error_s or 0.0):.2g} ms against"
        f" {1e3 * worst.bound_s:.4g} ms"
    )
    status = Status(
        outcome="infeasible",
        reason=f"after {attempts} plans the simulated whole, with network and neighbours, still misses a bound: {text}",
        conflicts=tuple(f"{one.name} ≤ {1e3 * one.bound_s:.4g} ms" for one in broken),
        smallest_change=f"a bound of {1e3 * worst.value_s:.4g} ms, a faster network, or larger nodes",
        solver=solver(started),
    )
    return ApplicationPlan(metadata=metadata(question), status=status)
