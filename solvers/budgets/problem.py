"""The question as arrays: who waits for whom, what a budget costs each service, and an answer with its certificate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Calls:
    """Calls that are waited for; services in topological order, callers first; service 0 is the root.

    Service ``i`` makes the groups ``group_at[i]:group_at[i + 1]`` one after the other; the calls
    ``call_at[g]:call_at[g + 1]`` of a group run side by side, each to ``callee`` and counted ``weight`` times in a row.
    Latency of a service: its own budget plus, of every group, the largest weight × latency of the callee.
    """

    group_at: IntArray
    call_at: IntArray
    callee: IntArray
    weight: FloatArray

    @property
    def services(self) -> int:
        """How many, the root included."""
        return len(self.group_at) - 1


@dataclass(frozen=True)
class Costs:
    """Convex falling cost of each service's budget s: area / (s − base) on each piece, lowest budgets first.

    Pieces ``at[i]:at[i + 1]`` belong to service ``i`` and cover ``low_s`` … ``high_s`` without a gap. The cost is the
    price of a replica × load × slope / (s − base), Erms' piecewise linear latency turned round (code; Erms). A service
    without a price, such as a root that only joins entries, has one piece of area 0.
    """

    at: IntArray
    low_s: FloatArray
    high_s: FloatArray
    area: FloatArray
    base_s: FloatArray

    @property
    def lowest_s(self) -> FloatArray:
        """The least budget of each service."""
        return self.low_s[self.at[:-1]]

    @property
    def highest_s(self) -> FloatArray:
        """The budget of each service beyond which nothing gets cheaper."""
        return self.high_s[self.at[1:] - 1]


@dataclass(frozen=True)
class Problem:
    """Split ``bound_s`` at the root so that the cost is least."""

    calls: Calls
    costs: Costs
    bound_s: float

    @property
    def arrays(self) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
        """The calls as the compiled passes take them."""
        return self.calls.group_at, self.calls.call_at, self.calls.callee, self.calls.weight

    @property
    def pieces(self) -> tuple[IntArray, FloatArray, FloatArray, FloatArray, FloatArray]:
        """The costs as the compiled passes take them."""
        return self.costs.at, self.costs.low_s, self.costs.high_s, self.costs.area, self.costs.base_s

    @property
    def flat(
        self,
    ) -> tuple[IntArray, IntArray, IntArray, FloatArray, IntArray, FloatArray, FloatArray, FloatArray, FloatArray]:
        """Calls and costs, as the compiled solvers take them."""
        group_at, call_at, callee, weight = self.arrays
        at, low, high, area, base = self.pieces
        return group_at, call_at, callee, weight, at, low, high, area, base


@dataclass(frozen=True)
class Split:
    """Budgets that keep the bound, their cost, and what is proven of them.

    ``price``: what a second more at each service would save, in cost per second (the dual flow through it);
    ``lower``: no split costs less (NaN where the method proves nothing).
    """

    budget_s: FloatArray
    cost: float
    price: FloatArray
    lower: float = float("nan")
    method: str = ""
    iterations: int = 0
    state: dict[str, FloatArray] = field(default_factory=dict)  # what a warm start needs

    @property
    def gap(self) -> float:
        """(cost − lower) / lower: how far above the optimum at most."""
        return (self.cost - self.lower) / self.lower if self.lower > 0.0 else max(self.cost - self.lower, 0.0)


class NoSplitError(Exception):
    """Even the least budgets together exceed the bound; ``path``: services on the longest path, how often each."""

    def __init__(self, path: Mapping[int, float], least_s: float) -> None:
        super().__init__(f"the least budgets sum to {least_s:.6g} s")
        self.path, self.least_s = dict(path), least_s


def chain(services: int) -> Calls:
    """Services that call each other in a row: 0 → 1 → 2 …"""
    at = np.minimum(np.arange(services + 1), services - 1)
    calls = max(services - 1, 0)
    return Calls(at, np.arange(calls + 1), np.arange(1, services), np.ones(calls))


def from_edges(services: int, edges: Sequence[tuple[int, int]]) -> Calls:
    """One group of parallel calls per caller; every callee has a larger index than its caller."""
    pairs = np.array(sorted(edges), dtype=np.int64).reshape(-1, 2)
    callers, counts = np.unique(pairs[:, 0], return_counts=True)
    groups = np.zeros(services, dtype=np.int64)
    groups[callers] = 1
    return Calls(
        np.concatenate([[0], np.cumsum(groups)]), np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        pairs[:, 1].copy(), np.ones(len(pairs)),
    )  # fmt: skip


def linear_costs(area: npt.ArrayLike, base_s: npt.ArrayLike, high_s: float) -> Costs:
    """One piece per service: latency base + slope × load per replica, with area = price × load × slope."""
    areas, bases = (np.asarray(one, dtype=np.float64) for one in (area, base_s))
    at = np.arange(len(areas) + 1)
    return Costs(at, bases.copy(), np.full(len(areas), high_s), areas, bases)
