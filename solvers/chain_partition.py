"""A chain of units cut into contiguous runs on devices of several classes, by dynamic programming over counts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Weigh = Literal["sum", "slowest"]

LARGEST_TABLE = 6_000_000
"""Entries (counts × classes × units) that a table may hold: 140 MB, a few seconds."""


@dataclass(frozen=True, kw_only=True)
class Chain:
    """L units in a row, and devices of C classes; all arrays float64.

    ``cost`` [C, L] of a unit on a class; ``size`` [C, L] it takes there, of ``capacity`` [C]; ``available`` [C]
    devices, of which ``most`` are used at most. ``between`` [C, C]: cost of crossing from one class to another, borne
    by the receiver. Devices of a class are used in order, and ``within`` [C, N] is the cost of crossing from its n-th
    device (counted from 1) to the next.
    """

    cost: FloatArray
    size: FloatArray
    capacity: FloatArray
    available: IntArray
    between: FloatArray
    within: FloatArray
    most: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """Units ``start`` to ``stop`` (exclusive) on one device of ``device_class``; ``cost`` with its crossing."""

    device_class: int
    start: int
    stop: int
    cost: float


@dataclass(frozen=True, kw_only=True)
class Split:
    """All units on devices: the runs in order, their cost added up, and the dearest of them."""

    runs: tuple[Run, ...]
    total: float
    slowest: float


@dataclass(frozen=True, kw_only=True)
class Front:
    """The best split of every multiset of devices: ``counts`` [S, C] used, ``value`` [S] (infinite: none fits)."""

    counts: IntArray
    value: FloatArray
    _chain: Chain
    _tables: tuple[IntArray, IntArray, FloatArray, FloatArray, IntArray, IntArray]

    def split(self, state: int) -> Split:
        """The split behind ``value[state]``; ValueError where nothing fits."""
        if not np.isfinite(self.value[state]):
            raise ValueError("no split of these devices fits")
        return _traced(self._chain, self._tables, state)


def best_splits(chain: Chain, weigh: Weigh = "sum", *, limit: float = math.inf) -> Front:
    """Best split for every multiset of devices: least ``sum`` of costs, or least ``slowest`` run.

    f[u, c, i] = min over j < i that fits and c' of f[u − e_c, c', j] ∘ (τ_{c'c} + cost(j…i, c)), ∘ being + or max, in
    O(Π(n_c + 1) · C² · L²) [ours, after UELLM's HELR, exact for classes of equal devices].
    ``limit`` bounds every run's cost. Ties of a sum go to the smaller slowest run.
    """
    counts, before = _states(chain)
    classes, units = chain.cost.shape
    value = np.full((len(counts), classes, units + 1), np.inf)
    peak = np.full_like(value, np.inf)
    cut = np.full(value.shape, -1, dtype=np.int64)
    last = np.full(value.shape, -1, dtype=np.int64)
    costs = np.concatenate([np.zeros((classes, 1)), np.cumsum(chain.cost, axis=1)], axis=1)
    sizes = np.concatenate([np.zeros((classes, 1)), np.cumsum(chain.size, axis=1)], axis=1)
    fits = chain.capacity + 1e-9 * np.maximum(np.abs(sizes[:, -1]), 1.0)
    _compiled()(
        counts, before, costs, sizes, fits, chain.between, chain.within, limit, weigh == "slowest", value, peak, cut,
        last,
    )  # fmt: skip
    ends = value[:, :, units]
    return Front(
        counts=counts, value=ends.min(axis=1), _chain=chain, _tables=(counts, before, value, peak, cut, last)
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Pipelined:
    """The best pipeline of every multiset of devices: ``counts`` [S, C], ``value`` [S] (infinite: none fits)."""

    counts: IntArray
    value: FloatArray
    limit: FloatArray  # [S] bound on every run under which the split of least sum is the best pipeline
    _chain: Chain

    def split(self, state: int) -> Split:
        """The split behind ``value[state]``; ValueError where nothing fits."""
        return best_splits(self._chain, "sum", limit=float(self.limit[state])).split(state)


def pipelined_splits(chain: Chain, batches: int, *, tolerance: float = 0.0) -> Pipelined:
    """Least Σ runs + (batches − 1) · slowest run for every multiset of devices [std: a pipeline of equal batches].

    For every bound on the slowest run the least sum is found, from no bound downwards; only splits that no other beats
    in both can be best. Exact without ``tolerance``; with it, bounds within that ratio of each other count as one, and
    values are at most that much above the least.
    """
    lowest = best_splits(chain, "slowest").value
    limit, best, at = math.inf, np.full(len(lowest), np.inf), np.full(len(lowest), np.inf)
    while True:
        front = best_splits(chain, "sum", limit=limit)
        slowest, ends = front._tables[3][:, :, -1], front._tables[2][:, :, -1]
        peak = np.where(ends <= front.value[:, None], slowest, np.inf).min(axis=1)
        total = front.value + (batches - 1) * np.where(np.isfinite(peak), peak, 0.0)
        better = total < best
        best[better], at[better] = total[better], limit
        open_ = np.isfinite(front.value) & (front.value + (batches - 1) * lowest < best * (1 - max(tolerance, 1e-12)))
        if not open_.any():
            return Pipelined(counts=front.counts, value=best, limit=at, _chain=chain)
        limit = float(peak[open_].max()) * (1 - max(tolerance, 1e-12))


def most_devices(classes: int, units: int, available: IntArray, asked: int) -> int:
    """How many devices, at most ``asked``, can be looked at together within `LARGEST_TABLE`."""
    most = min(asked, units, int(available.sum()))
    while most > 1 and _count_states(available, most) * classes * (units + 1) > LARGEST_TABLE:
        most -= 1
    return most


def _count_states(available: IntArray, most: int) -> int:
    """Multisets of at most ``most`` devices, by convolution."""
    ways = np.zeros(most + 1, dtype=np.float64)
    ways[0] = 1.0
    for count in available:
        ways = np.convolve(ways, np.ones(min(int(count), most) + 1))[: most + 1]
    return int(min(ways.sum(), 1e12))


def _states(chain: Chain) -> tuple[IntArray, IntArray]:
    """Counts [S, C] with at most ``most`` devices, fewest first, and the state with one device of c less [S, C]."""
    classes = len(chain.available)
    rows = [np.zeros((1, classes), dtype=np.int64)]
    for index in range(classes):
        held = np.concatenate(rows)
        most = min(int(chain.available[index]), chain.most)
        rows = []
        for count in range(most + 1):
            more = held.copy()
            more[:, index] = count
            rows.append(more[more.sum(axis=1) <= chain.most])
    counts = np.concatenate(rows)
    counts = counts[np.lexsort((*counts.T[::-1], counts.sum(axis=1)))]
    index_of = {tuple(row): at for at, row in enumerate(counts.tolist())}
    before = np.full(counts.shape, -1, dtype=np.int64)
    for at, row in enumerate(counts.tolist()):
        for index in range(classes):
            if row[index]:
                before[at, index] = index_of[(*row[:index], row[index] - 1, *row[index + 1 :])]
    return counts, before


def _fill(
    counts: Any, before: Any, costs: Any, sizes: Any, fits: Any, between: Any, within: Any, limit: float,
    slowest: bool, value: Any, peak: Any, cut: Any, last: Any,
) -> None:  # fmt: skip
    """Fill the tables in the order of the states; plain loops, to be compiled."""
    states, classes = counts.shape
    units = costs.shape[1] - 1
    for s in range(1, states):
        for c in range(classes):
            p = before[s, c]
            if p < 0:
                continue
            first = p == 0
            for i in range(1, units + 1):
                for j in range(i - 1, -1, -1):
                    if sizes[c, i] - sizes[c, j] > fits[c]:
                        break
                    if first and j > 0:
                        continue
                    run = costs[c, i] - costs[c, j]
                    for d in range(1 if first else classes):
                        link, held, top = 0.0, 0.0, 0.0
                        if not first:
                            held, top = value[p, d, j], peak[p, d, j]
                            if held == np.inf:
                                continue
                            link = within[c, counts[p, c] - 1] if d == c else between[d, c]
                        step = run + link
                        if step > limit:
                            continue
                        most = max(top, step)
                        found = most if slowest else held + step
                        known = value[s, c, i]
                        if found < known or (found == known and most < peak[s, c, i]):
                            value[s, c, i] = found
                            peak[s, c, i] = most
                            cut[s, c, i] = j
                            last[s, c, i] = d


@cache
def _compiled() -> Callable[..., None]:
    """The kernel, compiled when it is first needed."""
    from solvers.compiled import allocating

    return allocating(_fill)


def _traced(
    chain: Chain, tables: tuple[IntArray, IntArray, FloatArray, FloatArray, IntArray, IntArray], state: int
) -> Split:
    counts, before, value, peak, cut, last = tables
    units = chain.cost.shape[1]
    ends = np.lexsort((peak[state, :, units], value[state, :, units]))
    s, c, i = state, int(ends[0]), units
    runs: list[Run] = []
    while i > 0:
        j, d, p = int(cut[s, c, i]), int(last[s, c, i]), int(before[s, c])
        link = 0.0
        if p > 0:
            link = float(chain.within[c, counts[p, c] - 1] if d == c else chain.between[d, c])
        runs.append(Run(device_class=c, start=j, stop=i, cost=float(chain.cost[c, j:i].sum()) + link))
        s, c, i = p, d, j
    runs.reverse()
    return Split(runs=tuple(runs), total=sum(run.cost for run in runs), slowest=max(run.cost for run in runs))
