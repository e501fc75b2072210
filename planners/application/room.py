"""Why replicas do not fit on the nodes: which service, which constraint, and the least that would make room."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from planners.application.nodes import Placed
from planners.application.question import Question
from solvers.assignment import offer
from solvers.conflicts import Rules
from solvers.node_price import Offer, Price, cheapest
from specs.application import Affinity
from specs.cluster import CpuPool

KINDS = (("cores", "cores"), ("memory", "GiB"), ("pods", "pods"))
MORE_NODES = (1, 2, 4, 8)
SHOWN = 6
ROUND = 1e-9


def short_of(question: Question, where: Placed) -> tuple[list[str], str]:
    """Return the constraints that conflict, each with its service, and the smallest change that was found to do."""
    given = offer(where.problem)
    affinity = {one.name: one.affinity or Affinity() for one in question.services}
    asked = [affinity[name] for name in where.names]
    said = [*_too_large(question, where, given, asked)]
    if said:
        return said[:SHOWN], "a node that holds what is named, or smaller requests: more of these nodes do not help"
    said = [*_sums(given), *_spread(where, given, asked)]
    more = _more_nodes(question, where, given)
    if said:
        return said[:SHOWN], more
    dropped = next(_dropped(where, given, asked), None)
    if dropped is not None:
        return [dropped], f"leave that out, or {more}"
    proven = cheapest(given).bound == np.inf
    unproven = "" if proven else "no way was found to put every replica on a node, though their sums fit; "
    return [f"{unproven}{_largest(where, given)} leaves too little room beside the others"], more


def _too_large(question: Question, where: Placed, given: Offer, asked: list[Affinity]) -> Iterator[str]:
    """Services of which no node can hold one replica."""
    for s, name in enumerate(where.names):
        allowed = np.ones(len(given.money), dtype=np.bool_) if given.rules is None else given.rules.allowed[s]
        wanted = dict(asked[s].node_labels)
        if not allowed.any():
            yield f"service {name}: no pool has the labels {_labels(wanted)}"
            continue
        room = given.capacity[allowed]
        if (room >= given.need[s] - ROUND).all(axis=1).any():
            continue
        best = room[np.argmax(room[:, 0])]
        of = f" with {_labels(wanted)}" if wanted else ""
        yield (
            f"service {name}: a replica asks for {given.need[s, 0]:.4g} cores and {given.need[s, 1]:.4g} GiB,"
            f" the largest node{of} has {best[0]:.4g} and {best[1]:.4g}"
        )


def _labels(wanted: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in wanted.items())


def _sums(given: Offer) -> Iterator[str]:
    total, offered = given.replicas @ given.need, given.capacity.sum(axis=0)
    for kind, (_, unit) in enumerate(KINDS):
        if total[kind] > offered[kind] * (1.0 + ROUND):
            yield f"{total[kind]:.4g} {unit} are asked for, the nodes offer {offered[kind]:.4g}"


def _spread(where: Placed, given: Offer, asked: list[Affinity]) -> Iterator[str]:
    """Services whose own spread and labels leave fewer places than they have replicas."""
    if given.rules is None:
        return
    for s, name in enumerate(where.names):
        nodes = int(given.rules.allowed[s].sum())
        places, most = nodes * int(given.rules.most[s]), int(given.rules.most[s])
        if places < given.replicas[s]:
            of = f" with {_labels(dict(asked[s].node_labels))}" if asked[s].node_labels else ""
            yield (
                f"service {name}: {given.replicas[s]} replicas, at most {most} on a node,"
                f" and {nodes} node{'s' * (nodes != 1)}{of}:"
                f" room for {places}"
            )


def _dropped(where: Placed, given: Offer, asked: list[Affinity]) -> Iterator[str]:
    """Rules without which alone everything fits, by the programme of prices."""
    for text, rules in _without_one(where, given, asked):
        if _fits(cheapest(replace(given, rules=rules))):
            yield text


def _without_one(where: Placed, given: Offer, asked: list[Affinity]) -> Iterator[tuple[str, Rules]]:
    rules, names = given.rules, where.names
    if rules is None:
        return
    for a, b in rules.apart_pairs:
        apart = rules.apart.copy()
        apart[a, b] = apart[b, a] = False
        owner, other = (a, b) if names[b] in asked[a].apart_from else (b, a)
        yield f"service {names[owner]}: apart_from {names[other]} leaves no way", replace(rules, apart=apart)
    for s, name in enumerate(names):
        if rules.together[s].any():
            together = rules.together.copy()
            together[s] = False
            others = ", ".join(names[t] for t in np.flatnonzero(rules.together[s]))
            yield f"service {name}: together_with {others} leaves no way", replace(rules, together=together)
        if rules.most[s] < given.replicas[s]:
            most = rules.most.copy()
            most[s] = given.replicas[s]
            text = f"service {name}: at most {rules.most[s]} of {given.replicas[s]} replicas on a node leaves no way"
            yield text, replace(rules, most=most)
        if not rules.allowed[s].all():
            allowed = rules.allowed.copy()
            allowed[s] = True
            labels = _labels(dict(asked[s].node_labels))
            yield f"service {name}: node_labels {labels} leave no way", replace(rules, allowed=allowed)


def _fits(found: Price) -> bool:
    return found.count is not None


def _largest(where: Placed, given: Offer) -> str:
    at = int(np.argmax((given.need / given.capacity.max(axis=0)).max(axis=1)))
    return f"service {where.names[at]} ({given.need[at, 0]:.4g} cores and {given.need[at, 1]:.4g} GiB a replica)"


def _more_nodes(question: Question, where: Placed, given: Offer) -> str:
    """The fewest cores of new nodes of one pool, of 1, 2, 4 or 8, with which a placement is found; else by the sums."""
    best: tuple[float, str] | None = None
    for pool in question.pools:
        for more in MORE_NODES:
            if _fits(cheapest(_grown(where, given, pool, more))):
                text = f"{more} more node{'s' * (more != 1)} of pool {pool.name}"
                best = min(best or (np.inf, ""), (more * pool.cpu_cores, text))
                break
    return best[1] if best else _by_sums(question, given)


def _grown(where: Placed, given: Offer, pool: CpuPool, more: int) -> Offer:
    at = next(i for i, (_, own) in enumerate(where.nodes) if own.name == pool.name)
    again = [*range(len(given.money)), *([at] * more)]
    rules = None if given.rules is None else replace(given.rules, allowed=given.rules.allowed[:, again])
    return replace(given, capacity=given.capacity[again], money=given.money[again], rules=rules)


def _by_sums(question: Question, given: Offer) -> str:
    total, offered = given.replicas @ given.need, given.capacity.sum(axis=0)
    best = max(question.pools, key=lambda pool: pool.cpu_cores)
    room = np.array([best.cpu_cores - best.system_cpu_cores, best.memory_gib - best.system_memory_gib, best.most_pods])
    more = int(np.ceil(np.max(np.maximum(total - offered, 0.0) / room)))
    return f"at least {max(more, 1)} more nodes of pool {best.name}"
