"""Replicas of services to nodes: money, calls between nodes, interference and balance; exact, or genetic with swaps.

A quadratic assignment with capacities and conflicts (after SealOS+; the formulation is ours). R replicas of S services,
N nodes, D kinds of capacity.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from solvers.conflicts import Rules, broken
from solvers.node_price import Offer, cheapest, covering

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
EXACT_WAYS = 30_000  # so many ways or fewer are all looked at
POPULATION, GENERATIONS, STALE = 48, 120, 30
TOURNAMENT, MUTATION = 3, 0.05
OVERFULL = 1e9  # cost of a relative overflow of 1, and of a replica against a rule: neither pays
CHUNK = 512
MOST_SWAPS = 2000


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is placed, where, and what it costs.

    ``traffic`` [S, S]: calls per second of all replicas of a service to another, spread evenly over the replicas of
    both. ``call_s`` [N, N]: time that the network adds to a call; 0 on the diagonal. ``busy`` [S]: cores that one
    replica keeps busy. ``slowdown`` [S]: relative growth of its time beside neighbours that fill the node. ``rules``:
    which services may be on which nodes and with which others; None: all.
    """

    service: IntArray  # [R]
    need: FloatArray  # [S, D], of one replica
    capacity: FloatArray  # [N, D]
    money: FloatArray  # [N], of a node in use
    cores: FloatArray  # [N]
    traffic: FloatArray
    call_s: FloatArray
    busy: FloatArray
    slowdown: FloatArray
    money_weight: float = 100.0  # cores that one unit of money is worth
    balance_weight: float = 0.1
    rules: Rules | None = None


@dataclass(frozen=True, kw_only=True)
class Found:
    """``node`` [R] of each replica; ``cost`` in cores; ``money`` in its own unit, never less than ``bound``.

    ``feasible``: no node holds more than it can, and no rule is broken; ``method`` ``exact`` has looked at every way.
    """

    node: IntArray
    cost: float
    money: float
    bound: float
    network: float  # calls that are on the network at a time
    interference: float  # cores lost to neighbours
    feasible: bool
    method: Literal["exact", "genetic with swaps"]


def place(problem: Problem, *, seed: int = 0) -> Found:
    """Return the placement of least cost among all where there are 30,000 ways or fewer, else the best that was found.

    Otherwise a genetic algorithm over assignment vectors, seeded by first-fit decreasing, whose best are improved by
    moving and swapping replicas until nothing helps [ours; after SealOS+'s hybrid]. Where its nodes are dearer than
    what whole nodes must cost, the integer programme of `cheapest` is asked for cheaper ones, and improved likewise.
    """
    if _ways(problem) <= EXACT_WAYS:
        node = _enumerated(problem)
        return _found(problem, node, "exact", _bound(problem, node)[0])
    rng = np.random.default_rng(seed)
    node = _evolved(problem, rng)
    bound, other = _bound(problem, node)
    if other is not None:
        both = np.array([node, _improved(problem, other, rng)])
        node = both[int(np.argmin(costs(problem, both)))]
    return _found(problem, node, "genetic with swaps", bound)


def _bound(problem: Problem, node: IntArray) -> tuple[float, IntArray | None]:
    """A price that no placement is below, and a placement cheaper than ``node`` where the programme found one."""
    money, *_, overflow = (float(part[0]) for part in _parts(problem, node[None]))
    given = offer(problem)
    bound = covering(given)
    if overflow <= 0.0 and money <= bound * (1.0 + 1e-9):
        return bound, None
    found = cheapest(given)
    better = found.count is not None and (overflow > 0.0 or found.money < money * (1.0 - 1e-9))
    return max(bound, found.bound), _nodes_of(problem, found.count) if better and found.count is not None else None


def offer(problem: Problem) -> Offer:
    """Return the part of ``problem`` that prices rest on: nodes, what is asked of them, and the rules."""
    return Offer(
        replicas=np.bincount(problem.service, minlength=len(problem.need)), need=problem.need,
        capacity=problem.capacity, money=problem.money, rules=problem.rules,
    )  # fmt: skip


def _nodes_of(problem: Problem, count: IntArray) -> IntArray:
    """The node [R] of each replica from how many of each service are on each node [S, N]."""
    node = np.empty(len(problem.service), dtype=np.int64)
    for service, row in enumerate(count):
        node[problem.service == service] = np.repeat(np.arange(len(row)), row)
    return node


def costs(problem: Problem, nodes: IntArray) -> FloatArray:
    """Return the cost in cores of each assignment in ``nodes`` [P, R]; [P]."""
    parts = [_parts(problem, nodes[i : i + CHUNK]) for i in range(0, len(nodes), CHUNK)]
    return np.concatenate([_total(problem, *part) for part in parts])


def share_of(problem: Problem, nodes: IntArray) -> FloatArray:
    """Return which share of each service's replicas is on each node; [P, S, N]."""
    found = _counts(problem, nodes)
    return np.asarray(found / np.maximum(found.sum(axis=2, keepdims=True), 1.0))


def _counts(problem: Problem, nodes: IntArray) -> FloatArray:
    rows, services, places = len(nodes), len(problem.need), len(problem.capacity)
    flat = (np.arange(rows)[:, None] * services + problem.service) * places + nodes
    return np.bincount(flat.ravel(), minlength=rows * services * places).reshape(rows, services, places).astype(float)


def _parts(problem: Problem, nodes: IntArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Money, network, interference, imbalance, and overflow with broken rules of each assignment."""
    count = _counts(problem, nodes)
    share = count / np.maximum(count.sum(axis=2, keepdims=True), 1.0)
    money = (count.sum(axis=1) > 0.0) @ problem.money
    calling = np.einsum("st,pta->psa", problem.traffic, share @ problem.call_s.T)
    network = (share * calling).sum(axis=(1, 2))
    load = np.einsum("psn,s->pn", count, problem.busy)
    own = problem.busy[:, None]
    beside = np.maximum(load[:, None, :] - own, 0.0) / problem.cores
    interference = np.einsum("psn,psn,s->p", count, beside, problem.busy * problem.slowdown)
    used = count.sum(axis=1) > 0.0
    level = load / problem.cores
    mean = load.sum(axis=1) / np.maximum(used @ problem.cores, 1e-300)
    imbalance = (used * (level - mean[:, None]) ** 2 * problem.cores).sum(axis=1)
    need = np.einsum("psn,sd->pnd", count, problem.need)
    overflow = (np.maximum(need - problem.capacity * (1.0 + 1e-9), 0.0) / problem.capacity.max(axis=0)).sum(axis=(1, 2))
    return money, network, interference, imbalance, overflow + broken(problem.rules, count)


def _total(problem: Problem, money: FloatArray, network: FloatArray, interference: FloatArray, imbalance: FloatArray,
           overflow: FloatArray) -> FloatArray:  # fmt: skip
    useful = problem.money_weight * money + network + interference + problem.balance_weight * imbalance
    return np.asarray(useful + OVERFULL * overflow)


def _found(problem: Problem, node: IntArray, method: Literal["exact", "genetic with swaps"], bound: float) -> Found:
    parts = _parts(problem, node[None])
    money, network, interference, _, overflow = (float(part[0]) for part in parts)
    return Found(
        node=node, cost=float(_total(problem, *parts)[0]), money=money, bound=min(bound, money),
        network=network, interference=interference, feasible=overflow <= 0.0, method=method,
    )  # fmt: skip


def _ways(problem: Problem) -> float:
    nodes = len(problem.capacity)
    each = np.bincount(problem.service, minlength=len(problem.need)).tolist()
    return math.prod(float(math.comb(nodes + n - 1, n)) for n in each)


def _enumerated(problem: Problem) -> IntArray:
    """The best of every way to spread the replicas of each service, which are alike, over the nodes."""
    best, least = np.zeros(len(problem.service), dtype=np.int64), math.inf
    order = np.argsort(problem.service, kind="stable")
    every = _all_ways(problem)
    while chunk := list(itertools.islice(every, CHUNK)):
        nodes = np.empty((len(chunk), len(order)), dtype=np.int64)
        nodes[:, order] = chunk
        found = costs(problem, nodes)
        if found.min() < least:
            least, best = float(found.min()), nodes[int(found.argmin())]
    return best


def _all_ways(problem: Problem) -> Iterator[tuple[int, ...]]:
    each = np.bincount(problem.service, minlength=len(problem.need)).tolist()
    nodes = range(len(problem.capacity))
    for way in itertools.product(*(list(itertools.combinations_with_replacement(nodes, n)) for n in each)):
        yield tuple(itertools.chain.from_iterable(way))


def _evolved(problem: Problem, rng: np.random.Generator) -> IntArray:
    replicas, nodes = len(problem.service), len(problem.capacity)
    seeds = [_first_fit(problem, order) for order in _orders(problem, rng)]
    people = np.vstack([*seeds, rng.integers(nodes, size=(POPULATION - len(seeds), replicas))])
    found = costs(problem, people)
    best, stale = float(found.min()), 0
    for _ in range(GENERATIONS):
        children = _children(people, found, nodes, rng)
        theirs = costs(problem, children)
        everyone, prices = np.vstack([people, children]), np.concatenate([found, theirs])
        keep = np.argsort(prices, kind="stable")[:POPULATION]
        people, found = everyone[keep], prices[keep]
        stale = 0 if found[0] < best - 1e-12 else stale + 1
        best = float(found[0])
        if stale >= STALE:
            break
    improved = [_improved(problem, one, rng) for one in (people[0], seeds[0])]
    return improved[int(np.argmin(costs(problem, np.array(improved))))]


def _orders(problem: Problem, rng: np.random.Generator) -> Iterator[IntArray]:
    """Nodes by price per core first, then in random order."""
    yield np.argsort(problem.money / problem.cores, kind="stable")
    for _ in range(7):
        yield rng.permutation(len(problem.capacity))


def _first_fit(problem: Problem, order: IntArray) -> IntArray:
    """The largest replica first, each on the first node of ``order`` with room, else on the one with most of it.

    A node counts as without room where a rule forbids it; replicas that need another beside them come after the others.
    """
    need, rules = problem.need[problem.service], problem.rules
    scaled = (need / problem.capacity.max(axis=0)).max(axis=1)
    after = np.zeros(len(problem.need), dtype=np.bool_)
    if rules is not None:
        after |= rules.together.any(axis=1)
    left, count = problem.capacity.copy(), np.zeros((len(problem.need), len(problem.capacity)))
    found = np.zeros(len(need), dtype=np.int64)
    for replica in np.lexsort((-scaled, after[problem.service])).tolist():
        service = int(problem.service[replica])
        fits = (left >= need[replica] - 1e-9).all(axis=1)
        if rules is not None:
            fits &= rules.open_to(service, count)
        spare = (left[order] - need[replica]).min(axis=1)
        at = int(order[np.argmax(fits[order])] if fits.any() else order[np.argmax(spare)])
        left[at] -= need[replica]
        count[service, at] += 1.0
        found[replica] = at
    return found


def _children(people: IntArray, found: FloatArray, nodes: int, rng: np.random.Generator) -> IntArray:
    """Uniform crossover of tournament winners, then mutation (std)."""
    drawn = rng.integers(len(people), size=(2, POPULATION, TOURNAMENT))
    winners = np.take_along_axis(drawn, found[drawn].argmin(axis=2)[..., None], axis=2)[..., 0]
    first, second = people[winners[0]], people[winners[1]]
    children = np.where(rng.random(first.shape) < 0.5, first, second)
    mutated = rng.random(children.shape) < max(MUTATION, 1.0 / children.shape[1])
    return np.asarray(np.where(mutated, rng.integers(nodes, size=children.shape), children))


def _improved(problem: Problem, node: IntArray, rng: np.random.Generator) -> IntArray:
    """Move one replica or swap two, always the best there is, until nothing lowers the cost."""
    best = float(costs(problem, node[None])[0])
    while True:
        tried = np.vstack([_moves(node, len(problem.capacity)), _swaps(problem, node, rng)])
        found = costs(problem, tried)
        if not found.min() < best - 1e-12 * max(abs(best), 1.0):
            return node
        best, node = float(found.min()), tried[int(found.argmin())]


def _moves(node: IntArray, nodes: int) -> IntArray:
    replicas = len(node)
    tried = np.tile(node, (replicas * nodes, 1))
    tried[np.arange(replicas * nodes), np.repeat(np.arange(replicas), nodes)] = np.tile(np.arange(nodes), replicas)
    return tried


def _swaps(problem: Problem, node: IntArray, rng: np.random.Generator) -> IntArray:
    first, second = np.triu_indices(len(node), 1)
    differ = (node[first] != node[second]) & (problem.service[first] != problem.service[second])
    first, second = first[differ], second[differ]
    if len(first) > MOST_SWAPS:
        chosen = rng.choice(len(first), MOST_SWAPS, replace=False)
        first, second = first[chosen], second[chosen]
    tried = np.tile(node, (len(first), 1))
    rows = np.arange(len(first))
    tried[rows, first], tried[rows, second] = node[second], node[first]
    return tried
