"""What no plan of the application can undercut, whatever its caches, split and placement, and what that leaves open."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from planners.application.answer import Answer
from planners.application.language import Language
from planners.application.question import Question, visits
from planners.application.splitting import ON_GPUS, split
from predictors.application.network import network_of
from predictors.application.stations import Queue
from solvers.assignment import offer
from solvers.conflicts import Rules
from solvers.node_price import Offer, cheapest, covering
from specs.slo_plan import SloPlan

EXACT = 1e-6  # duality gap of a split that counts as proven
SAME = 1.0 + 1e-9
UNLIMITED = 10_000  # replicas on a node


@dataclass(frozen=True, kw_only=True)
class Proof:
    """``bound``: money that no plan's nodes cost less than. ``proven``: the answer's nodes and GPUs cost no more."""

    bound: float
    proven: bool
    said: tuple[str, ...]
    open: tuple[str, ...]


def prove(question: Question, served: Language, answer: Answer) -> Proof:
    """Return the bound of the nodes' price, and whether the answer meets it.

    Every plan has, of each service, the replicas that carry its load; and together the cores that the exact split asks
    for without network, neighbours and tightened bounds, which is asked only where the first does not prove the answer.
    An integer programme takes the cheapest nodes that hold so much, with more replicas of any service where that is
    cheaper. [ours]
    """
    money, few = answer.where.found.money, _fewest(question, answer)
    asked = replace(offer(answer.where.problem), replicas=few, need=_bare(question, answer), rules=_looser(answer))
    bound, basis = _price(replace(asked, at_least=0.0)), "the fewest replicas that carry the load"
    least = None if money <= bound * SAME else _least_cores(question, answer)
    if least is not None:
        cores = _price(replace(asked, at_least=least))
        if cores > bound * SAME:
            bound, basis = cores, f"the {least:.4g} cores that every split of the SLO needs at least"
    bound = min(bound, money)
    gpus = all(one.outcome == "optimal" for one in served.gpus)
    return Proof(
        bound=bound, proven=money <= bound * SAME and gpus,
        said=tuple(_said(answer, served, bound, basis)), open=tuple(_open(answer, served, bound)),
    )  # fmt: skip


def _price(asked: Offer) -> float:
    """What `cheapest` or the covering programme prove, the larger; an infinite one would say that nothing fits."""
    found = max(cheapest(asked).bound, covering(asked))
    return found if math.isfinite(found) else 0.0


def _bare(question: Question, answer: Answer) -> np.ndarray:
    """What one replica needs without cache memory; [S, D]."""
    need = answer.where.problem.need.copy()
    by_name = {one.name: one.requests for one in question.services}
    for s, name in enumerate(answer.where.names):
        asks = by_name[name]
        need[s, 1] = (asks.memory_gib if asks else None) or 0.0
    return need


def _looser(answer: Answer) -> Rules | None:
    """The rules that hold of any replicas: none needs another beside it, and who asks for no spread has none.

    Of a service without a spread the most on a node are its planned replicas, which other plans may exceed.
    """
    rules = answer.where.problem.rules
    if rules is None:
        return None
    planned = np.array([answer.replicas[name] for name in answer.where.names])
    most = np.where(rules.most < planned, rules.most, UNLIMITED)
    return replace(rules, together=np.zeros_like(rules.together), most=most)


def _fewest(question: Question, answer: Answer) -> np.ndarray:
    """Replicas below which the load exceeds what a service can do; 1 of what caches may relieve; [S]."""
    spec = question.application.spec
    network = network_of(spec, question.profiles, replicas=answer.replicas, scale=question.load.scale)
    relieved, load = _relieved(question), visits(question)
    found = {}
    for one, name in zip(network.stations, network.graph.names, strict=True):
        limit = (one.capacity_per_s if isinstance(one, Queue) else one.limit_per_s) / answer.replicas[name]
        found[name] = 1 if name in relieved else max(math.ceil(load[name] / limit * (1.0 - 1e-9)), 1)
    return np.array([found[name] for name in answer.where.names], dtype=np.int64)


def _relieved(question: Question) -> set[str]:
    """Databases that caches may stand before, and all that they call."""
    spec = question.application.spec
    found = {one.reads.database for one in spec.services if one.reads and spec.cache_memory_gib}
    while more := {call.callee for call in spec.calls if call.caller in found} - found:
        found |= more
    return found


def _least_cores(question: Question, answer: Answer) -> float | None:
    """Cores of the placed services below which no split keeps the SLO; None where that is not proven, or caches are."""
    if answer.caches:
        return None
    free = split(question, question.application.spec)
    if not _exact(free):
        return None
    assert free.why is not None
    on_gpus = len(question.llm) * (ON_GPUS.cpu_cores or 0.0)
    return max(free.why.whole_lower_bound - on_gpus, 0.0)


def _exact(found: SloPlan) -> bool:
    """Whether the split's bound is that of the exact programme, on the bounds of the document."""
    if found.decision is None or found.why is None:
        return False
    return found.decision.unit == "cores" and found.why.gap < EXACT and found.why.tightened == 1.0


def _said(answer: Answer, served: Language, bound: float, basis: str) -> Iterator[str]:
    found = answer.where.found
    if found.money <= found.bound * SAME:
        yield "no cheaper nodes hold these replicas (integer programme, gap 0)"
    if found.method == "exact":
        yield "no other placement of these replicas has a lower cost: every one was looked at"
    if answer.slo.why is not None and answer.slo.status.outcome == "optimal":
        gap = max(answer.slo.why.gap, 0.0)
        yield f"no fewer cores keep the bounds that the split was given (duality gap {gap:.2g})"
    if bound > 0.0:
        yield f"no plan's nodes are cheaper than those of {basis}"
    for one in served.gpus:
        if one.outcome == "optimal":
            yield f"{one.service}: no cheaper GPUs in its serving plan's candidates"


def _open(answer: Answer, served: Language, bound: float) -> Iterator[str]:
    found = answer.where.found
    if found.money > bound * SAME:
        yield "whether other replicas, caches or budgets would do on cheaper nodes: the steps are planned in turn"
    if found.money > found.bound * SAME:
        yield "whether these replicas fit on cheaper nodes"
    if found.method != "exact":
        yield "the least network, interference and imbalance among equally cheap placements"
    if answer.slo.status.outcome != "optimal":
        yield "whether fewer whole replicas keep the bounds that the split was given"
    if answer.caches:
        yield "the best split of cache memory over all levels together"
    for one in served.gpus:
        if one.outcome != "optimal":
            yield f"{one.service}: its serving plan is {one.outcome}"
