"""Items packed onto machines of several types by size and by what each bears of the others: an integer programme."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
MOST_NODES = 100
"""Nodes and not seconds, so that the same problem always ends in the same packing."""


@dataclass(frozen=True, kw_only=True)
class Packing:
    """``machine`` [I] of each item (indices as given), its ``cost``, a proven lower ``bound``, and the ``method``."""

    machine: IntArray
    cost: float
    bound: float
    method: str

    @property
    def gap(self) -> float:
        """How much dearer than the proven bound, as a ratio."""
        return 0.0 if self.cost <= 0 else max(0.0, (self.cost - self.bound) / self.cost)


def cheapest_packing(
    size: FloatArray, load: FloatArray, patience: FloatArray, *, kind: IntArray, capacity: FloatArray,
    cost: FloatArray, apart: tuple[tuple[int, int], ...] = (), most_load: float = 1.0, nodes: int = MOST_NODES,
) -> Packing | None:  # fmt: skip
    """Put every item on one machine so that the machines used cost least.

    ``size``, ``load``, ``patience`` [I, K] of item i on a machine of type k (size infinite: it cannot be there);
    ``kind`` [M] the type of each machine, ``capacity`` and ``cost`` [K]. On every machine Σ size ≤ capacity, Σ load ≤
    ``most_load``, and each item i bears of the others Σ_{j≠i} load_j ≤ patience_i. Items of a pair in ``apart`` do
    not share. None where no packing exists. Greedy first (most loaded items first, cheapest increase), whose cost
    bounds the integer programme (HiGHS) from above; after ``nodes`` of its tree the best known is returned with its
    gap. [ours]
    """
    greedy = _greedy(size, load, patience, kind, capacity, cost, apart, most_load)
    exact, bound = _programme(size, load, patience, kind, capacity, cost, apart, most_load, greedy, nodes)
    if exact is not None:
        return Packing(machine=exact, cost=_cost(exact, kind, cost), bound=bound, method="integer programme")
    if greedy is None:
        return None
    price = _cost(greedy, kind, cost)
    return Packing(machine=greedy, cost=price, bound=min(bound, price), method="greedy")


def is_packing(
    machine: IntArray, size: FloatArray, load: FloatArray, patience: FloatArray, kind: IntArray, capacity: FloatArray,
    apart: tuple[tuple[int, int], ...] = (), most_load: float = 1.0,
) -> bool:  # fmt: skip
    """Whether every machine holds its items, and every item bears the others on it."""
    for m in np.unique(machine):
        held, k = np.flatnonzero(machine == m), kind[m]
        total = load[held, k].sum()
        if size[held, k].sum() > capacity[k] + 1e-9 or total > most_load + 1e-9:
            return False
        if (total - load[held, k] > patience[held, k] + 1e-9).any():
            return False
    return all(machine[a] != machine[b] for a, b in apart)


def _cost(machine: IntArray, kind: IntArray, cost: FloatArray) -> float:
    return float(cost[kind[np.unique(machine)]].sum())


def _greedy(
    size: FloatArray, load: FloatArray, patience: FloatArray, kind: IntArray, capacity: FloatArray, cost: FloatArray,
    apart: tuple[tuple[int, int], ...], most_load: float = 1.0,
) -> IntArray | None:  # fmt: skip
    """Heaviest items first, each where it costs least more and, among those, leaves the least room."""
    items = len(size)
    machine = np.full(items, -1, dtype=np.int64)
    weight = np.where(np.isfinite(size), size / capacity, 0.0).max(axis=1) + load.min(axis=1)
    for item in np.argsort(-weight, kind="stable"):
        best, found = (np.inf, np.inf), -1
        for m in range(len(kind)):
            machine[item] = m
            placed = np.flatnonzero(machine >= 0)
            pairs = tuple((a, b) for a, b in apart if machine[a] >= 0 and machine[b] >= 0)
            index = {int(one): at for at, one in enumerate(placed)}
            near = tuple((index[a], index[b]) for a, b in pairs)
            if is_packing(
                machine[placed], size[placed], load[placed], patience[placed], kind, capacity, near, most_load
            ):
                others = placed[(machine[placed] == m) & (placed != item)]
                more = 0.0 if len(others) else float(cost[kind[m]])
                room = float(capacity[kind[m]] - size[others, kind[m]].sum() - size[item, kind[m]])
                if (more, room) < best:
                    best, found = (more, room), m
        if found < 0:
            return None
        machine[item] = found
    return machine


def _programme(
    size: FloatArray, load: FloatArray, patience: FloatArray, kind: IntArray, capacity: FloatArray, cost: FloatArray,
    apart: tuple[tuple[int, int], ...], most_load: float, greedy: IntArray | None, nodes: int,
) -> tuple[IntArray | None, float]:  # fmt: skip
    """x[i, m] and y[m] binary: min Σ cost y under (1) one machine each, (2) size, (3) load, (4) patience, (5) apart."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import lil_array

    items, machines = len(size), len(kind)
    x = np.arange(items * machines).reshape(items, machines)
    y = items * machines + np.arange(machines)
    possible = np.isfinite(size)[:, kind]
    held = np.where(np.isfinite(size), size, 0.0)
    rows: list[tuple[dict[int, float], float, float]] = []
    for i in range(items):
        rows.append((dict.fromkeys(x[i].tolist(), 1.0), 1.0, 1.0))  # (1)
    for m in range(machines):
        k = int(kind[m])
        for weight, limit in ((held, capacity[k]), (load, most_load)):  # (2), (3)
            row = {int(x[i, m]): float(weight[i, k]) for i in range(items)}
            rows.append((row | {int(y[m]): -float(limit)}, -np.inf, 0.0))
        for i in range(items):  # (4), slack by the load of all others where the item is elsewhere
            most = float(load[:, k].sum())
            row = {int(x[j, m]): load[j, k] for j in range(items) if j != i}
            rows.append(({**row, int(x[i, m]): most}, -np.inf, most + float(max(patience[i, k], -most))))
            rows.append(({int(x[i, m]): 1.0, int(y[m]): -1.0}, -np.inf, 0.0))  # follows from (2); tightens the bound
        for a, b in apart:
            rows.append(({int(x[a, m]): 1.0, int(x[b, m]): 1.0, int(y[m]): -1.0}, -np.inf, 0.0))  # (5)
        if m and kind[m] == kind[m - 1]:
            rows.append(({int(y[m]): 1.0, int(y[m - 1]): -1.0}, -np.inf, 0.0))  # equal machines are used in order
    matrix = lil_array((len(rows), items * machines + machines))
    for at, (row, _, _) in enumerate(rows):
        for column, value in row.items():
            matrix[at, column] = value
    weigh = np.concatenate([np.zeros(items * machines), cost[kind]])
    limits = [LinearConstraint(matrix.tocsr(), np.array([r[1] for r in rows]), np.array([r[2] for r in rows]))]
    if greedy is not None:
        limits.append(LinearConstraint(weigh[None, :], -np.inf, _cost(greedy, kind, cost) + 1e-9))
    upper = np.concatenate([possible.ravel().astype(np.float64), np.ones(machines)])
    found = milp(
        weigh, integrality=np.ones(len(weigh), dtype=np.int64), bounds=Bounds(0, upper), constraints=limits,
        options={"node_limit": nodes, "mip_rel_gap": 1e-6},
    )  # fmt: skip
    bound = float(found.mip_dual_bound) if found.mip_dual_bound is not None else 0.0
    if found.x is None:
        return None, bound
    return np.asarray(np.rint(found.x[: items * machines]).reshape(items, machines).argmax(axis=1)), bound
