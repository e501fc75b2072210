"""The cheapest nodes that hold every replica: bin packing with unlike bins and conflicts, as an integer programme.

min  Σ money_n y_n    under  Σ_n x_sn = replicas_s ,  Σ_s need_s x_sn ≤ capacity_n y_n ,  and the rules    [std]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from solvers.conflicts import Rules

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
MOST_CELLS = 1500  # services times nodes: beyond it the programme is not asked
MOST_BRANCHES = 400  # of branch and bound; a limit in seconds would make answers depend on the machine
ROUND = 1e-9


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What must be held and by what: S services, N nodes, D kinds of capacity.

    ``at_least``: with it ``replicas`` are the fewest of each service, more are allowed, and all together they must ask
    for so much of the first kind of capacity.
    """

    replicas: IntArray  # [S]
    need: FloatArray  # [S, D], of one replica
    capacity: FloatArray  # [N, D]
    money: FloatArray  # [N], of a node in use
    rules: Rules | None = None
    at_least: float | None = None


@dataclass(frozen=True, kw_only=True)
class Price:
    """``count`` [S, N] at ``money``, None where none was found; nothing costs less than ``bound``, infinite: none can.

    ``proven``: the programme was solved to its end.
    """

    count: IntArray | None
    money: float
    bound: float
    proven: bool


def covering(offer: Offer) -> float:
    """Return the money below which no whole nodes offer the sum of all needs; infinite where all together do not.

    A covering programme over kinds of nodes, solved exactly (std); that replicas cannot be cut is left out, and rules.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    total = offer.replicas @ offer.need
    total[0] = max(total[0], offer.at_least or 0.0)
    kinds, counts = np.unique(np.column_stack([offer.money, offer.capacity]), axis=0, return_counts=True)
    if (counts @ kinds[:, 1:] < total * (1.0 - ROUND)).any():
        return math.inf
    enough = LinearConstraint(kinds[:, 1:].T, total * (1.0 - ROUND), np.inf)
    found = milp(
        kinds[:, 0], constraints=enough, integrality=np.ones(len(kinds), dtype=np.int64), bounds=Bounds(0, counts),
        options={"mip_rel_gap": 0.0},
    )  # fmt: skip
    return float(found.fun) if found.success else 0.0


def cheapest(offer: Offer) -> Price:
    """Return the cheapest placement by HiGHS, and whether that is proven; nothing where the programme is too large."""
    from scipy.optimize import milp

    services, nodes = len(offer.need), len(offer.money)
    if services * nodes > MOST_CELLS:
        return Price(count=None, money=math.inf, bound=0.0, proven=False)
    found = milp(**_programme(offer), options={"mip_rel_gap": 0.0, "node_limit": MOST_BRANCHES})
    if found.status == 2:  # infeasible
        return Price(count=None, money=math.inf, bound=math.inf, proven=True)
    bound = float(found.mip_dual_bound) if found.mip_dual_bound is not None else 0.0
    bound = max(bound, 0.0) * (1.0 - ROUND)
    if found.x is None:
        return Price(count=None, money=math.inf, bound=bound, proven=False)
    count = np.rint(found.x[: services * nodes]).astype(np.int64).reshape(services, nodes)
    return Price(count=count, money=float(found.fun), bound=bound, proven=found.status == 0)


def _programme(offer: Offer) -> dict[str, Any]:
    """Variables x [S, N] whole, y [N] and z [S, N] of 0 or 1: how many, whether the node is used, whether any is there.

    Nodes that are alike are used in their order, which takes nothing away.
    """
    from scipy.optimize import Bounds

    services, nodes = len(offer.need), len(offer.money)
    rows, most = _Rows(services, nodes), _most(offer)
    _whole(offer, rows)
    for n in range(nodes):
        _at_node(offer, rows, most, n)
    upper = np.concatenate([most.ravel(), np.ones(nodes), np.minimum(most, 1.0).ravel()])
    cost = np.zeros(len(upper))
    cost[rows.y(0) : rows.z(0, 0)] = offer.money
    whole = np.ones(len(cost), dtype=np.int64)
    return {"c": cost, "constraints": rows.constraint(), "integrality": whole, "bounds": Bounds(0.0, upper)}


def _whole(offer: Offer, rows: _Rows) -> None:
    """Every replica is somewhere."""
    services, nodes = range(len(offer.need)), range(len(offer.money))
    for s in services:
        asked = float(offer.replicas[s])
        rows.add({rows.x(s, n): 1.0 for n in nodes}, asked, asked if offer.at_least is None else np.inf)
    if offer.at_least is not None:
        all_of_it = {rows.x(s, n): float(offer.need[s, 0]) for s in services for n in nodes}
        rows.add(all_of_it, offer.at_least * (1.0 - ROUND), np.inf)


def _at_node(offer: Offer, rows: _Rows, most: FloatArray, n: int) -> None:
    """What one node holds, and who is on it."""
    services = range(len(offer.need))
    for d in range(offer.need.shape[1]):
        held = {rows.x(s, n): float(offer.need[s, d]) for s in services}
        rows.add(held | {rows.y(n): -float(offer.capacity[n, d])})
    for s in services:
        rows.add({rows.x(s, n): 1.0, rows.z(s, n): -float(most[s, n])})
        rows.add({rows.z(s, n): 1.0, rows.y(n): -1.0})
    if offer.rules is not None:
        for a, b in offer.rules.apart_pairs:
            rows.add({rows.z(a, n): 1.0, rows.z(b, n): 1.0, rows.y(n): -1.0})
        for a, b in offer.rules.together_pairs:
            rows.add({rows.z(a, n): 1.0, rows.x(b, n): -1.0})
    before = _alike_before(offer, n)
    if before is not None:
        rows.add({rows.y(n): 1.0, rows.y(before): -1.0})


def _most(offer: Offer) -> FloatArray:
    """Replicas of each service that a node can hold at all; [S, N]."""
    with np.errstate(divide="ignore"):
        held = np.floor((offer.capacity[None] * (1.0 + ROUND) / np.maximum(offer.need[:, None], 1e-300)).min(axis=2))
    if offer.at_least is None:
        held = np.minimum(held, offer.replicas[:, None])
    if offer.rules is not None:
        held = np.where(offer.rules.allowed, np.minimum(held, offer.rules.most[:, None]), 0.0)
    return np.asarray(held)


def _alike_before(offer: Offer, n: int) -> int | None:
    """The last node before ``n`` that differs in nothing."""
    for before in range(n - 1, -1, -1):
        same = offer.money[before] == offer.money[n] and (offer.capacity[before] == offer.capacity[n]).all()
        if same and (offer.rules is None or (offer.rules.allowed[:, before] == offer.rules.allowed[:, n]).all()):
            return before
    return None


class _Rows:
    """Constraints as sparse rows over the columns x [S, N], y [N] and z [S, N]."""

    def __init__(self, services: int, nodes: int) -> None:
        self.services, self.nodes = services, nodes
        self.at: list[int] = [0]
        self.index: list[int] = []
        self.value: list[float] = []
        self.low: list[float] = []
        self.high: list[float] = []

    def x(self, service: int, node: int) -> int:
        return service * self.nodes + node

    def y(self, node: int) -> int:
        return self.services * self.nodes + node

    def z(self, service: int, node: int) -> int:
        return (self.services + 1) * self.nodes + self.x(service, node)

    def add(self, row: dict[int, float], low: float = -np.inf, high: float = 0.0) -> None:
        self.index += row.keys()
        self.value += row.values()
        self.at.append(len(self.index))
        self.low.append(low)
        self.high.append(high)

    def constraint(self) -> Any:
        from scipy.optimize import LinearConstraint
        from scipy.sparse import csr_array

        columns = (2 * self.services + 1) * self.nodes
        matrix = csr_array((self.value, self.index, self.at), shape=(len(self.low), columns))
        return LinearConstraint(matrix, np.array(self.low), np.array(self.high))
