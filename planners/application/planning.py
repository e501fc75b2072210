"""`plan application` from its documents to its plan."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from planners.application.answer import Answer
from planners.application.caching import cached, with_caches
from planners.application.language import language
from planners.application.load import LoadAsked
from planners.application.nodes import Placed, placed, problem_of
from planners.application.proof import prove
from planners.application.question import OnProgress, Question, read_question, visits
from planners.application.refusals import abstained, no_room, not_split, unconfirmed
from planners.application.report import Around, report
from planners.application.scaling import ranges
from planners.application.splitting import fewer, name_of, split, tightened
from planners.application.whole import Whole, longest_network, simulate_whole, slowed
from predictors.application.network import network_of
from predictors.application.stations import Queue
from solvers.assignment import FloatArray, share_of
from solvers.conflicts import broken
from specs.application import ApplicationSpec
from specs.application_plan import ApplicationPlan, CachePlanned, Compared
from specs.errors import InfeasibleError

ATTEMPTS = 4
AIM = 0.7  # utilisation by which readers' replicas are guessed before they are planned
MARGIN = 0.5  # of a standard error kept when the bounds are tightened
RESERVES = (1.0, 0.0)  # of the network, before anything is placed: every call leaves its node, or none does


Failed = Callable[[float], ApplicationPlan]


def plan(
    application: Path,
    cluster: Path,
    *,
    load: Path | None = None,
    confidence: float = 0.95,
    horizon_s: float = 86400.0,
    scale: float = 1.0,
    store: str | None = None,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> ApplicationPlan:
    """Plan ``application`` on the nodes of ``cluster``: caches, SLO split, replicas, nodes and GPUs.

    ``load``: a series of requests per second of which the highest forecast quantile ``confidence`` over ``horizon_s``
    is planned for; else the document's rates; either times ``scale``. This planner composes `plan slo` and `plan
    serving`: the first splits what the network leaves of each bound, the second answers for services that a Workload
    serves. The whole, with caches, neighbours and network, is simulated before it is called feasible; where it misses
    a bound, the bounds are tightened and all is planned again, up to three times. Raises `InputError` for wrong
    documents. [ours; after SealOS+]
    """
    started = time.process_time()
    progress = on_progress or (lambda done, total, what: None)
    asked = LoadAsked(series=load, confidence=confidence, horizon_s=horizon_s, scale=scale, seed=seed)
    question = read_question(application, cluster, asked=asked, store=store, seed=seed, on_progress=progress)
    served = language(question)
    refused = next(((name, one) for name, one in served.plans if one.decision is None), None)
    if refused is not None:
        return abstained(question, *refused, started)
    question = replace(question, profiles={**question.profiles, **served.profiles})
    best: Answer | None = None
    failed: list[Failed] = []
    for reserve in RESERVES:
        found = _attempted(question, reserve, progress, known=best)
        if not isinstance(found, Answer):
            failed.append(found)
        elif best is None or _key(found) < _key(best):
            best = found
    if best is None:
        return failed[0](started)
    compared = tuple(_compared(question, best, progress))
    around = Around(compared, prove(question, served, best), ranges(question, best))
    return report(question, served, best, around, started)


def _key(one: Answer) -> tuple[float, int, float]:
    return one.where.found.money, sum(one.replicas.values()), one.whole.over


def _attempted(
    question: Question, reserve: float, progress: OnProgress, *, caching: bool = True, known: Answer | None = None,
    requests: int | None = None,
) -> Answer | Failed:  # fmt: skip
    """Split, place and simulate until every bound holds; else what to say of it.

    ``known``: an answer whose placement and simulation stand where the replicas and caches are the same again.
    """
    replicas = _guessed(question)
    factor = 1.0
    slowdown = {one.name: 1.0 + AIM * (one.slowdown or 0.0) for one in question.services}
    whole: Whole | None = None
    for attempt in range(ATTEMPTS):
        progress(attempt, ATTEMPTS, "planning the whole")
        caches = cached(question, replicas) if caching else []
        spec = with_caches(question.application.spec, caches, visits(question))
        every = {(call.caller, call.callee): reserve * question.call.value for call in spec.calls}
        network = longest_network(question, spec, every)
        tight = tightened(slowed(spec, slowdown), network, factor)
        if tight is None:
            return lambda started, n=network: not_split(question, None, n, started)  # type: ignore[misc]
        found = split(question, tight)
        if found.decision is None:
            return lambda started, s=found, n=network: not_split(question, s, n, started)  # type: ignore[misc]
        replicas = {one.service: one.replicas for one in found.decision.services}
        caches = cached(question, replicas) if caching else []
        spec = with_caches(question.application.spec, caches, visits(question))
        same = known if known is not None and (known.replicas, known.caches) == (replicas, caches) else None
        where = same.where if same else _placed(question, spec, replicas, caches)
        if not where.found.feasible:
            return lambda started, w=where: no_room(question, w, started)  # type: ignore[misc]
        slowdown = {name: max(slowdown[name], by) for name, by in where.slowdown.items()}
        whole = same.whole if same else _whole(question, spec, replicas, where, progress, requests)
        if whole is not None and whole.holds:
            reserved = {name_of(e): n for e, n in zip(spec.entries, network, strict=True)}
            return Answer(
                slo=found, spec=spec, caches=caches, replicas=replicas, where=where, whole=whole,
                reserved_s=reserved, factor=factor,
            )  # fmt: skip
        factor *= 0.95 if whole is None else min(1.0 / _excess(whole), 0.99)
    said = whole.estimate if whole is not None else None
    return lambda started: unconfirmed(question, said, ATTEMPTS, started)


def _whole(
    question: Question, spec: ApplicationSpec, replicas: Mapping[str, int], where: Placed, progress: OnProgress,
    requests: int | None = None,
) -> Whole | None:  # fmt: skip
    """The whole simulated; None where neighbours slow a service beyond what its replicas do."""
    try:
        return simulate_whole(question, spec, replicas, where, progress, requests)
    except InfeasibleError:
        return None


def _excess(whole: Whole) -> float:
    return max((one.value_s + MARGIN * (one.standard_error_s or 0.0)) / one.bound_s for one in whole.estimate.bounds)


def _guessed(question: Question) -> dict[str, int]:
    """Replicas at 70 % utilisation without caches, for the first split of cache memory."""
    load, found = visits(question), {}
    for one in question.services:
        each = (one.concurrency or 1) / one.service_time.mean_s if one.service_time else math.inf
        found[one.name] = max(math.ceil(load[one.name] / (AIM * each)), 1)
    return found


def _placed(
    question: Question, spec: ApplicationSpec, replicas: Mapping[str, int], caches: list[CachePlanned]
) -> Placed:
    network = network_of(spec, question.profiles, replicas=replicas, scale=question.load.scale)
    limits = [one.capacity_per_s if isinstance(one, Queue) else one.limit_per_s for one in network.stations]
    used = {
        name: rate / limit
        for name, rate, limit in zip(network.graph.names, network.graph.load_per_s.tolist(), limits, strict=True)
    }
    memory = {one.service: one.process_gib for one in caches}
    for one in caches:  # a database holds its buffer
        memory[one.database] = memory.get(one.database, 0.0) + one.buffer_gib
    return placed(question, *problem_of(question, spec, replicas, used, memory))


def _compared(question: Question, best: Answer, progress: OnProgress) -> list[Compared]:
    """The same replicas one by one over all nodes, and the whole planned without caches."""
    names, problem = best.where.names, best.where.problem
    node = best.where.found.node * 0
    node[:] = [i % len(problem.capacity) for i in range(len(node))]
    found = replace(best.where.found, node=node)
    spread = placed(question, names, problem, found)
    used = share_of(problem, node[None])[0].sum(axis=0) > 0.0
    against = broken(problem.rules, _counted(spread)[None])[0] > 0.0
    whole = None if against else _whole(question, best.spec, best.replicas, spread, progress, fewer(question))
    fails = "a service is overloaded by its neighbours" if whole is None else None
    said = [
        Compared(
            way="the same replicas spread over every node", usd_per_hour=float(problem.money[used].sum()),
            nodes=int(used.sum()), replicas=sum(best.replicas.values()),
            latency_over_bound=whole.over if whole else None,
            fails="against what the services' affinities ask" if against else fails,
        )
    ]  # fmt: skip
    if best.caches:
        without = _attempted(question, 0.0, progress, caching=False, requests=fewer(question))
        way = "without caches"
        if isinstance(without, Answer):
            said.append(
                Compared(
                    way=way, usd_per_hour=without.where.found.money, nodes=len(set(without.where.found.node.tolist())),
                    replicas=sum(without.replicas.values()), latency_over_bound=without.whole.over,
                )
            )  # fmt: skip
        else:
            said.append(Compared(way=way, fails=without(0.0).status.reason))
    return said


def _counted(where: Placed) -> FloatArray:
    """Replicas of each service on each node; [S, N]."""
    each = np.bincount(where.problem.service, minlength=len(where.names))
    return np.asarray(np.rint(where.share * each[:, None]))
