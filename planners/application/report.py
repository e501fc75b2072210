"""The plan from its answer: decision, what to expect, why, and evidence."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from planners.application.answer import Answer
from planners.application.language import Language
from planners.application.nodes import Placed, crossing
from planners.application.proof import Proof
from planners.application.question import ASSUMED_CALL, Question
from planners.application.refusals import metadata, solver
from planners.application.whole import NETWORK, fails_first, longest_network
from specs.application import Resources, Service
from specs.application_plan import (
    ApplicationDecision,
    ApplicationExpected,
    ApplicationPlan,
    ApplicationWhy,
    Compared,
    EntryPlanned,
    NodePlanned,
    ScalingRange,
    ServicePlanned,
)
from specs.base import Figure
from specs.deployment import DeploymentInPlan, Roles
from specs.plan import Evidence, Status

INTERVAL = 1.645  # standard errors: 90 %, two-sided


@dataclass(frozen=True)
class Around:
    """What stands beside an answer: other ways, what is proven, and in which range each service may be scaled."""

    compared: tuple[Compared, ...]
    proof: Proof
    ranges: dict[str, ScalingRange]


def report(question: Question, served: Language, answer: Answer, around: Around, started: float) -> ApplicationPlan:
    """Put the answer into words and figures; `optimal` where it is proven that no plan's nodes are cheaper."""
    found, proof, compared = answer.where.found, around.proof, around.compared
    decision = _decision(question, served, answer, around)
    priced = all(pool.usd_per_node_hour for pool in question.pools)
    why = ApplicationWhy(
        load=question.load, placement=found.method, least_usd_per_hour=found.bound if priced else None,
        bound_usd_per_hour=proof.bound if priced else None, gap=_gap(found.money, proof.bound), proven=proof.said,
        unproven=proof.open,
        network_in_flight=found.network, interference_cores=found.interference, reserved_network_s=answer.reserved_s,
        tightened=answer.factor,
        compared=compared if priced else tuple(one.model_copy(update={"usd_per_hour": None}) for one in compared),
        notes=tuple(_notes(question, served, answer, around)),
    )  # fmt: skip
    return ApplicationPlan(
        metadata=metadata(question),
        status=Status(
            outcome="optimal" if proof.proven else "feasible", reason=_reason(answer, decision, proof),
            solver=solver(started),
        ),
        valid=f"while at most {question.load.rate_per_s:.4g} requests per second enter, in today's mix",
        decision=decision, expected=_expected(question, answer), why=why,
        evidence=tuple(_evidence(question, served, answer)),
    )  # fmt: skip


def _gap(money: float, bound: float) -> float | None:
    return max(money / bound - 1.0, 0.0) if bound > 0.0 else None


def _reason(answer: Answer, decision: ApplicationDecision, proof: Proof) -> str:
    found, steps = answer.where.found, "every bound holds in the simulation of the whole"
    nodes = f"{len(decision.nodes)} node{'s' if len(decision.nodes) != 1 else ''}"
    if found.money <= proof.bound * (1.0 + 1e-9):
        return f"{steps}; no plan of this application has cheaper nodes than these {nodes}"
    gap = _gap(found.money, proof.bound)
    above = "" if gap is None else f", at most {gap:.0%} dearer than any plan's"
    if found.money <= found.bound * (1.0 + 1e-9):
        return f"{steps}; no cheaper nodes hold these replicas than {nodes}{above}"
    return f"{steps}; {nodes}{above}"


def _decision(question: Question, served: Language, answer: Answer, around: Around) -> ApplicationDecision:
    services = tuple(_services(question, served, answer, around))
    nodes = tuple(_nodes(answer.where))
    money = [one.usd_per_hour for one in nodes] + [one.usd_per_hour for one in served.gpus]
    known = [one for one in money if one is not None]
    return ApplicationDecision(
        services=services, nodes=nodes, caches=tuple(answer.caches), gpus=served.gpus,
        replicas=sum(one.replicas for one in services),
        usd_per_hour=sum(known) if len(known) == len(money) else None,
        cpu_cores=sum(one.cpu_cores for one in services), memory_gib=sum(one.memory_gib for one in services),
        node_label="kubernetes.io/hostname" if all(pool.hostnames for pool in question.pools) else "tonnage/node",
    )  # fmt: skip


def _services(question: Question, served: Language, answer: Answer, around: Around) -> Iterator[ServicePlanned]:
    assert answer.slo.decision is not None
    split = {one.service: one for one in answer.slo.decision.services}
    found = {one.service: one for one in answer.whole.estimate.services}
    engines = {one.service: sum(_engines(each) for each in one.deployments) for one in served.gpus}
    for service in question.services:
        name, where = service.name, answer.where
        n, real = answer.replicas[name], found[name]
        own = split[name]
        yield ServicePlanned(
            service=name, namespace=service.namespace, replicas=engines.get(name, n),
            spare=max(math.floor(n - own.replicas_exact), 0) if own.replicas_exact is not None else 0,
            current_replicas=service.replicas, budget_s=own.budget_s, visits_per_s=real.visits_per_s,
            utilisation=real.utilisation, limit_per_s=real.limit_per_s, affinity=service.affinity,
            scaling=around.ranges.get(name),
            nodes=_by_node(where, name), slowdown=where.slowdown.get(name, 1.0), **_asked(service, answer, n),
        )  # fmt: skip


def _engines(one: DeploymentInPlan) -> int:
    return one.replicas if not isinstance(one.roles, Roles) else one.roles.prefill.replicas + one.roles.decode.replicas


def _asked(service: Service, answer: Answer, n: int) -> dict[str, Any]:
    """Requests and limits of one replica with its cache in them, and of all together; nothing of one on GPUs."""
    if service.requests is None or service.name not in answer.where.names:
        return {"cpu_cores": 0.0, "memory_gib": 0.0}
    cache = sum(one.process_gib for one in answer.caches if one.service == service.name)
    cache += sum(one.buffer_gib for one in answer.caches if one.database == service.name)
    requests, limits = _with_cache(service.requests, cache / n), service.limits
    return {
        "requests": requests, "limits": _with_cache(limits, cache / n) if limits else None,
        "cpu_cores": n * (requests.cpu_cores or 0.0), "memory_gib": n * (requests.memory_gib or 0.0),
    }  # fmt: skip


def _with_cache(given: Resources, gib: float) -> Resources:
    memory = given.memory_gib
    return Resources(cpu_cores=given.cpu_cores, memory_gib=None if memory is None else memory + gib)


def _by_node(where: Placed, name: str) -> dict[str, int]:
    if name not in where.names:
        return {}
    at = where.names.index(name)
    chosen = where.found.node[where.problem.service == at]
    count = np.bincount(chosen, minlength=len(where.nodes)).tolist()
    return {node: n for (node, _), n in zip(where.nodes, count, strict=True) if n}


def _nodes(where: Placed) -> Iterator[NodePlanned]:
    need = where.problem.need[where.problem.service]
    for i, (name, pool) in enumerate(where.nodes):
        here = where.found.node == i
        if here.any():
            share = need[here].sum(axis=0) / where.problem.capacity[i]
            price = pool.usd_per_node_hour
            yield NodePlanned(
                node=name, pool=pool.name, replicas=int(here.sum()), cpu_share=float(share[0]),
                memory_share=float(share[1]), usd_per_hour=price.value if price else None,
            )  # fmt: skip


def _expected(question: Question, answer: Answer) -> ApplicationExpected:
    estimate = answer.whole.estimate
    keeps, first = fails_first(question, answer.whole)
    used = sorted(set(answer.where.found.node.tolist()))
    problem = answer.where.problem
    busy = float(problem.busy[problem.service].sum())
    own = [one for one in estimate.services if not one.service.startswith(NETWORK)]
    worst = max(own, key=lambda one: one.utilisation)
    reason = _beyond_model(question, worst.service, worst.limit_per_s) or estimate.ceiling_reason
    if first.kind == "capacity":
        first = first.model_copy(update={"what": f"{worst.service}: {reason}"})
    return ApplicationExpected(
        entries=tuple(_entries(question, answer)), bottleneck=worst.service,
        ceiling_per_s=estimate.ceiling_per_s, ceiling_reason=reason, keeps_slo_up_to_per_s=keeps,
        fails_first=first, cpu_utilisation=busy / float(problem.cores[used].sum()),
        simulated_requests=int(estimate.simulation["requests"]),
    )  # fmt: skip


def _beyond_model(question: Question, name: str, limit_per_s: float) -> str | None:
    """What ends the plan where that is the rate which a serving plan was asked about."""
    if name not in question.llm:
        return None
    workload = next(one.workload for one in question.services if one.name == name)
    return f"its serving plan answers for {limit_per_s:.4g} requests per second, the rate of {workload}"


def _entries(question: Question, answer: Answer) -> Iterator[EntryPlanned]:
    spec = answer.spec
    each = {
        (call.caller, call.callee): crossing(answer.where, call.caller, call.callee) * question.call.value
        for call in spec.calls
    }
    network = longest_network(question, spec, each)
    names = {
        (f"{e.service}/{e.operation}" if e.operation else e.service): n
        for e, n in zip(spec.entries, network, strict=True)
    }
    for one in answer.whole.estimate.bounds:
        name, _, level = one.name.rpartition(".")
        half = INTERVAL * (one.standard_error_s or 0.0)
        yield EntryPlanned(
            entry=name, level=level, bound_s=one.bound_s, standard_error_s=one.standard_error_s or 0.0,
            simulated_s=Figure(
                value=one.value_s, low=one.value_s - half, high=one.value_s + half,
                basis="sampling error of the simulation, 90 %",
            ),
            network_s=names[name], holds=one.holds,
        )  # fmt: skip


def _notes(question: Question, served: Language, answer: Answer, around: Around) -> Iterator[str]:
    if around.ranges:
        yield (
            f"{len(around.ranges)} services may be scaled within a range: the delay of an autoscaler is not in it"
            " (`tonnage plan autoscaling` tries it on the load)"
        )
    if question.call is ASSUMED_CALL:
        yield "the time of a call between nodes is assumed: give the cluster `call_s`"
    for one in served.gpus:
        yield f"{one.service}: its latency is its serving plan's, up to the rate of {one.workload}, not beyond"
    if not any(pool.usd_per_node_hour for pool in question.pools):
        yield "the nodes have no prices: fewer cores are kept in use instead"
    if answer.factor < 1.0:
        yield f"bounds were tightened to {answer.factor:.1%}, because the first wholes missed them when simulated"
    if not any(one.slowdown for one in question.services):
        yield "no service has a `slowdown`: neighbours are taken to do no harm (`tonnage profile cpi` measures it)"
    lacks = [one.name for one in question.services if one.reads is not None] if not answer.caches else []
    if lacks:
        yield f"no cache_memory_gib is given: the reads of {', '.join(lacks[:6])} are not cached"
    if answer.caches:
        stored = sum(one.store_gib for one in answer.caches)
    if answer.caches and stored > 0.0:
        yield f"the shared store's {stored:.3g} GiB are memory beyond the services': it needs a place of its own"
    yield from answer.spec.notes


def _evidence(question: Question, served: Language, answer: Answer) -> Iterator[Evidence]:
    yield Evidence(quantity="load", basis="measured" if question.load.level else "assumed", source=question.load.basis)
    measured = question.call is not ASSUMED_CALL
    yield Evidence(
        quantity="network between nodes", basis="assumed", source=question.call.source,
        note=None if measured else "no call_s in the cluster document",
    )  # fmt: skip
    for one in answer.caches:
        reads = next(service.reads for service in question.services if service.name == one.service)
        assert reads is not None
        assert reads.popularity is not None
        counted = bool(reads.popularity.counts)
        yield Evidence(
            quantity=f"popularity of what {one.service} reads", basis="measured" if counted else "assumed",
            source="counts in the document" if counted else f"Zipf with exponent {reads.popularity.zipf:g}",
            note="hit ratios by Che's approximation",
        )  # fmt: skip
    yield from served.evidence
    predicted = {f"{name} latency" for name in question.llm}  # by the serving plans, whose own evidence is above
    told = [one for one in answer.whole.estimate.evidence if one.quantity not in predicted]
    network = [one for one in told if not one.quantity.startswith(NETWORK)]
    yield from (one for one in network if NETWORK not in one.quantity)
